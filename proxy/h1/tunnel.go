package h1

import (
	"fmt"
	"io"
	"net"
	"time"
)

// tunnelFarewell is how long one direction may go on behind the other's end.
const tunnelFarewell = 30 * time.Second

// tunnel passes bytes both ways behind an upgrade, until either end closes. Nothing limits how long
// that takes; Close of the server waits for it, or cuts it.
func (x *Exchange) tunnel(up *wire) error {
	x.status = x.answer.Status
	x.shut = true
	if err := x.send(append(x.out, up.unread()...)); err != nil {
		return err
	}
	up.r = up.w
	up.rest()
	if early := x.c.unread(); len(early) > 0 {
		if err := up.write(early, x.s.Limits.Stall); err != nil {
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
		x.c.r = x.c.w
	}
	x.body.ended = true
	ended := make(chan error, 1)
	go func() { ended <- shovel(up.nc, x.c.nc) }()
	fromUpstream := shovel(x.c.nc, up.nc)
	fromClient := <-ended
	switch {
	case fromUpstream != nil:
		return fmt.Errorf("%w: %w", ErrBroken, fromUpstream)
	case fromClient != nil:
		return fmt.Errorf("%w: %w", ErrClient, fromClient)
	}
	return nil
}

// shovel copies one direction. At its end the other end is told, and the other direction has to end
// soon as well; at its failure at once.
func shovel(to, from net.Conn) error {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		_ = to.SetReadDeadline(time.Now().Add(tunnelFarewell)) // what is broken ends by itself
		return nil
	}
	_ = to.SetDeadline(past)
	_ = from.SetDeadline(past)
	return err
}
