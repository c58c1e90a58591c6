package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	client "github.com/go-sql-driver/mysql"
	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// mysql has no foreign key that acts on what moves from a table that stays: such a one is refused. A statement there reads
// rows as they are and a query as they were, so a session that stays open sees each anew.
var mysql = &speech{
	legacy: []string{
		"CREATE TABLE customer (id bigint PRIMARY KEY, name text)",
		fmt.Sprintf("CREATE TABLE invoice (id bigint PRIMARY KEY AUTO_INCREMENT, customer bigint, total bigint NOT NULL, code varchar(20) COLLATE utf8mb4_bin UNIQUE, FOREIGN KEY (customer) REFERENCES customer (id)) AUTO_INCREMENT = %d", firstGenerated),
		"CREATE TABLE line (invoice bigint NOT NULL, n bigint NOT NULL, slot bigint UNIQUE, text text COLLATE utf8mb4_bin, PRIMARY KEY (invoice, n), FOREIGN KEY (invoice) REFERENCES invoice (id) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE TABLE payment (id bigint PRIMARY KEY, invoice bigint, FOREIGN KEY (invoice) REFERENCES invoice (id) ON DELETE SET NULL ON UPDATE CASCADE)",
	},
	levels:   []level{{"read committed", []string{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN"}}, {"repeatable read", []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN"}}},
	open:     []level{{"read committed", []string{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN"}}},
	sessions: 2,
	judge:    judgeMySQL,
	extra: map[string]func(t *rapid.T) operation{
		"insert an invoice, or update it": func(t *rapid.T) operation {
			id, v, list := values(t)
			return operation{sql: "INSERT INTO invoice (id, customer, total, code) VALUES " + list + " ON DUPLICATE KEY UPDATE total = VALUES(total), code = VALUES(code)", effect: func(r rows, _ circumstance) {
				at := append(r.withCode(v.Code), id)[0] // the row that is met: by its key, or else by its code
				if _, there := r.Invoices[id]; there {
					at = id
				}
				if was, ok := r.Invoices[at]; ok {
					v.Customer = was.Customer
				}
				r.Invoices[at] = v
			}}
		},
		"insert an invoice, or do nothing": func(t *rapid.T) operation {
			id, v, list := values(t)
			return operation{sql: "INSERT IGNORE INTO invoice (id, customer, total, code) VALUES " + list, effect: func(r rows, how circumstance) {
				_, there := r.Invoices[id]
				_, known := r.Customers[v.Customer.Int64]
				if !there && len(r.withCode(v.Code)) == 0 && (known || !v.Customer.Valid || !how.crossing) {
					r.Invoices[id] = v
				}
			}}
		},
		"replace a line": func(t *rapid.T) operation {
			k, v := lineKey{anID.Draw(t, "invoice"), anN.Draw(t, "n")}, line{aSlot.Draw(t, "slot"), aText.Draw(t, "text")}
			return operation{sql: fmt.Sprintf("REPLACE INTO {line} (invoice, n, slot, text) VALUES (%d, %d, %s, %s)", k.Invoice, k.N, orNull(v.Slot), text(v.Text)), effect: func(r rows, _ circumstance) {
				for other, o := range r.Lines {
					if v.Slot.Valid && o.Slot == v.Slot {
						delete(r.Lines, other)
					}
				}
				r.Lines[k] = v
			}}
		},
		"copy an invoice's lines to another one": func(t *rapid.T) operation {
			from, to := anID.Draw(t, "from"), anID.Draw(t, "to")
			return operation{sql: fmt.Sprintf("INSERT INTO {line} (invoice, n, text) SELECT %d, n, text FROM {line} AS l WHERE invoice = %d ON DUPLICATE KEY UPDATE text = l.text", to, from), effect: func(r rows, _ circumstance) {
				for k, v := range r.clone().Lines {
					if k.Invoice == from {
						was := r.Lines[lineKey{to, k.N}]
						r.Lines[lineKey{to, k.N}] = line{was.Slot, v.Text}
					}
				}
			}}
		},
		"delete by a join": func(t *rapid.T) operation {
			id := anID.Draw(t, "id")
			return operation{sql: fmt.Sprintf("DELETE l FROM {line} AS l JOIN invoice AS i ON i.id = l.invoice WHERE i.id = %d", id), effect: func(r rows, _ circumstance) {
				if _, there := r.Invoices[id]; !there {
					return
				}
				for k := range r.Lines {
					if k.Invoice == id {
						delete(r.Lines, k)
					}
				}
			}}
		},
	},
}

func judgeMySQL(err error) verdict {
	var told *client.MySQLError
	switch {
	case strings.Contains(err.Error(), "strangler:"):
		return fenced
	case errors.Is(err, errTwice):
		return busy
	case !errors.As(err, &told):
		return broken
	}
	switch told.Number {
	case 1205, 1213, 1412, 1020: // a lock, a deadlock, a table or a row that was changed meanwhile
		return busy
	case 1062, 1451, 1452, 1048, 1761: // a unique value, a foreign key, NULL
		return constraint
	case 1146:
		return gone
	}
	return broken
}

// mysqlTeam makes the users on the shared server.
var mysqlTeam sync.Once

// atMySQL has its databases on one private server: each application has a user with all rights on its own, and Strangler
// one with rights on both.
func atMySQL(t *testing.T) lodging {
	server, ctx := localdbtest.SharedMariaDB(t), context.Background()
	mysqlTeam.Do(func() {
		must(t, errors.Join(server.Role(ctx, "shop"), server.Role(ctx, "billing"), server.Role(ctx, "strangler", "GRANT PROCESS, REPLICATION SLAVE ON *.* TO strangler@'%'",
			"GRANT ALL ON `shop\\_%`.* TO strangler@'%'", "GRANT ALL ON `billing\\_%`.* TO strangler@'%'", "SET GLOBAL binlog_row_metadata = 'FULL'", "SET GLOBAL sync_binlog = 1")))
	})
	return lodging{speech: mysql, captures: bothCaptures(), open: func(t *rapid.T, side strangler.Side, n int) (*application, string) {
		name := fmt.Sprintf("%s_%d", owners[side], n)
		must(t, server.Create(ctx, name, owners[side]))
		t.Cleanup(func() { must(t, server.Drop(ctx, name)) })
		return openMySQL(t, server, side, owners[side], name, lines[side]), server.As("strangler", name)
	}}
}

func openMySQL(t *rapid.T, server *localdb.Server, side strangler.Side, role, database, line string) *application {
	open := func(wait int) *sql.DB {
		u, err := url.Parse(server.As(role, database))
		must(t, err)
		c := client.NewConfig()
		c.User, c.Net, c.Addr, c.DBName = u.User.Username(), "tcp", u.Host, database
		c.Passwd, _ = u.User.Password()
		c.InterpolateParams, c.Params = true, map[string]string{"innodb_lock_wait_timeout": fmt.Sprint(wait), "lock_wait_timeout": "1"}
		connector, err := client.NewConnector(c)
		must(t, err)
		db := sql.OpenDB(connector)
		t.Cleanup(func() { must(t, db.Close()) })
		return db
	}
	return &application{side: side, db: open(1), probe: open(0), look: open(60), line: line, speech: mysql}
}
