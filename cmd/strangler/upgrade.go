package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/daemon"
)

// upgradable runs a daemon that SIGUSR2 replaces by a new process of the program's file, as it is then, with the same arguments. The
// new one inherits the listeners, so that no connection is refused meanwhile; when it is ready this one ends, and when it
// does not become so this one goes on. A process that was started so is told apart by its environment.
func upgradable(ctx context.Context, pidFile string, log *slog.Logger, run func(daemon.Options) error, options daemon.Options) error {
	upgrader, err := tableflip.New(tableflip.Options{PIDFile: pidFile})
	if errors.Is(err, tableflip.ErrNotSupported) {
		return run(options)
	}
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, upgrader.Stop)() // whoever ends this process does not want the next one either
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	var upgrading sync.WaitGroup
	defer upgrading.Wait()
	defer upgrader.Stop() // before that is waited for: a process that is just coming up would be
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer signal.Stop(asked)
	upgrading.Go(func() {
		for {
			select {
			case <-asked:
			case <-ctx.Done():
				return
			}
			log.Info("starting a new process, which takes over")
			if err := upgrade(ctx, upgrader); err != nil {
				log.Error("the new process did not take over; this one goes on as before", strangler.LogError, err)
			}
		}
	})
	ready := options.Ready
	options.Listen, options.Replaced, options.Successor = upgrader.Listen, upgrader.Exit(), upgrader.HasParent()
	options.Ready = func(d *daemon.Daemon) error {
		if err := upgrader.Ready(); err != nil {
			if options.Successor && !strings.Contains(err.Error(), "can't notify parent") { // that one is gone, and this one serves in its place
				return fmt.Errorf("this process cannot take over, and ends; the one before goes on: %w", err)
			}
			log.Error("the daemon serves, but not everyone could be told so", strangler.LogError, err)
		}
		return ready(d)
	}
	return run(options)
}

// upgrade starts the new process and waits until it is ready, behind the end of the process that this one has replaced. The upgrader
// may notice that end a moment after it has reported it.
func upgrade(ctx context.Context, u *tableflip.Upgrader) error {
	if err := u.WaitForParent(ctx); err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		err := u.Upgrade()
		if err == nil || tries == 10 || !strings.Contains(err.Error(), "parent hasn't exited") {
			return err
		}
		moment := time.NewTimer(10 * time.Millisecond)
		<-moment.C
	}
}
