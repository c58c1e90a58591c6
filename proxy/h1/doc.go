// Package h1 is the HTTP/1.1 data plane: it reads requests from clients, carries each over a pooled
// connection to an upstream, and passes the answer back. What is decided about a request, and which
// header lines are taken out or put in, is its caller's.
//
// A request's way, one file a step:
//
//  1. server.go accepts connections; conversation.go takes one request after another from each, on one
//     goroutine a connection. Where a load balancer stands in front, announce.go learns from its
//     PROXY header, which proxyheader.go reads, whose connection it is.
//  2. wire.go is a connection: a buffer that it holds only while there is something in it, and limits
//     of time that watch.go keeps for all of them. socket_linux.go has the system calls under it;
//     socket_other.go does without.
//  3. head.go reads a head into byte ranges of that buffer; chars.go says which bytes may stand where;
//     framing.go says how long the body is, or refuses what two readers could understand differently.
//  4. exchange.go is one request and its answer, and answers of our own.
//  5. upstream.go has the connections to one upstream: the one used last is taken first, and is looked
//     at before it is used again.
//  6. relay.go sends the request and passes the answer on; head and small body are one write each.
//  7. body.go and chunked.go read bodies, upload.go sends those that do not fit a buffer while the
//     answer may already come, tunnel.go is what follows an upgrade. errors.go says why an exchange
//     ended early.
//  8. bridge.go is another way for 5 and 6: a handler of net/http's answers, for upstreams in HTTP/2.
//
// # What a caller relies on
//
// Framing is never forwarded: a body is read by one rule and sent by one that is written anew. A
// request that could be understood in two ways is refused (400), an answer likewise (no answer, 502).
// What the body's end says is the upstream's: an answer that breaks off is broken off towards the
// client, never ended as if it were whole. A connection is used again only when both messages on it
// ended where they said they would, and nothing came behind them.
//
// A request is sent once. Only one that its caller calls repeatable, that has no body and whose
// connection had been used before, is sent again when the upstream closed it without a byte of an
// answer.
//
// Memory is bounded by buffers: a head's limit, and 64 KiB for each body on its way. The walk of a
// request with a small body and a small answer allocates nothing.
package h1
