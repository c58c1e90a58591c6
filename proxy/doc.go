// Package proxy stands in front of the monolith and sends each request to the side that its
// capability's toggle names.
//
// A request's walk, one file a step:
//
//  1. listener.go listens, serves, and drains when it is closed.
//  2. walk.go takes one request through the steps below and settles its accounts at the end.
//  3. path.go makes the one form of a path that is both matched and forwarded.
//  4. router.go says which capability's route it is, and whose tables it may write; tree.go matches
//     patterns as http.ServeMux does.
//  5. gate.go lets a write pass, counts it while it is in flight, or says that the gate is closed;
//     hold.go holds it there, within bounds.
//  6. identity.go says who asks: a header, or our own signed cookie.
//  7. decide.go names the side: mode, canary bucket, owner. hash.go is the bucket, wrote.go sends
//     those who wrote to the owner until the other side has caught up.
//  8. forward.go makes the headers that the upstream sees.
//  9. upstream.go sends it, once, and passes the answer on; body.go watches both bodies.
//  10. shadow.go sends a sample of reads to the service as well, beside the walk and never in its way.
//  11. refuse.go is every answer that the proxy makes itself; metrics.go counts them all.
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
