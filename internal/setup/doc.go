// Package setup proposes what may leave a monolith, and writes a first strangler.yaml that says so. It reads no file, asks no
// database and decides nothing: it is given what was found, and all that it proposes stands in comments.
//
//   - routes.go is a route with its requests, and the capability that its path names.
//   - openapi.go reads the routes of an OpenAPI document, accesslog.go those of an access log; paths.go makes
//     patterns of concrete paths.
//   - propose.go groups routes and tables, by names.go and by foreign keys.
//   - write.go is the file; snippet.go what sends one capability's paths through the proxy.
//
// Whatever a path or a table is called, the file is one that internal/config reads: what cannot be named in it stays in the
// monolith.
package setup
