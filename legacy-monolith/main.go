// Command legacy-monolith is the reference monolith: a food-ordering shop in one program with one
// database, from which Strangler takes the capability delivery.
//
//	legacy-monolith --listen 127.0.0.1:9000 --database sqlite:shop.db --seed 120000 \
//	    --delivery http://127.0.0.1:9001 --toggles http://127.0.0.1:8081
//
// Before Strangler's "complete" it is started with --delivery-left, the release that no longer reads the tables that go.
//
// It logs JSON lines on stderr; the line "listening" has the bound address. SIGTERM and SIGINT let
// the requests in flight finish. The environment variable STRANGLER_TOKEN is the bearer token for
// the admin API of --toggles. Exit codes: 0 stopped, 1 failed, 2 unusable arguments.
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

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/schema"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seam"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seed"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/shop"
)

type options struct {
	listen   string
	database string
	seed     int
	delivery string
	toggles  string
	token    string
	whole    bool
	left     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv("STRANGLER_TOKEN"), os.Stderr))
}

func run(ctx context.Context, args []string, token string, stderr io.Writer) int {
	o := options{token: token}
	flags := flag.NewFlagSet("legacy-monolith", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:9000", "`address` to serve HTTP on; port 0 takes a free one")
	flags.StringVar(&o.database, "database", "sqlite:shop.db", "`DSN`: sqlite:path, postgres://user@host/name or mysql://user@host:3306/name")
	flags.IntVar(&o.seed, "seed", 0, "fill an empty database with so many `rows` of couriers and courier actions, and what they need")
	flags.StringVar(&o.delivery, "delivery", "", "base `URL` of the delivery service")
	flags.StringVar(&o.toggles, "toggles", "", "base `URL` of Strangler's admin API; empty means that the monolith stands alone")
	flags.BoolVar(&o.whole, "whole-orders", false, "the service takes couriers alone: the courier and the times of an order's delivery stay in orders")
	flags.BoolVar(&o.left, "delivery-left", false, "delivery has left for good: nobody is asked who owns it, and the tables that went are not read")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 || o.seed < 0 || o.seed > seed.Limit {
		fmt.Fprintf(stderr, "want flags only, and --seed between 0 and %d\n", seed.Limit)
		return 2
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	if err := serve(ctx, o, log); err != nil {
		log.Error("monolith stopped", "err", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, o options, log *slog.Logger) (err error) {
	db, err := kit.Open(ctx, o.database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	cut, err := seam.New(seam.Config{DB: db, Delivery: o.delivery, Toggles: o.toggles, Token: o.token, WholeOrders: o.whole, Left: o.left, Logger: log})
	if err != nil {
		return err
	}
	defer cut.Close()
	if err := db.Migrate(schema.Scripts, schema.VersionTable); err != nil {
		return err
	}
	if o.seed > 0 {
		filled, err := seed.Fill(ctx, db, o.seed)
		if err != nil {
			return err
		}
		log.Info("seed", "rows", o.seed, "filled", filled)
	}
	if o.toggles == "" && !o.left {
		log.Info("standing alone: requests without the header " + seam.OwnerHeader + " schedule deliveries here; --toggles ends that")
	}
	handler, err := shop.NewHandler(shop.Config{DB: db, Seam: cut, Logger: log})
	if err != nil {
		return err
	}
	return kit.Serve(ctx, o.listen, handler, log)
}
