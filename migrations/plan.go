package migrations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// Plan is what `migrate plan` shows: the scripts, in the order in which they will run, and what a
// person should know before they do.
type Plan struct {
	Files    []File
	Capture  string // how the monolith's changes are recorded, and why; empty where there is no choice
	Notes    Notes
	Crossing []ForeignKey // that the scripts cut
}

// File is one script, at its path below Config.Dir.
type File struct {
	Path string
	SQL  string
}

// Planning makes and runs a capability's scripts, without a daemon. Its calls must not overlap.
type Planning struct {
	c         strangler.Capability
	dir       string
	controlID string
	open      func(ctx context.Context, side strangler.Side) (Database, error)
	fault     func(string) error
	mine      func(ctx context.Context) error // asked before each script; nil: nobody else runs them
}

// NewPlanning opens both databases of a capability; Close them when done. Where neither opens, the error has both reasons.
func NewPlanning(ctx context.Context, open Open, dir, controlID string, c strangler.Capability) (p *Planning, closeAll func() error, err error) {
	dbs := map[strangler.Side]Database{}
	closeAll = func() error {
		var errs []error
		for _, d := range dbs {
			errs = append(errs, d.Close())
		}
		return errors.Join(errs...)
	}
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		d, errOpen := openSide(ctx, open, c, side, controlID)
		if errOpen != nil {
			err = errors.Join(err, errOpen)
			continue
		}
		dbs[side] = d
	}
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	p = &Planning{c: c, dir: dir, controlID: controlID, fault: func(string) error { return nil },
		open: func(_ context.Context, side strangler.Side) (Database, error) { return dbs[side], nil }}
	return p, closeAll, nil
}

func (s *split) planning() *Planning {
	return &Planning{c: s.c, dir: s.cfg.Dir, controlID: s.cfg.ControlID, open: s.db, fault: s.cfg.Fault, mine: s.mine}
}

// Make inspects both databases and makes the scripts. Whatever forbids the split is a Refusal that
// names all of it; nothing is written.
func (p *Planning) Make(ctx context.Context) (Plan, error) {
	legacy, err := p.open(ctx, strangler.Legacy)
	if err != nil {
		return Plan{}, err
	}
	service, err := p.open(ctx, strangler.Service)
	if err != nil {
		return Plan{}, err
	}
	if err := apart(ctx, legacy, service); err != nil {
		return Plan{}, err
	}
	if _, err := meter(p.c, legacy); err != nil {
		return Plan{}, err
	}
	here, err := legacy.Inspect(ctx)
	if err != nil {
		return Plan{}, err
	}
	there, err := service.Inspect(ctx)
	if err != nil {
		return Plan{}, err
	}
	problems, common := append(here.Problems, there.Problems...), binding(p.c, strangler.Service, p.controlID).Common
	if common {
		problems = append(problems, carried(here)...)
	}
	problems = append(problems, deletes(here, p.c)...)
	if err := refuseAll(problems); err != nil {
		return Plan{}, err
	}
	like, left := here, Notes(nil)
	if common {
		pieces, wrong := inPieces(here, p.c)
		left = pieces.Notes
		if err := refuseAll(wrong); err != nil {
			return Plan{}, err
		}
		like, problems = remapped(pieces, p.c.AtService().Tables)
		problems = append(append(problems, unshared(here, p.c.Tables)...), leaning(here, p.c.Tables)...)
	}
	if err := refuseAll(problems); err != nil {
		return Plan{}, err
	}
	owner, err := legacy.OwnerScripts(ctx, here)
	if err != nil {
		return Plan{}, err
	}
	follower, err := service.FollowerScripts(ctx, like)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Capture: here.Capture, Crossing: here.Crossing, Notes: slices.Concat(here.Notes, there.Notes, left)}
	for i, k := range plan.Crossing {
		plan.Crossing[i].Policy = p.c.OnDelete[k.String()]
		plan.Notes = append(plan.Notes, k.note(p.c))
	}
	for _, t := range p.c.Tables {
		if note := mappingNote(t); note != "" {
			plan.Notes = append(plan.Notes, Note{What: note})
		}
	}
	add := func(side strangler.Side, scripts []Script, after, upto Stage) {
		for _, s := range scripts {
			if s.Stage > after && s.Stage <= upto {
				name := filepath.Join(p.c.Name, string(side), fmt.Sprintf("%06d_%s", s.Stage, s.Name))
				plan.Files = append(plan.Files, File{name + ".up.sql", s.Up}, File{name + ".down.sql", s.Down})
			}
		}
	}
	at := StageNone
	for _, to := range []Stage{StageCapture, StageIndexed, StageWhole, StageArmed, StageComplete} {
		add(strangler.Legacy, owner, at, to)
		add(strangler.Service, follower, at, to)
		at = to
	}
	return plan, nil
}

// apart refuses two sides in one database: their fence rows would be the same.
func apart(ctx context.Context, legacy, service Database) error {
	a, err := legacy.Identity(ctx)
	if err != nil {
		return err
	}
	b, err := service.Identity(ctx)
	if err != nil || a != b {
		return err
	}
	return strangler.Refuse("databases", "the legacy database and the service's are one and the same", "give the service a database of its own")
}

func refuseAll(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	var what, next []string
	for _, p := range problems {
		what, next = append(what, p.What), append(next, p.Next)
	}
	return strangler.Refuse(problems[0].Check, strings.Join(what, "; "), next...)
}

// Write puts the plan's files in place. Scripts that have run are never replaced: a plan that differs
// from them is refused.
func (p *Planning) Write(ctx context.Context, plan Plan) error {
	ran := false
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		d, err := p.open(ctx, side)
		if err != nil {
			return err
		}
		v, _, err := d.Version(ctx)
		if err != nil {
			return err
		}
		ran = ran || v > 0
	}
	if ran {
		return strangler.Refuse("scripts", fmt.Sprintf("scripts of %s have run already, and are not written anew under a database that holds their result", p.c.Name),
			"strangler split cancel "+p.c.Name+" takes them back", "strangler migrate status "+p.c.Name)
	}
	for _, f := range plan.Files {
		path := filepath.Join(p.dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.SQL), 0o644); err != nil {
			return err
		}
	}
	keys, err := json.MarshalIndent(plan.Crossing, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(p.keysFile(), append(keys, '\n'), 0o644)
}

// note says what becomes of a foreign key that crosses, and who has to see to what meanwhile.
func (k ForeignKey) note(c strangler.Capability) Note {
	next := "on_delete in strangler.yaml chooses otherwise"
	deletes, other := "monolith", "restrict"
	if k.ToMoved {
		deletes, other = "service", "cascade"
	}
	what := fmt.Sprintf("the %s may delete what it refers to, and no database refuses", deletes)
	switch c.OnDelete[k.String()] {
	case "":
		next = fmt.Sprintf("let it look before it deletes, say on_delete: {%q: %s}, or mend what `strangler migrate orphans %s` lists", k, other, c.Name)
	case strangler.DeleteRestrict:
		what = fmt.Sprintf("a trigger refuses when the monolith deletes a row of %s to which rows of %s refer, as far as they have come back from the service (on_delete: restrict)", k.Parent, k.Table)
	case strangler.DeleteCascade:
		what = fmt.Sprintf("what the service deletes from %s has its ON DELETE %s done to %s as soon as it comes back (on_delete: cascade)", k.Parent, k.OnDelete, k.Table)
	case strangler.DeleteIgnore:
		what = fmt.Sprintf("the %s may delete what it refers to, and nothing is done about it (on_delete: ignore); `strangler migrate orphans %s` lists what then refers to nothing", deletes, c.Name)
	}
	return note(next, "the foreign key %s → %s crosses the cut and is dropped before the cutover; a rollback restores it. Meanwhile %s", k, k.Parent, what)
}

// keysFile has the foreign keys that the scripts cut, for whoever asks which rows they would forbid meanwhile.
func (p *Planning) keysFile() string { return filepath.Join(p.dir, p.c.Name, "foreign_keys.json") }

// Orphans lists rows, at most 20, that foreign keys of the capability's tables or to them would forbid, those that are cut
// included: while one side follows the other, the monolith's database has the rows of both.
func (p *Planning) Orphans(ctx context.Context) ([]string, error) {
	legacy, err := p.open(ctx, strangler.Legacy)
	if err != nil {
		return nil, err
	}
	cut, err := p.cutKeys()
	if err != nil {
		return nil, err
	}
	return legacy.Orphans(ctx, cut)
}

// cutKeys are the foreign keys that the scripts cut; none where nothing is planned, or by an older plan.
func (p *Planning) cutKeys() (cut []ForeignKey, err error) {
	text, err := os.ReadFile(p.keysFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &cut)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.keysFile(), err)
	}
	return cut, nil
}

// Written reports whether the capability has scripts.
func (p *Planning) Written() bool {
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		if found, _ := filepath.Glob(filepath.Join(p.dir, p.c.Name, string(side), "*.up.sql")); len(found) == 0 {
			return false
		}
	}
	return true
}
