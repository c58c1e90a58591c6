package model

import (
	"database/sql"
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// operation is one statement of an application, and what it does to rows when the database takes it.
type operation struct {
	sql       string // {line} is the table's name at the side; {, payment} is there only where that table is
	generated bool   // answers with a key that the database has made
	truncates string // the table that a TRUNCATE begins with
	effect    func(r rows, how circumstance)
}

// circumstance is what a statement alone does not tell.
type circumstance struct {
	crossing bool  // foreign keys between what moves and what stays are in force
	id       int64 // the key that the database has made
}

// The domains are small, so that statements meet each other's rows, keys and unique values. Keys that a
// database makes begin behind firstGenerated, and shifted keys stay below.
const (
	invoices       = 9
	shift          = 20
	firstGenerated = 101
)

var (
	anID       = rapid.Int64Range(1, invoices)
	aCustomer  = rapid.Int64Range(1, 3)
	aPayment   = rapid.Int64Range(1, 4)
	anN        = rapid.Int64Range(1, 3)
	aTotal     = rapid.Int64Range(0, 99)
	aReference = maybe(aCustomer)
	aSlot      = maybe(rapid.Int64Range(1, 6))
	aCode      = rapid.Custom(func(t *rapid.T) sql.NullString {
		s := rapid.SampledFrom([]string{"", "a", "b", "c", "A", "ä'", "d"}).Draw(t, "code")
		return sql.NullString{String: s, Valid: s != ""}
	})
	aText = rapid.SampledFrom([]string{"x", "", "it's", "ünï 😀", "y"})
)

func maybe(g *rapid.Generator[int64]) *rapid.Generator[sql.NullInt64] {
	return rapid.Custom(func(t *rapid.T) sql.NullInt64 {
		if rapid.IntRange(0, 3).Draw(t, "null") == 3 {
			return sql.NullInt64{}
		}
		return number(g.Draw(t, "number"))
	})
}

func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func orNull(n sql.NullInt64) string {
	if !n.Valid {
		return "NULL"
	}
	return fmt.Sprint(n.Int64)
}

func codeLiteral(c sql.NullString) string {
	if !c.Valid {
		return "NULL"
	}
	return text(c.String)
}

// values draws what an INSERT of an invoice needs.
func values(t *rapid.T) (id int64, v invoice, list string) {
	id, v = anID.Draw(t, "id"), invoice{aReference.Draw(t, "customer"), aTotal.Draw(t, "total"), aCode.Draw(t, "code")}
	return id, v, fmt.Sprintf("(%d, %s, %d, %s)", id, orNull(v.Customer), v.Total, codeLiteral(v.Code))
}

// common are the statements that every engine understands, by the names that a trace shows. Those with
// staying write tables that stay in the monolith.
var common = map[string]func(t *rapid.T) operation{
	"insert an invoice": func(t *rapid.T) operation {
		id, v, list := values(t)
		return operation{sql: "INSERT INTO invoice (id, customer, total, code) VALUES " + list,
			effect: func(r rows, _ circumstance) { r.Invoices[id] = v }}
	},
	"insert an invoice with a generated key": func(t *rapid.T) operation {
		v := invoice{Total: aTotal.Draw(t, "total")}
		return operation{sql: fmt.Sprintf("INSERT INTO invoice (total) VALUES (%d) RETURNING id", v.Total), generated: true,
			effect: func(r rows, how circumstance) { r.Invoices[how.id] = v }}
	},
	"insert a line": func(t *rapid.T) operation {
		k, v := lineKey{anID.Draw(t, "invoice"), anN.Draw(t, "n")}, line{aSlot.Draw(t, "slot"), aText.Draw(t, "text")}
		return operation{sql: fmt.Sprintf("INSERT INTO {line} (invoice, n, slot, text) VALUES (%d, %d, %s, %s)", k.Invoice, k.N, orNull(v.Slot), text(v.Text)),
			effect: func(r rows, _ circumstance) { r.Lines[k] = v }}
	},
	"update an invoice": func(t *rapid.T) operation {
		id, total, code := anID.Draw(t, "id"), aTotal.Draw(t, "total"), aCode.Draw(t, "code")
		return operation{sql: fmt.Sprintf("UPDATE invoice SET total = %d, code = %s WHERE id = %d", total, codeLiteral(code), id), effect: func(r rows, _ circumstance) {
			if v, ok := r.Invoices[id]; ok {
				r.Invoices[id] = invoice{v.Customer, total, code}
			}
		}}
	},
	"update a line": func(t *rapid.T) operation {
		k, v := lineKey{anID.Draw(t, "invoice"), anN.Draw(t, "n")}, line{aSlot.Draw(t, "slot"), aText.Draw(t, "text")}
		return operation{sql: fmt.Sprintf("UPDATE {line} SET slot = %s, text = %s WHERE invoice = %d AND n = %d", orNull(v.Slot), text(v.Text), k.Invoice, k.N), effect: func(r rows, _ circumstance) {
			if _, ok := r.Lines[k]; ok {
				r.Lines[k] = v
			}
		}}
	},
	"delete an invoice, and its lines by cascade": func(t *rapid.T) operation {
		id := anID.Draw(t, "id")
		return operation{sql: fmt.Sprintf("DELETE FROM invoice WHERE id = %d", id), effect: func(r rows, how circumstance) { r.removeInvoice(id, how.crossing) }}
	},
	"delete a line": func(t *rapid.T) operation {
		k := lineKey{anID.Draw(t, "invoice"), anN.Draw(t, "n")}
		return operation{sql: fmt.Sprintf("DELETE FROM {line} WHERE invoice = %d AND n = %d", k.Invoice, k.N), effect: func(r rows, _ circumstance) { delete(r.Lines, k) }}
	},
	"give an invoice another key": func(t *rapid.T) operation {
		id, to := anID.Draw(t, "id"), anID.Draw(t, "to")
		return operation{sql: fmt.Sprintf("UPDATE invoice SET id = %d WHERE id = %d", to, id),
			effect: func(r rows, how circumstance) { r.renumberInvoices(map[int64]int64{id: to}, how.crossing) }}
	},
	"give a line another key": func(t *rapid.T) operation {
		from, to := lineKey{anID.Draw(t, "invoice"), anN.Draw(t, "n")}, lineKey{anID.Draw(t, "to invoice"), anN.Draw(t, "to n")}
		return operation{sql: fmt.Sprintf("UPDATE {line} SET invoice = %d, n = %d WHERE invoice = %d AND n = %d", to.Invoice, to.N, from.Invoice, from.N), effect: func(r rows, _ circumstance) {
			if v, ok := r.Lines[from]; ok {
				delete(r.Lines, from)
				r.Lines[to] = v
			}
		}}
	},
	"swap two slots in one statement": func(t *rapid.T) operation {
		a, b := number(rapid.Int64Range(1, 6).Draw(t, "slot")), number(rapid.Int64Range(1, 6).Draw(t, "with"))
		return operation{sql: fmt.Sprintf("UPDATE {line} SET slot = CASE slot WHEN %d THEN %d ELSE %[1]d END WHERE slot IN (%[1]d, %[2]d)", a.Int64, b.Int64), effect: func(r rows, _ circumstance) {
			for k, v := range r.Lines {
				switch v.Slot {
				case a:
					r.Lines[k] = line{b, v.Text}
				case b:
					r.Lines[k] = line{a, v.Text}
				}
			}
		}}
	},
	"update all invoices": func(t *rapid.T) operation {
		d := aTotal.Draw(t, "by")
		return operation{sql: fmt.Sprintf("UPDATE invoice SET total = total + %d", d), effect: func(r rows, _ circumstance) {
			for id, v := range r.Invoices {
				v.Total += d
				r.Invoices[id] = v
			}
		}}
	},
	"insert lines for all invoices": func(t *rapid.T) operation {
		n, s := anN.Draw(t, "n"), aText.Draw(t, "text")
		return operation{sql: fmt.Sprintf("INSERT INTO {line} (invoice, n, text) SELECT id, %d, %s FROM invoice", n, text(s)), effect: func(r rows, _ circumstance) {
			for id := range r.Invoices {
				r.Lines[lineKey{id, n}] = line{Text: s}
			}
		}}
	},
	"shift the keys of all invoices": func(t *rapid.T) operation {
		low, by := int64(1), int64(shift)
		if rapid.Bool().Draw(t, "back") {
			low, by = shift+1, -shift
		}
		return operation{sql: fmt.Sprintf("UPDATE invoice SET id = id + %d WHERE id BETWEEN %d AND %d", by, low, low+invoices-1), effect: func(r rows, how circumstance) {
			change := map[int64]int64{}
			for id := range r.Invoices {
				if id >= low && id < low+invoices {
					change[id] = id + by
				}
			}
			r.renumberInvoices(change, how.crossing)
		}}
	},
	"delete all lines": func(*rapid.T) operation {
		return operation{sql: "DELETE FROM {line}", effect: func(r rows, _ circumstance) { clear(r.Lines) }}
	},
	"delete all invoices": func(*rapid.T) operation {
		return operation{sql: "DELETE FROM invoice", effect: func(r rows, how circumstance) {
			for _, id := range r.invoiceIDs() {
				r.removeInvoice(id, how.crossing)
			}
		}}
	},
	"insert an invoice, or update it": func(t *rapid.T) operation {
		id, v, list := values(t)
		return operation{sql: "INSERT INTO invoice (id, customer, total, code) VALUES " + list + " ON CONFLICT (id) DO UPDATE SET total = excluded.total, code = excluded.code", effect: func(r rows, _ circumstance) {
			if was, ok := r.Invoices[id]; ok {
				v.Customer = was.Customer
			}
			r.Invoices[id] = v
		}}
	},
	"insert an invoice, or do nothing": func(t *rapid.T) operation {
		id, v, list := values(t)
		return operation{sql: "INSERT INTO invoice (id, customer, total, code) VALUES " + list + " ON CONFLICT DO NOTHING", effect: func(r rows, _ circumstance) {
			if _, there := r.Invoices[id]; !there && len(r.withCode(v.Code)) == 0 {
				r.Invoices[id] = v
			}
		}}
	},
}

// staying are statements that begin at a table that stays; through foreign keys they reach what moves.
var staying = map[string]func(t *rapid.T) operation{
	"insert a customer": func(t *rapid.T) operation {
		id, name := aCustomer.Draw(t, "id"), aText.Draw(t, "name")
		return operation{sql: fmt.Sprintf("INSERT INTO customer (id, name) VALUES (%d, %s)", id, text(name)), effect: func(r rows, _ circumstance) { r.Customers[id] = name }}
	},
	"delete a customer, and its invoices by cascade": func(t *rapid.T) operation {
		id := aCustomer.Draw(t, "id")
		return operation{sql: fmt.Sprintf("DELETE FROM customer WHERE id = %d", id), effect: func(r rows, how circumstance) { r.removeCustomer(id, how.crossing) }}
	},
	"give a customer another key": func(t *rapid.T) operation {
		id, to := aCustomer.Draw(t, "id"), aCustomer.Draw(t, "to")
		return operation{sql: fmt.Sprintf("UPDATE customer SET id = %d WHERE id = %d", to, id), effect: func(r rows, how circumstance) { r.renumberCustomer(id, to, how.crossing) }}
	},
	"insert a payment": func(t *rapid.T) operation {
		id, of := aPayment.Draw(t, "id"), maybe(anID).Draw(t, "invoice")
		return operation{sql: fmt.Sprintf("INSERT INTO payment (id, invoice) VALUES (%d, %s)", id, orNull(of)), effect: func(r rows, _ circumstance) { r.Payments[id] = of }}
	},
	"delete a payment": func(t *rapid.T) operation {
		id := aPayment.Draw(t, "id")
		return operation{sql: fmt.Sprintf("DELETE FROM payment WHERE id = %d", id), effect: func(r rows, _ circumstance) { delete(r.Payments, id) }}
	},
}

// swapByThirdValue exchanges the codes of two invoices, as an application has to where each statement is
// checked by itself.
func swapByThirdValue(t *rapid.T, r rows) []operation {
	var ids []int64
	for _, id := range r.invoiceIDs() {
		if r.Invoices[id].Code.Valid {
			ids = append(ids, id)
		}
	}
	if len(ids) < 2 {
		t.Skip("fewer than two codes")
	}
	at := rapid.Permutation(ids).Draw(t, "invoices")
	set := func(id int64, code sql.NullString) operation {
		return operation{sql: fmt.Sprintf("UPDATE invoice SET code = %s WHERE id = %d", codeLiteral(code), id), effect: func(r rows, _ circumstance) {
			if v, ok := r.Invoices[id]; ok {
				v.Code = code
				r.Invoices[id] = v
			}
		}}
	}
	first, second := r.Invoices[at[0]].Code, r.Invoices[at[1]].Code
	return []operation{set(at[0], sql.NullString{String: "between", Valid: true}), set(at[1], first), set(at[0], second)}
}
