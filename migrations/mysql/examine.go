package mysql

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var _ migrations.Examiner = (*Database)(nil)

// Phases, in the words of Finding.
const (
	toCopy    = "copy"
	toCutOver = "cutover"
)

// The oldest servers that the statements are written for.
var oldest = map[bool][3]int{true: {10, 6, 0}, false: {8, 0, 29}}

// rights are what Strangler's user needs on each database. MySQL's scripts refuse by a procedure.
func (d *Database) rights() []string {
	all := []string{"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "REFERENCES", "TRIGGER", "LOCK TABLES"}
	if !d.mariadb {
		all = append(all, "CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE")
	}
	return all
}

type examination struct {
	d       *Database
	logical bool // the binary log is read for what changes here
	found   []migrations.Finding
}

func (x *examination) add(f migrations.Finding) { x.found = append(x.found, f) }

// Examine says what the user may and may not do here, and what of the server and its settings would get in the way. It
// changes nothing. Behind a pooler it says no more than that.
func (d *Database) Examine(ctx context.Context) ([]migrations.Finding, error) {
	x := &examination{d: d}
	shared, err := d.pooled(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for a pooler: %w", err)
	}
	if shared {
		p := d.behindPooler()
		return []migrations.Finding{{Check: p.Check, What: p.What, Next: []string{p.Next}, Forbids: true}}, nil
	}
	x.add(migrations.Finding{Check: "pooler", What: fmt.Sprintf("the address of the %s database leads to sessions of its own", d.b.Side), Fine: true})
	for _, f := range []func(context.Context) error{x.server, x.replica, x.grants, x.durability, x.capture, x.truncating, x.holders, x.writers} {
		if err := f(ctx); err != nil {
			return nil, err
		}
	}
	return x.found, nil
}

var versions = regexp.MustCompile(`^(\d+)\.(\d+)\.(\d+)`)

func (x *examination) server(ctx context.Context) error {
	var version, format string
	var readOnly, logged bool
	if err := x.d.pool.QueryRowContext(ctx, "SELECT VERSION(), @@read_only, @@log_bin, @@binlog_format").Scan(&version, &readOnly, &logged, &format); err != nil {
		return err
	}
	name := map[bool]string{true: "MariaDB", false: "MySQL"}[x.d.mariadb]
	var at [3]int
	if m := versions.FindStringSubmatch(version); m != nil {
		for i := range at {
			at[i], _ = strconv.Atoi(m[i+1])
		}
	}
	least := oldest[x.d.mariadb]
	switch {
	case slices.Compare(at[:], least[:]) < 0:
		x.add(migrations.Finding{Check: "server", What: "the server is " + name + " " + version, Next: []string{fmt.Sprintf("upgrade it to %s %d.%d.%d or later", name, least[0], least[1], least[2])}, Forbids: true})
	case readOnly:
		x.add(migrations.Finding{Check: "server", What: "the address leads to a server that is read only", Next: []string{"name the primary's address in strangler.yaml"}, Forbids: true})
	case !x.d.mariadb:
		x.add(migrations.Finding{Check: "server", What: "MySQL " + version + ": this engine is tested on MariaDB 10.11, not on MySQL", Next: []string{"rehearse the move on a copy first"}})
	default:
		x.add(migrations.Finding{Check: "server", What: "MariaDB " + version, Fine: true})
	}
	if logged && format == "STATEMENT" {
		x.add(migrations.Finding{Phase: toCopy, Check: "replication", What: "binlog_format is STATEMENT, under which the server refuses what Strangler's transactions write, and replicas would not get what triggers write",
			Next: []string{"SET GLOBAL binlog_format = 'ROW', then connect anew"}, Forbids: true})
	}
	return nil
}

// replica refuses a server that applies what another one writes: no trigger sees that, and no fence holds it up. Its threads are seen
// with PROCESS alone.
func (x *examination) replica(ctx context.Context) error {
	var threads int
	err := x.d.pool.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'system user' AND (COMMAND LIKE 'Slave\_%' OR STATE LIKE '%relay log%' OR STATE LIKE 'Waiting for % to send event')`).Scan(&threads)
	if err == nil && threads > 0 {
		x.add(migrations.Finding{Check: "server", What: "the address leads to a replica: what it takes over from another server is seen by no trigger and held up by no fence", Next: []string{"name the primary's address in strangler.yaml"}, Forbids: true})
	}
	return err
}

// grants says of each right that is needed whether the user has it.
func (x *examination) grants(ctx context.Context) error {
	has, global, err := x.d.privileges(ctx)
	if err != nil {
		return err
	}
	user := "'" + x.d.role + "'@'…'"
	var missing []string
	for _, right := range x.d.rights() {
		if !has[right] && !has["ALL PRIVILEGES"] {
			missing = append(missing, right)
		}
	}
	statement := fmt.Sprintf("GRANT %s ON %s.* TO %s", strings.Join(x.d.rights(), ", "), ident(x.d.name), user)
	f := migrations.Finding{Phase: toCopy, Check: "grant", What: statement + ": there", Fine: true}
	if len(missing) > 0 {
		statement = fmt.Sprintf("GRANT %s ON %s.* TO %s", strings.Join(missing, ", "), ident(x.d.name), user)
		f = migrations.Finding{Phase: toCopy, Check: "grant", What: statement + ": missing, to make, fence, record and drop the capability's tables", Next: []string{statement}, Forbids: true}
	}
	x.add(f)
	statement = "GRANT PROCESS ON *.* TO " + user
	if global["PROCESS"] || global["ALL PRIVILEGES"] {
		x.add(migrations.Finding{Phase: toCutOver, Check: "grant", What: statement + ": there, to name transactions that would keep a cutover waiting", Fine: true})
	} else {
		x.add(migrations.Finding{Phase: toCutOver, Check: "grant", What: statement + ": missing; without it, a transaction that would keep a cutover waiting is not named beforehand, and the cutover is given up after a second", Next: []string{statement}})
	}
	if x.d.b.Side == strangler.Legacy && x.d.b.Throttle.Sessions > 0 && !global["PROCESS"] && !global["ALL PRIVILEGES"] {
		x.add(migrations.Finding{Phase: toCopy, Check: "throttle", What: "sessions of other users are not seen, and do not hold the copy back", Next: []string{statement}})
	}
	return x.trust(ctx, global["SUPER"] || global["ALL PRIVILEGES"], user)
}

// trust is what a server with a binary log asks of who makes triggers.
func (x *examination) trust(ctx context.Context, super bool, user string) error {
	var logged, trusted bool
	if err := x.d.pool.QueryRowContext(ctx, "SELECT @@log_bin, @@log_bin_trust_function_creators").Scan(&logged, &trusted); err != nil {
		return err
	}
	if logged && !trusted && !super {
		x.add(migrations.Finding{Phase: toCopy, Check: "grant", What: "the server has a binary log, and lets nobody without SUPER make triggers", Next: []string{"SET GLOBAL log_bin_trust_function_creators = 1", "GRANT SUPER ON *.* TO " + user}, Forbids: true})
	}
	return nil
}

// privileges are the user's on its database, those on all databases included, and these.
func (d *Database) privileges(ctx context.Context) (here, global map[string]bool, err error) {
	here, global = map[string]bool{}, map[string]bool{}
	err = each(ctx, d.pool, "SHOW GRANTS", nil, func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		privileges, on := readGrant(line)
		for _, p := range privileges {
			if on == "*" {
				global[p] = true
			}
			if on == "*" || covers(on, d.name) {
				here[p] = true
			}
		}
		return err
	})
	return here, global, err
}

var grantLine = regexp.MustCompile("^GRANT (.+?) ON (?:TABLE )?(\\*|`(?:[^`]|``)*`)\\.(\\*|`.*`) TO ")

// readGrant reads a line of SHOW GRANTS: privileges, and the pattern of databases that they are for; "*": all. A grant on
// one table is for none.
func readGrant(line string) (privileges []string, on string) {
	m := grantLine.FindStringSubmatch(line)
	if m == nil || m[3] != "*" {
		return nil, ""
	}
	return strings.Split(m[1], ", "), strings.ReplaceAll(strings.Trim(m[2], "`"), "``", "`")
}

// covers tells whether a pattern of databases, with % and _ and \, matches one.
func covers(pattern, name string) bool {
	var glob strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			glob.WriteString("\\" + string(pattern[i]))
		case c == '%':
			glob.WriteByte('*')
		case c == '_':
			glob.WriteByte('?')
		case strings.ContainsRune(`*?[\`, rune(c)):
			glob.WriteString("\\" + string(c))
		default:
			glob.WriteByte(c)
		}
	}
	ok, err := path.Match(glob.String(), name)
	return ok && err == nil
}

// durability is whether what the server acknowledges outlives a power failure: what the other side has applied must not
// vanish here.
func (x *examination) durability(ctx context.Context) error {
	var flush int
	if err := x.d.pool.QueryRowContext(ctx, "SELECT @@innodb_flush_log_at_trx_commit").Scan(&flush); err != nil {
		return err
	}
	f := migrations.Finding{Check: "durability", What: fmt.Sprintf("innodb_flush_log_at_trx_commit is %d", flush), Fine: true}
	if flush != 1 {
		f.Fine, f.Next = false, []string{"SET GLOBAL innodb_flush_log_at_trx_commit = 1"}
		f.What += ": what was acknowledged within the last second is lost when the machine fails, and the other side may hold it"
	}
	x.add(f)
	return nil
}

// capture is how changes are captured, or will be, and for how long the server keeps what is read for it.
func (x *examination) capture(ctx context.Context) error {
	if x.d.b.Side != strangler.Legacy {
		return nil
	}
	var tables []*table
	for _, name := range x.d.b.Tables {
		t, err := x.d.describe(ctx, x.d.pool, name)
		if err != nil || t == nil || len(t.keyAt) == 0 {
			return err // Inspect says so
		}
		tables = append(tables, t)
	}
	c, err := x.d.choose(ctx, tables)
	var refusal *strangler.Refusal
	if errors.As(err, &refusal) {
		x.add(migrations.Finding{Phase: toCopy, Check: "capture", What: refusal.Why, Next: refusal.Next, Forbids: true})
		return nil
	}
	if err != nil {
		return err
	}
	x.add(migrations.Finding{Check: "capture", What: c.String(), Next: c.Next, Fine: true})
	if !c.Log {
		return nil
	}
	x.logical = true
	var seconds int64
	if err := x.d.pool.QueryRowContext(ctx, "SELECT CAST(@@binlog_expire_logs_seconds AS SIGNED)").Scan(&seconds); err != nil {
		return err
	}
	f := migrations.Finding{Phase: toCopy, Check: "retained_binlog", What: "binlog_expire_logs_seconds is 0: the server keeps its binary log until somebody purges it", Fine: true}
	if seconds > 0 {
		f.What = fmt.Sprintf("binlog_expire_logs_seconds is %d: a daemon that is away for longer has to copy again", seconds)
		if f.Fine = seconds >= retention; !f.Fine {
			f.Next = []string{fmt.Sprintf("SET GLOBAL binlog_expire_logs_seconds = %d, or as much as the disk has room for", 7*retention)}
		}
	}
	x.add(f)
	return nil
}

// retention is for how many seconds the server should keep its binary log at least.
const retention = 24 * 60 * 60

// truncating are users who may do what neither the fence nor the capture sees.
func (x *examination) truncating(ctx context.Context) error {
	if x.d.b.Side != strangler.Legacy {
		return nil
	}
	what := "TRUNCATE and DDL fire no trigger: they are not recorded, and no fence refuses them"
	if x.logical {
		what = "TRUNCATE fires no trigger: it is recorded, and no fence refuses it; of DDL that changes rows the split stops"
	}
	var who []string
	err := each(ctx, x.d.pool, "SELECT DISTINCT User, Host FROM mysql.db WHERE DATABASE() LIKE Db AND (Drop_priv = 'Y' OR Alter_priv = 'Y') AND User <> ? ORDER BY 1, 2", []any{x.d.role}, func(scan func(...any) error) error {
		var user, host string
		err := scan(&user, &host)
		who = append(who, user+"@"+host)
		return err
	})
	f := migrations.Finding{Phase: toCopy, Check: "truncate", What: what + "; who may is not to be seen from here", Next: []string{"REVOKE DROP, ALTER from the application's user for the time of the split"}}
	if err == nil {
		f.What, f.Fine = what+"; beside administrators nobody may", len(who) == 0
		if len(who) > 0 {
			f.What = what + "; DROP or ALTER is held by " + strings.Join(who, ", ")
		} else {
			f.Next = nil
		}
	}
	x.add(f)
	return nil
}

// holders names a transaction that a cutover would have to wait for.
func (x *examination) holders(ctx context.Context) error {
	long, err := x.d.longWriters(ctx)
	if err == nil && long != "" {
		x.add(migrations.Finding{Phase: toCutOver, Check: "transactions", What: long + "; where it has written to the moved tables, a cutover is refused as long as it stands", Next: []string{"let it end"}})
	}
	return err
}
