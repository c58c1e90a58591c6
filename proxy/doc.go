// Package proxy stands in front of the monolith and sends each request to the side that its
// capability's toggle names.
//
// A request's walk, one file a step:
//
//  1. listener.go listens, serves, and drains when it is closed, or when another process takes its
//     listener over; tls.go has the certificate, clients.go the connections that net/http takes, their
//     limit, and what a load balancer says of them.
//  2. An engine reads the request and carries it: h1engine.go on package h1, nethttp.go on net/http.
//     Both do the same; docs/PROXY.md lists where they differ.
//  3. walk.go takes one request through the steps below and settles its accounts at the end.
//  4. path.go makes the one form of a path that is both matched and forwarded.
//  5. router.go says which capability's route it is, and whose tables it may write; tree.go matches
//     patterns as http.ServeMux does, claims.go refuses those that contradict each other.
//  6. gate.go lets a write pass, counts it while it is in flight, or says that the gate is closed;
//     hold.go holds it there, within bounds.
//  7. identity.go says who asks: a header, or our own signed cookie; renewal.go notices answers that change who it is.
//  8. decide.go names the side: mode, canary bucket, owner. hash.go is the bucket, wrote.go sends
//     those who wrote to the owner until the other side has caught up.
//  9. forward.go makes the headers that the upstream sees.
//  10. upstream.go chooses the server that it is sent to, by its engine, once; health.go asks servers
//     how they are, ca.go says who may vouch for them.
//  11. shadow.go sends a sample of reads to the service as well, beside the walk and never in its way.
//  12. refuse.go is every answer that the proxy makes itself; metrics.go counts them all, access.go
//     writes them down. trace.go has each in its trace, export.go sends the spans of those that have ended.
//
// A write passes the gate before it is decided, not after: what was held goes where the toggle that
// released it says, never where an older one said.
//
// config.go is what a proxy needs, proxy.go puts it together, apply.go takes toggles in.
//
// # What a caller relies on
//
// An unsafe request is sent to one upstream, once: there is no retry and no falling back to the other
// side. A write that is in flight is seen through to its answer although its client has left. When
// Apply has acknowledged a gated toggle, no write of the capability is in flight in this process and
// none starts before a release. A capability whose toggle was never applied answers 503: an unknown
// state never means legacy. Behind all this stands the database's fence; what the proxy cannot see
// (an encoded slash or a path parameter that only the monolith understands, a method override in a
// body) can at worst get a refused write.
//
// What routes do not claim is passed to the monolith as it came. The Host header is kept, because a
// monolith builds absolute addresses from it.
package proxy
