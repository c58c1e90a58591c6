package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// TestWriters: who wrote, by application name, user and address, before and after the log was given away;
// what Strangler applies is nobody's.
func TestWriters(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	for _, r := range e.missing() {
		e.grant(r)
	}
	p, legacy, service, done, err := e.planning()
	must(t, err)
	t.Cleanup(func() { must(t, done()) })
	plan, err := p.Make(t.Context())
	must(t, err)
	must(t, p.Write(t.Context(), plan))
	if _, err := legacy.Writers(t.Context()); !errors.Is(err, strangler.ErrRefused) {
		t.Errorf("without a capture: %v", err)
	}
	must(t, p.To(t.Context(), migrations.StageArmed))
	w := &walk{ctx: t.Context(), p: p, from: legacy, to: service}
	must(t, w.raise())
	must(t, w.copy())

	server := localdbtest.Shared(t)
	write := func(role, application, script string) {
		run(t, server.As(e.role(role), e.legacy)+"&application_name="+application, script)
	}
	begun := time.Now().Add(-time.Second)
	write("app", "cron%20job", "INSERT INTO visits (part, note) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
	write("app", "", "UPDATE hr.couriers SET zone = 1")
	must(t, w.sync())
	write("app", "cron%20job", "DELETE FROM visits WHERE part = 3")
	write("second", "caf%C3%A9", "TRUNCATE visits_d")

	got, err := legacy.Writers(t.Context())
	must(t, err)
	want := []strangler.Writer{
		{Application: "cron job", User: e.role("app"), Address: "127.0.0.1", Writes: 4},
		{Application: "caf??", User: e.role("second"), Address: "127.0.0.1", Writes: 2},
		{Application: "", User: e.role("app"), Address: "127.0.0.1", Writes: 2},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(strangler.Writer{}, "Last")); diff != "" {
		t.Error(diff)
	}
	for _, x := range got {
		if x.Last.Before(begun) || x.Last.After(time.Now().Add(time.Minute)) {
			t.Errorf("%+v", x)
		}
	}
	var keys []migrations.Key
	must(t, legacy.Range(t.Context(), 0, migrations.Range{}, func(r migrations.Row) error { keys = append(keys, legacy.KeyOf(0, r)); return nil }))
	must(t, legacy.Relog(t.Context(), 0, keys))
	if got, err := legacy.Writers(t.Context()); err != nil || len(got) != len(want) {
		t.Errorf("behind a repair: %v, %v", got, err)
	}
	must(t, w.sync())
	if got, err := legacy.Writers(t.Context()); err != nil || len(got) != len(want) {
		t.Errorf("once its batch is forgotten: %v, %v", got, err)
	}
	found, err := legacy.Examine(t.Context())
	must(t, err)
	expect(t, found, 1, migrations.CheckWriters, `"cron job" as the user `+e.role("app"), "has written the tables 4 times", "taken for")
	expect(t, found, 1, migrations.CheckWriters, `"caf??" as the user `+e.role("second"), "no route explains it", "give it a seam")
	if got, err := service.Writers(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("at the service: %v, %v", got, err)
	}
}
