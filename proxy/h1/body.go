package h1

import (
	"io"
	"time"
)

// body is what follows a head on a connection.
type body struct {
	c       *wire
	framing framing
	left    int64 // sized: bytes still to come
	chunks  chunks
	pause   time.Duration // the longest that may pass without a byte
	ended   bool
	read    int64 // bytes of it so far
}

func (b *body) reset(c *wire, how framing, length int64, pause time.Duration) {
	*b = body{c: c, framing: how, left: length, pause: pause}
	b.ended = how == noBody || how == sized && length == 0
}

// buffered takes what of the body was read already: bytes of the connection's buffer, which are valid
// until the next call.
func (b *body) buffered() (data []byte, err error) {
	c := b.c
	if b.ended || c.r == c.w {
		return nil, nil
	}
	switch b.framing {
	case sized:
		data = c.unread()
		if int64(len(data)) > b.left {
			data = data[:b.left]
		}
		c.r += len(data)
		b.left -= int64(len(data))
		b.ended = b.left == 0
	case chunked:
		var read int
		data, read, err = b.chunks.decode(c.unread())
		c.r += read
		b.ended = b.chunks.state == chunksEnd
	case toEnd:
		data = c.unread()
		c.r = c.w
	}
	b.read += int64(len(data))
	return data, err
}

// next waits for more of the body. With no data and no error it has ended. io.ErrUnexpectedEOF: it
// broke off.
func (b *body) next() (data []byte, err error) {
	for {
		if data, err = b.buffered(); len(data) > 0 || err != nil || b.ended {
			return data, err
		}
		switch err := b.c.receive(b.pause); {
		case err == io.EOF && b.framing == toEnd:
			b.ended = true
			return nil, nil
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err == errBufferFull:
			b.c.enlarge(largeBuffer)
			if b.c.w == len(b.c.buf)-tailroom {
				return nil, errTrailers
			}
		case err != nil:
			return nil, err
		}
	}
}
