package control

import (
	"context"
	"time"

	"github.com/strangler-fig/strangler"
)

// rest is how long Watch waits before it connects again.
const rest = time.Second

// Watch calls changed soon after any process has changed a toggle or released a gate, and once when it
// begins to hear, until ctx ends. It calls too often rather than too seldom, and from one goroutine. What
// it cannot hear it does not tell: on SQLite, and while the server cannot be reached, nobody calls, so
// whoever watches also reads now and then.
func (s *Store) Watch(ctx context.Context, changed func()) {
	if s.dialect.listen == nil {
		<-ctx.Done()
		return
	}
	for {
		err := s.dialect.listen(ctx, changed)
		if ctx.Err() != nil {
			return
		}
		s.log.Debug("the control store's notifications are not heard; they will be again once it can be reached", strangler.LogError, err)
		again := time.NewTimer(rest)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}
