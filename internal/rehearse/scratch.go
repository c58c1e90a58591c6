package rehearse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// copying names the rehearsal in the bindings and the tables of its own, beside the capability's.
const copying = "rehearsal"

// place is one side: its database in production, and the one that its copy goes to.
type place struct {
	side                strangler.Side
	production, scratch string   // DSNs
	before              standing // what the copy's database held
	taken               bool     // it was found empty, and what is in it is the rehearsal's
}

// clearTimeout bounds the taking away of one copy.
const clearTimeout = time.Minute

// take looks where the copies may go, and makes SQLite's files. Nothing is written into a database yet.
func (r *run) take(ctx context.Context) (err error) {
	if err := r.named(); err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp(r.Dir, "strangler-rehearsal-"); err != nil {
		return err
	}
	for _, p := range r.places() {
		if kindOf(p.production) == sqliteKind {
			path := filepath.Join(r.dir, string(p.side)+".db")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			p.scratch = "sqlite:" + path
		}
	}
	if err := r.apart(ctx); err != nil {
		return err
	}
	for _, p := range r.places() {
		if err := p.take(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) places() []*place { return []*place{&r.legacy, &r.service} }

// named refuses a side without a database for its copy: none is made on a server of production's unasked.
func (r *run) named() error {
	var missing, next []string
	for _, p := range r.places() {
		k := kindOf(p.production)
		switch {
		case k == sqliteKind && p.scratch != "":
			return fmt.Errorf("%w: playbook.rehearse.%s of %s: the copy of a SQLite database is a temporary file; leave it out", strangler.ErrConfig, p.side, r.Capability.Name)
		case k != sqliteKind && p.scratch == "":
			missing = append(missing, string(p.side))
			next = append(next, fmt.Sprintf("CREATE DATABASE strangler_rehearsal_%s;  -- on any %s server but the busy one", p.side, k.name()))
		case k != sqliteKind && kindOf(p.scratch) != k:
			return fmt.Errorf("%w: playbook.rehearse.%s of %s is another kind of database than the one that it is a copy of, which is %s", strangler.ErrConfig, p.side, r.Capability.Name, k.name())
		}
	}
	if missing == nil {
		return nil
	}
	var keys []string
	for _, side := range missing {
		keys = append(keys, fmt.Sprintf("%s: \"${REHEARSE_%s}\"", side, strings.ToUpper(side)))
	}
	return strangler.Refuse("scratch", fmt.Sprintf("strangler.yaml names no database for the copy of the %s side of %s, and none is made on a server of production's unasked", strings.Join(missing, " and the "), r.Capability.Name),
		append(next, "playbook: {rehearse: {"+strings.Join(keys, ", ")+"}}  # in strangler.yaml, of "+r.Capability.Name, "strangler playbook rehearse "+r.Capability.Name)...)
}

// apart refuses copies that are production's databases, or one another.
func (r *run) apart(ctx context.Context) error {
	seen := map[string]string{}
	for _, p := range r.places() {
		for _, d := range []struct{ what, dsn string }{{"production's " + string(p.side) + " database", p.production}, {"the copy of the " + string(p.side) + " side", p.scratch}} {
			id, err := identity(ctx, d.dsn, p.side, r.Capability.Name)
			if err != nil {
				return err
			}
			if other := seen[id]; other != "" {
				return strangler.Refuse("scratch", fmt.Sprintf("%s and %s are one and the same (%s)", other, d.what, config.Redact(d.dsn)), "name an empty database of its own in playbook.rehearse of "+r.Capability.Name)
			}
			seen[id] = d.what
		}
	}
	return nil
}

func identity(ctx context.Context, dsn string, side strangler.Side, capability string) (id string, err error) {
	d, err := engines.Open(ctx, migrations.Binding{Capability: capability, Side: side, DSN: dsn})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Identity(ctx)
}

// take remembers what stands in the copy's database; tables, even empty ones, are refused.
func (p *place) take(ctx context.Context) (err error) {
	k := kindOf(p.scratch)
	db, err := k.open(ctx, p.scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	there, err := k.stands(ctx, db)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return strangler.Refuse("scratch", fmt.Sprintf("the database for the copy of the %s side (%s) is not empty, it has: %s", p.side, config.Redact(p.scratch), strings.Join(there, ", ")),
			"name an empty one in playbook.rehearse", "or, if these are of a rehearsal that was killed, drop that database and create it anew")
	}
	p.before, err = k.standing(ctx, db)
	p.taken = err == nil
	return err
}

// give takes away what was made, whatever became of the caller's context. What it cannot is in Report.Left.
func (r *run) give() error {
	for _, p := range r.places() {
		if !p.taken || kindOf(p.scratch) == sqliteKind {
			continue
		}
		if err := p.clear(r.Keep); err != nil {
			r.report.Left = append(r.report.Left, fmt.Sprintf("the copy of the %s side in %s, which could not be taken away (%v): drop that database, and create it anew", p.side, config.Redact(p.scratch), err))
		} else if r.Keep {
			r.report.Left = append(r.report.Left, fmt.Sprintf("the copy of the %s side in %s, to look at: drop that database when you are done", p.side, config.Redact(p.scratch)))
		}
	}
	if r.dir == "" {
		return nil
	}
	if r.Keep {
		r.report.Left = append(r.report.Left, fmt.Sprintf("the folder %s with the scripts, the control store and the copies of SQLite databases: delete it when you are done", r.dir))
		return nil
	}
	if err := os.RemoveAll(r.dir); err != nil {
		r.report.Left = append(r.report.Left, fmt.Sprintf("the folder %s, which could not be removed (%v): delete it", r.dir, err))
	}
	return nil
}

// clear drops what the rehearsal has made. A replication slot may be in use for a moment still.
func (p *place) clear(keep bool) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), clearTimeout)
	defer cancel()
	k := kindOf(p.scratch)
	db, err := k.open(ctx, p.scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for range 50 {
		if err = k.clear(ctx, db, p.before, keep); err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return err
}
