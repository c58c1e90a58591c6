package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var _ migrations.Scribe = (*Database)(nil)

// Writers counts changes by user and host: those given away since the capture was installed, and those that still wait,
// whose time is now. The latest comes first. The server tells a trigger nothing of the application's name.
func (d *Database) Writers(ctx context.Context) (out []strangler.Writer, err error) {
	sources := []string{fmt.Sprintf("SELECT `user` AS who, writes, last FROM strangler_writer WHERE capability = %s", literal(d.b.Capability))}
	if base, err := d.base(ctx, d.pool); err != nil || base.logical() {
		if err == nil {
			err = strangler.Refuse("writers", fmt.Sprintf("changes of %s are read from the binary log, which does not tell who makes them", d.b.Capability), "take the split back and take capture: triggers, which records it", "look at SHOW PROCESSLIST")
		}
		return nil, err
	}
	for _, name := range d.b.Tables {
		there, err := d.exists(ctx, logTable(name))
		if err != nil {
			return nil, fmt.Errorf("who writes %s: %w", name, err)
		}
		if !there {
			return nil, strangler.Refuse("writers", fmt.Sprintf("changes of %s are not recorded in the %s database, so nothing is known of who makes them", name, d.b.Side), "strangler split start "+d.b.Capability)
		}
		sources = append(sources, "SELECT writer, 1, UTC_TIMESTAMP() FROM "+ident(logTable(name))+" WHERE writer <> ''")
	}
	err = each(ctx, d.pool, "SELECT who, SUM(writes), UNIX_TIMESTAMP(MAX(last)) FROM ("+strings.Join(sources, " UNION ALL ")+") AS w GROUP BY who ORDER BY 3 DESC, 2 DESC, 1", nil, func(scan func(...any) error) error {
		var who string
		var at float64
		var w strangler.Writer
		if err := scan(&who, &w.Writes, &at); err != nil {
			return err
		}
		cut := strings.LastIndexByte(who, '@')
		w.User, w.Address, w.Last = who[:cut], who[cut+1:], unix(at)
		out = append(out, w)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("who writes the tables of %s: %w", d.b.Capability, err)
	}
	return out, nil
}
