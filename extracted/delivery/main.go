// Command delivery is the delivery service: it took couriers and their plans over from the
// monolith, and keeps them in a database of its own.
//
//	delivery --listen 127.0.0.1:9001 --database sqlite:delivery.db
//
// It logs JSON lines on stderr; the line "listening" has the bound address. SIGTERM and SIGINT let
// the requests in flight finish. Exit codes: 0 stopped, 1 failed, 2 unusable arguments.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/strangler-fig/strangler/extracted/delivery/internal/dispatch"
	"github.com/strangler-fig/strangler/extracted/delivery/schema"
	"github.com/strangler-fig/strangler/extracted/kit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

func run(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("delivery", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:9001", "`address` to serve HTTP on; port 0 takes a free one")
	database := flags.String("database", "sqlite:delivery.db", "`DSN`: sqlite:path, postgres://user@host/name or mysql://user@host:3306/name")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	if err := serve(ctx, *listen, *database, log); err != nil {
		log.Error("delivery stopped", "err", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, listen, dsn string, log *slog.Logger) (err error) {
	db, err := kit.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(schema.Scripts, schema.VersionTable); err != nil {
		return err
	}
	handler, err := dispatch.NewHandler(dispatch.Config{DB: db, Logger: log})
	if err != nil {
		return err
	}
	return kit.Serve(ctx, listen, handler, log)
}
