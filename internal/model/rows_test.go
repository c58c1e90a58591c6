package model

import (
	"database/sql"
	"maps"
	"slices"
)

// rows are the tables of a run, or what one session sees of them. customers and payments stay in the
// monolith; invoices and lines move.
type rows struct {
	Customers map[int64]string
	Invoices  map[int64]invoice
	Lines     map[lineKey]line
	Payments  map[int64]sql.NullInt64 // which invoice it pays
}

type invoice struct {
	Customer sql.NullInt64
	Total    int64
	Code     sql.NullString // unique
}

type lineKey struct{ Invoice, N int64 }

type line struct {
	Slot sql.NullInt64 // unique
	Text string
}

func noRows() rows {
	return rows{map[int64]string{}, map[int64]invoice{}, map[lineKey]line{}, map[int64]sql.NullInt64{}}
}

func (r rows) clone() rows {
	return rows{maps.Clone(r.Customers), maps.Clone(r.Invoices), maps.Clone(r.Lines), maps.Clone(r.Payments)}
}

// moving leaves out what stays.
func (r rows) moving() rows {
	return rows{map[int64]string{}, r.Invoices, r.Lines, map[int64]sql.NullInt64{}}
}

func (r rows) equal(o rows) bool {
	return maps.Equal(r.Customers, o.Customers) && maps.Equal(r.Invoices, o.Invoices) && maps.Equal(r.Lines, o.Lines) && maps.Equal(r.Payments, o.Payments)
}

// removeInvoice deletes a row with what hangs on it. With crossing, the foreign keys between tables that
// move and tables that stay are in force.
func (r rows) removeInvoice(id int64, crossing bool) {
	delete(r.Invoices, id)
	for k := range r.Lines {
		if k.Invoice == id {
			delete(r.Lines, k)
		}
	}
	if !crossing {
		return
	}
	for p, of := range r.Payments {
		if of == number(id) {
			r.Payments[p] = sql.NullInt64{}
		}
	}
}

// renumberInvoices gives every invoice of change its new key, all at once, and so its lines.
func (r rows) renumberInvoices(change map[int64]int64, crossing bool) {
	invoices, lines := map[int64]invoice{}, map[lineKey]line{}
	to := func(id int64) int64 {
		if n, ok := change[id]; ok {
			return n
		}
		return id
	}
	for id, v := range r.Invoices {
		invoices[to(id)] = v
	}
	for k, v := range r.Lines {
		lines[lineKey{to(k.Invoice), k.N}] = v
	}
	for p, of := range r.Payments {
		if _, there := r.Invoices[of.Int64]; crossing && there && of.Valid {
			r.Payments[p] = number(to(of.Int64))
		}
	}
	replace(r.Invoices, invoices)
	replace(r.Lines, lines)
}

func (r rows) removeCustomer(id int64, crossing bool) {
	delete(r.Customers, id)
	for i, v := range r.Invoices {
		if crossing && v.Customer == number(id) {
			r.removeInvoice(i, crossing)
		}
	}
}

func (r rows) renumberCustomer(id, to int64, crossing bool) {
	if name, ok := r.Customers[id]; ok {
		delete(r.Customers, id)
		r.Customers[to] = name
		for i, v := range r.Invoices {
			if crossing && v.Customer == number(id) {
				v.Customer = number(to)
				r.Invoices[i] = v
			}
		}
	}
}

// withCode are the invoices that have a code.
func (r rows) withCode(code sql.NullString) (ids []int64) {
	for id, v := range r.Invoices {
		if code.Valid && v.Code == code {
			ids = append(ids, id)
		}
	}
	return ids
}

func replace[K comparable, V any](m, by map[K]V) {
	clear(m)
	maps.Copy(m, by)
}

func number(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: true} }

// delta is what one statement did to the rows that its session sees. Other sessions may have committed
// before it is added to the model, so it names rows and not whole tables.
type delta struct {
	customers patch[int64, string]
	invoices  patch[int64, invoice]
	lines     patch[lineKey, line]
	payments  patch[int64, sql.NullInt64]
}

// patch is a delta of one table. all is a TRUNCATE, which takes rows that its session does not see, too.
type patch[K comparable, V any] struct {
	all  bool
	gone []K
	set  map[K]V
}

func between(before, after rows) delta {
	return delta{compare(before.Customers, after.Customers), compare(before.Invoices, after.Invoices),
		compare(before.Lines, after.Lines), compare(before.Payments, after.Payments)}
}

func compare[K, V comparable](before, after map[K]V) (p patch[K, V]) {
	p.set = map[K]V{}
	for k := range before {
		if _, ok := after[k]; !ok {
			p.gone = append(p.gone, k)
		}
	}
	for k, v := range after {
		if was, ok := before[k]; !ok || was != v {
			p.set[k] = v
		}
	}
	return p
}

func (d delta) moves() bool { return d.invoices.any() || d.lines.any() }

func (d delta) applyTo(r rows) {
	d.customers.applyTo(r.Customers)
	d.invoices.applyTo(r.Invoices)
	d.lines.applyTo(r.Lines)
	d.payments.applyTo(r.Payments)
}

// without leaves out the rows that a delta speaks of.
func (r rows) without(d delta) rows {
	d.customers.removeFrom(r.Customers)
	d.invoices.removeFrom(r.Invoices)
	d.lines.removeFrom(r.Lines)
	d.payments.removeFrom(r.Payments)
	return r
}

func (p patch[K, V]) removeFrom(m map[K]V) {
	for _, k := range p.gone {
		delete(m, k)
	}
	for k := range p.set {
		delete(m, k)
	}
}

func (p patch[K, V]) any() bool { return p.all || len(p.gone) > 0 || len(p.set) > 0 }

func (p patch[K, V]) applyTo(m map[K]V) {
	if p.all {
		clear(m)
	}
	for _, k := range p.gone {
		delete(m, k)
	}
	maps.Copy(m, p.set)
}

func (r rows) invoiceIDs() []int64 { return slices.Sorted(maps.Keys(r.Invoices)) }
