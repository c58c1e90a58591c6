package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

const (
	whySharing = "of a table only a part moves, and the binary log tells of all of it"
	whyMySQL   = "MySQL does not tell what of its binary log a snapshot sees"
)

// chooser chooses how changes here are captured.
func (d *Database) chooser() serverlog.Chooser {
	return serverlog.Chooser{Binding: d.b, Way: "the binary log"}
}

// choose says how the changes of tables that are all there are captured. What the scripts have made stands.
func (d *Database) choose(ctx context.Context, tables []*table) (serverlog.Choice, error) {
	if d.b.Side == strangler.Service {
		return d.chooser().Service(), nil
	}
	at, _, err := d.Version(ctx)
	if err != nil {
		return serverlog.Choice{}, err
	}
	if at >= uint(migrations.StageCapture) && at < uint(migrations.StageComplete) {
		base, err := d.base(ctx, d.pool)
		return d.chooser().Made(base.logical()), err
	}
	never := ""
	switch {
	case slices.ContainsFunc(d.b.Shares, func(s migrations.Share) bool { return !s.Whole() }):
		never = whySharing
	case !d.mariadb:
		never = whyMySQL
	}
	return d.chooser().Choose(never, func() (string, []string, error) { return d.unfit(ctx, tables) })
}

// unfit says what stands against reading the changes of the tables from the binary log, with what would satisfy it. A log that is
// not written out before a commit is answered may lose what InnoDB keeps; one that does not name columns says nothing certain
// once a table is altered; and one that leaves out what did not change has the primary key all the same, and no other.
func (d *Database) unfit(ctx context.Context, tables []*table) (why string, next []string, err error) {
	var logged bool
	var format, metadata, image string
	var sync int
	if err := d.pool.QueryRowContext(ctx, "SELECT @@log_bin, @@binlog_format, @@binlog_row_metadata, @@binlog_row_image, @@sync_binlog").Scan(&logged, &format, &metadata, &image, &sync); err != nil {
		return "", nil, err
	}
	say := func(what, how string) {
		if why != "" {
			why += "; "
		}
		if why += what; how != "" {
			next = append(next, how)
		}
	}
	if !logged {
		say("the server writes no binary log", "start it with --log-bin")
	}
	if format != "ROW" {
		say("binlog_format is "+format, "SET GLOBAL binlog_format = 'ROW', then have the application connect anew")
	}
	if metadata != "FULL" {
		say("binlog_row_metadata is "+metadata, "SET GLOBAL binlog_row_metadata = 'FULL'")
	}
	if sync != 1 {
		say(fmt.Sprintf("sync_binlog is %d", sync), "SET GLOBAL sync_binlog = 1")
	}
	_, has, err := d.privileges(ctx)
	if err != nil {
		return "", nil, err
	}
	if !has["REPLICATION SLAVE"] && !has["ALL PRIVILEGES"] {
		say("the user may not read it", "GRANT REPLICATION SLAVE ON *.* TO '"+d.role+"'@'…'")
	}
	for _, t := range tables {
		if image != "FULL" && !strings.Contains(t.ddl, "PRIMARY KEY") {
			say(fmt.Sprintf("binlog_row_image is %s, and %s has no primary key", image, t.name), "SET GLOBAL binlog_row_image = 'FULL', then have the application connect anew")
		}
		for _, c := range t.key() {
			if what := c.illegible(); what != "" {
				say(fmt.Sprintf("the column %s of the key of %s %s", c.Name, t.name, what), "")
			}
		}
	}
	if why == "" {
		if err := d.takesReplica(ctx); err != nil {
			if ctx.Err() != nil {
				return "", nil, err
			}
			say("a connection to read it fails: "+err.Error(), "let it through")
		}
	}
	return why, next, nil
}

// capture puts the choice into what was inspected, where there is one.
func (in *inspection) capture(ctx context.Context, tables []*table) error {
	if in.d.b.Side != strangler.Legacy || len(tables) < len(in.d.b.Tables) || len(in.s.Problems) > 0 {
		return nil
	}
	c, err := in.d.choose(ctx, tables)
	var refusal *strangler.Refusal
	if errors.As(err, &refusal) {
		in.problem("capture", strings.Join(refusal.Next, ", or "), "%s", refusal.Why)
		return nil
	}
	in.s.Capture = c.String()
	return err
}
