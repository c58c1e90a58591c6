package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

// chooser chooses how changes here are captured.
func (d *Database) chooser() serverlog.Chooser {
	return serverlog.Chooser{Binding: d.b, Way: "logical decoding"}
}

// choose says how the changes of tables that are all there are captured. What the scripts have made stands.
func (d *Database) choose(ctx context.Context, tables []*table) (serverlog.Choice, error) {
	if d.b.Side == strangler.Service {
		return d.chooser().Service(), nil
	}
	if made, err := d.chosen(ctx); err != nil || made.Stands {
		return made, err
	}
	never := ""
	if d.sharing() {
		never = whySharing
	}
	return d.chooser().Choose(never, func() (string, []string, error) { return d.unfit(ctx, tables) })
}

// chosen is what scripts that have run have made; standing only where they have.
func (d *Database) chosen(ctx context.Context) (serverlog.Choice, error) {
	at, _, err := d.Version(ctx)
	if err != nil || at < uint(migrations.StageCapture) || at >= uint(migrations.StageComplete) {
		return serverlog.Choice{}, err
	}
	base, err := d.base(ctx, d.pool)
	return d.chooser().Made(base >= 0), err
}

// takesReplication tries a connection that could read a slot: what is between us and the server may not let it through,
// and senders may be used up.
func (d *Database) takesReplication(ctx context.Context) error {
	conn, err := pgconn.ConnectConfig(ctx, d.replication())
	if err != nil {
		return err
	}
	defer shut(conn)
	return conn.Exec(ctx, "IDENTIFY_SYSTEM").Close()
}

// replication is the configuration of a connection that reads a slot.
func (d *Database) replication() *pgconn.Config {
	cfg := d.pool.Config().ConnConfig.Config.Copy()
	cfg.RuntimeParams["replication"] = "database"
	cfg.DialFunc = newLines().dialer.DialContext
	return cfg
}

// capture puts the choice into what was inspected, where there is one.
func (in *inspection) capture(ctx context.Context) error {
	if in.d.b.Side != strangler.Legacy || slices.Contains(in.tables, nil) || len(in.s.Problems) > 0 {
		return nil
	}
	c, err := in.d.choose(ctx, in.tables)
	if errors.Is(err, strangler.ErrRefused) {
		return nil // the scripts are refused
	}
	in.s.Capture = c.String()
	return err
}
