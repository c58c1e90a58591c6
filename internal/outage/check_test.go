package outage

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strangler-fig/strangler"
)

// check stops the writers, lets the follower catch up, and looks at everything that has to hold at the end:
// both sides equal, each acknowledged write in the owner, and one fence open, the owner's.
func (r *rig) check(writers ...*writer) {
	t := r.t
	t.Helper()
	for _, w := range writers {
		w.stop()
	}
	r.caughtUp()
	owner := r.anOwner()
	r.oneOpen(owner)
	for _, table := range tables {
		if d := cmp.Diff(image(t, r.apps[owner], table), image(t, r.apps[owner.Other()], table)); d != "" {
			t.Errorf("%s differs, - is the owner (%s):\n%s", table, owner, shortened(d))
		}
	}
	for _, w := range writers {
		w.check(r.apps[owner])
	}
	v, err := r.splits.Verify(t.Context(), capability)
	if err != nil || v.Mismatches != 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// oneOpen tries a write at both sides, and reads what the fences say of themselves.
func (r *rig) oneOpen(owner strangler.Side) {
	r.t.Helper()
	for _, side := range sides {
		want := "closed"
		if side == owner {
			want = "open"
		}
		if state := r.fenceState(side); state != want {
			r.t.Errorf("the %s side's fence says %s, and %s owns", side, state, owner)
		}
		if err := r.tryWrite(side); (err == nil) != (side == owner) || err != nil && !refusedByFence(err) {
			r.t.Errorf("%s owns, and to a write the %s side answers: %v", owner, side, err)
		}
	}
}

func (r *rig) fenceState(side strangler.Side) (state string) {
	r.t.Helper()
	must(r.t, r.root(side).QueryRow(r.t.Context(), "SELECT state FROM strangler_fence WHERE capability = $1", capability).Scan(&state))
	return state
}

// tryWrite writes at a side and takes it back.
func (r *rig) tryWrite(side strangler.Side) error {
	tx, err := r.apps[side].Begin(r.t.Context())
	if err != nil {
		return err
	}
	for _, q := range []string{"INSERT INTO invoice (id, total, code) VALUES (-1, 0, 'tried')", "DELETE FROM line WHERE invoice = -1", "UPDATE note SET text = text WHERE id = -1"} {
		if err == nil {
			_, err = tx.Exec(r.t.Context(), q)
		}
	}
	_ = tx.Rollback(r.t.Context())
	return err
}

// check holds the log against the owner's rows.
func (w *writer) check(owner *pgxpool.Pool) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble != nil {
		w.t.Errorf("%s: %v", w.name, w.trouble)
	}
	type found struct {
		total int64
		line  string
	}
	there := map[string]found{}
	rows, err := owner.Query(w.t.Context(), "SELECT i.code, i.total, coalesce(l.text, 'no line') FROM invoice AS i LEFT JOIN line AS l ON l.invoice = i.id AND l.n = 1 WHERE i.code LIKE $1", w.name+" %")
	must(w.t, err)
	var code string
	var f found
	_, err = pgx.ForEachRow(rows, []any{&code, &f.total, &f.line}, func() error {
		if _, twice := there[code]; twice {
			w.t.Errorf("%s is there twice", code)
		}
		there[code] = f
		return nil
	})
	must(w.t, err)
	for code, may := range w.may {
		f, ok := there[code]
		if !ok {
			f.total = absent
		}
		if !slices.Contains(may, f.total) {
			w.t.Errorf("%s is %d at the owner and has to be one of %v (the answer told: %t; its last error: %v)", code, f.total, may, !w.vague[code], w.said[code])
		}
		if ok && f.line != strconv.FormatInt(f.total, 10) {
			w.t.Errorf("%s is half there: its total is %d, its line says %s", code, f.total, f.line)
		}
		delete(there, code)
	}
	for code := range there {
		w.t.Errorf("%s is there, and its write was refused: %v", code, w.said[code])
	}
	if w.done == 0 {
		w.t.Errorf("%s never wrote", w.name)
	}
}

func image(t testing.TB, p *pgxpool.Pool, table string) []string {
	t.Helper()
	rows, err := p.Query(t.Context(), "SELECT to_jsonb(x)::text FROM "+table+" AS x ORDER BY 1")
	must(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return out
}

func shortened(s string) string {
	const most = 20
	lines := strings.Split(s, "\n")
	var differ []string
	for _, l := range lines {
		if strings.HasPrefix(l, "-") || strings.HasPrefix(l, "+") {
			differ = append(differ, l)
		}
	}
	return strings.Join(differ[:min(len(differ), most)], "\n")
}
