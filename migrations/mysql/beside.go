package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// maxTexts bounds how many triggers, routines and events are read that may write the tables.
const maxTexts = 500

// writers are who writes the tables, or may, and what the database does by itself.
func (x *examination) writers(ctx context.Context) error {
	if x.d.b.Side != strangler.Legacy {
		return nil
	}
	var refusal *strangler.Refusal
	all, err := x.d.Writers(ctx)
	recorded := err == nil && len(all) > 0
	if err != nil && !errors.As(err, &refusal) {
		return err
	}
	if !recorded {
		if all, err = x.sessions(ctx); err != nil {
			return err
		}
	}
	for _, f := range migrations.Beside(x.d.b.Capability, all, recorded) {
		x.add(f)
	}
	var found []migrations.Finding
	for _, source := range hiding {
		more, err := x.hidden(ctx, source.what, source.query)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	for _, f := range migrations.FewHidden(found) {
		x.add(f)
	}
	return x.blind(ctx)
}

// sessions are those of others in this database, with their number for Writes; without PROCESS none is seen. What their users may
// do is not to be seen without rights on the server's own tables.
func (x *examination) sessions(ctx context.Context) (out []strangler.Writer, err error) {
	err = each(ctx, x.d.pool, `SELECT USER, SUBSTRING_INDEX(HOST, ':', 1), COUNT(*) FROM information_schema.PROCESSLIST
		WHERE DB = DATABASE() AND USER <> ? AND USER NOT IN ('system user', 'event_scheduler', 'unauthenticated user') AND COMMAND NOT LIKE 'Binlog Dump%' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 1000`, []any{x.d.role}, func(scan func(...any) error) error {
		var w strangler.Writer
		err := scan(&w.User, &w.Address, &w.Writes)
		out = append(out, w)
		return err
	})
	return out, err
}

// hiding are what may write tables by itself: queries of a name and a text. ? is the tables that move, as a list in commas.
var hiding = []struct{ what, query string }{
	{"the trigger %s, of a table that stays,", `SELECT CONCAT(TRIGGER_NAME, ' of ', EVENT_OBJECT_TABLE), ACTION_STATEMENT FROM information_schema.TRIGGERS
		WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME NOT LIKE 'strangler\_%' AND EVENT_OBJECT_TABLE NOT LIKE 'strangler\_%' AND NOT FIND_IN_SET(EVENT_OBJECT_TABLE, ?)`},
	{"the %s", `SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_NAME), COALESCE(ROUTINE_DEFINITION, '') FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_NAME NOT LIKE 'strangler\_%' AND ? <> ''`},
	{"the event %s", `SELECT EVENT_NAME, EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() AND STATUS = 'ENABLED' AND ? <> ''`},
}

func (x *examination) hidden(ctx context.Context, what, query string) (out []migrations.Finding, err error) {
	err = each(ctx, x.d.pool, fmt.Sprintf("%s ORDER BY 1 LIMIT %d", query, maxTexts), []any{strings.Join(x.d.b.Tables, ",")}, func(scan func(...any) error) error {
		var name, body string
		if err := scan(&name, &body); err != nil {
			return err
		}
		var written []string
		for _, t := range x.d.b.Tables {
			if migrations.WrittenBy(body, t) {
				written = append(written, t)
			}
		}
		if len(written) > 0 {
			out = append(out, migrations.Hidden(fmt.Sprintf(what, name), written))
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("look for what writes the tables by itself: %w", err)
	}
	return out, err
}

// blind warns where the server has events and routines that the user may not see.
func (x *examination) blind(ctx context.Context) error {
	var scheduler string
	if err := x.d.pool.QueryRowContext(ctx, "SELECT @@event_scheduler").Scan(&scheduler); err != nil {
		return err
	}
	here, global, err := x.d.privileges(ctx)
	if err != nil {
		return err
	}
	unseen := func(what, look, right string) {
		x.add(migrations.Finding{Phase: toCutOver, Check: migrations.CheckWriters, What: "which " + what + " write the tables is not to be seen from here",
			Next: []string{"look as an administrator: " + look, fmt.Sprintf("or let check look: GRANT %s TO '%s'@'…'", right, x.d.role)}})
	}
	if scheduler == "ON" && !here["EVENT"] && !here["ALL PRIVILEGES"] {
		unseen("scheduled events", "SHOW EVENTS FROM "+ident(x.d.name), "EVENT ON "+ident(x.d.name)+".*")
	}
	look, right := "SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = "+literal(x.d.name), "SHOW_ROUTINE ON *.*"
	sees := global["SELECT"] || global["SHOW_ROUTINE"] || global["ALL PRIVILEGES"]
	if x.d.mariadb && !sees {
		var one int
		err := x.d.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT 1 FROM mysql.proc LIMIT 1) AS p").Scan(&one)
		if err != nil && number(err) == 0 {
			return err
		}
		sees, right = err == nil, "SELECT ON mysql.proc"
	}
	if !sees {
		unseen("routines", look, right)
	}
	return nil
}
