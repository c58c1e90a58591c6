package proxy

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// stall is how long a client may take nothing of a write's answer before it is cut off. Without a
// bound it could keep the write in flight, and so a gate from being acknowledged, for ever.
const stall = 30 * time.Second

// requestBody notes that the client, not the upstream, broke off. The transport may still be reading
// it when the walk goes on.
type requestBody struct {
	io.ReadCloser
	x *exchange
}

func (b *requestBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	if err != nil && err != io.EOF {
		b.x.uploadBroke.Store(true)
	}
	return n, err
}

// answerBody notes that the upstream, not the client, broke off within an answer.
type answerBody struct {
	io.ReadCloser
	x    *exchange
	conn *http.ResponseController
}

func (b *answerBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	if err != nil && err != io.EOF && b.x.in.Context().Err() == nil {
		b.x.broken = true
	}
	if n > 0 && b.x.entered != 0 {
		// The server takes the deadline back with the next request. A writer without deadlines has
		// no connection that could stall.
		_ = b.conn.SetWriteDeadline(time.Now().Add(stall))
	}
	return n, err
}

// emptyBody is a body of no bytes that the transport does not take for none.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// buffers is the httputil.BufferPool that answers are copied through.
type buffers struct{ pool sync.Pool }

const bufferBytes = 32 << 10

func (b *buffers) Get() []byte    { return b.pool.Get().(*[bufferBytes]byte)[:] }
func (b *buffers) Put(buf []byte) { b.pool.Put((*[bufferBytes]byte)(buf)) }
