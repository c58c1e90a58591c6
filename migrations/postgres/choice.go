package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// choice is how the changes here are captured, and why so.
type choice struct {
	logical bool
	why     string
	stands  bool     // the scripts that make it have run: it stays until they are taken back
	next    []string // what would make logical decoding possible, where it is not
}

func (c choice) way() strangler.Capture {
	if c.logical {
		return strangler.CaptureLogical
	}
	return strangler.CaptureTriggers
}

func (c choice) String() string {
	by := "triggers"
	if c.logical {
		by = "logical decoding"
	}
	return fmt.Sprintf("changes are captured by %s: %s", by, c.why)
}

// choose says how the changes of tables that are all there are captured. What the scripts have made stands; before they
// have run it is what was asked for, and without that logical decoding where it can be. Asked for where it cannot be, it
// is refused.
func (d *Database) choose(ctx context.Context, tables []*table) (choice, error) {
	if d.b.Side == strangler.Service {
		return choice{why: "the service's own always are", stands: true}, nil
	}
	if made, err := d.chosen(ctx); err != nil || made.stands {
		return made, err
	}
	switch {
	case d.sharing() && d.b.Capture == strangler.CaptureLogical:
		return choice{}, d.cannotDecode(whySharing, []string{"capture: triggers"})
	case d.sharing():
		return choice{why: whySharing}, nil
	case d.b.Capture == strangler.CaptureTriggers:
		return choice{why: "strangler.yaml says so"}, nil
	}
	why, next, err := d.unfit(ctx, tables)
	switch {
	case err != nil:
		return choice{}, err
	case d.b.Capture == strangler.CaptureLogical && why != "":
		return choice{}, d.cannotDecode(why, append(next, "capture: triggers"))
	case d.b.Capture == strangler.CaptureLogical:
		return choice{logical: true, why: "strangler.yaml says so"}, nil
	case why != "":
		return choice{why: why, next: next}, nil
	}
	return choice{logical: true, why: "the server, the role and the tables allow it; capture: triggers would choose otherwise"}, nil
}

// chosen is what scripts that have run have made; standing only where they have.
func (d *Database) chosen(ctx context.Context) (choice, error) {
	at, _, err := d.Version(ctx)
	if err != nil || at < uint(migrations.StageCapture) || at >= uint(migrations.StageComplete) {
		return choice{}, err
	}
	base, err := d.base(ctx, d.pool)
	c := choice{logical: base >= 0, stands: true, why: "so it was chosen when the scripts were made, and so it stays until they are taken back"}
	if err == nil && d.b.Capture != "" && d.b.Capture != c.way() {
		c.why += fmt.Sprintf("; for capture: %s, strangler split cancel %s, then plan anew", d.b.Capture, d.b.Capability)
	}
	return c, err
}

func (d *Database) cannotDecode(why string, next []string) error {
	return strangler.Refuse("capture", fmt.Sprintf("%s cannot be captured by logical decoding in the %s database: %s", d.b.Capability, d.b.Side, why), next...)
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
