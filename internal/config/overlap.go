package config

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// overlap remembers what earlier capabilities have claimed. A request has one capability, and a
// table has one fence.
type overlap struct {
	reader  *reader
	routes  []claim          // of all capabilities
	fits    strangler.Routes // the same
	touches map[string]claim // by capability and route
	tables  map[string]claim // by database and name
	bare    map[string]claim // the same, those without a schema by their name, those with one by their name behind it, after a dot
}

// claim is who has something, and on which line.
type claim struct {
	capability string
	line       int
	route      strangler.Route
}

func newOverlap(r *reader) *overlap {
	return &overlap{reader: r, touches: map[string]claim{}, tables: map[string]claim{}, bare: map[string]claim{}}
}

// route claims a route for a capability, or reports who has it. Two patterns of which neither is the
// more specific conflict, too: http.ServeMux could not choose between them.
func (o *overlap) route(capability string, route strangler.Route, at field) bool {
	if o.fits.Add(route) {
		o.routes = append(o.routes, claim{capability, at.line, route})
		return true
	}
	i := slices.IndexFunc(o.routes, func(c claim) bool { return c.route.Conflicts(route) })
	if other := o.routes[i]; other.capability == capability {
		o.reader.problem(at, "%q matches the same requests as %q on line %d; keep one", route, other.route, other.line)
	} else {
		o.reader.problem(at, "%q matches the same requests as %q of the capability %s on line %d; a route belongs to one capability", route, other.route, other.capability, other.line)
	}
	return false
}

// touch refuses a touch that is also a route of its capability. Two capabilities may share a touch:
// one request of the monolith may write both's tables.
func (o *overlap) touch(capability string, route strangler.Route, at field) bool {
	for _, other := range slices.Backward(o.routes) {
		if other.capability != capability { // a capability's routes were read one after another, just now
			break
		}
		if route.Conflicts(other.route) {
			o.reader.problem(at, "%q is a route of the capability already, on line %d; a touch stays in the monolith", route, other.line)
			return false
		}
	}
	key := capability + " " + route.String()
	if first, twice := o.touches[key]; twice {
		o.reader.problem(at, "%q stands twice, first on line %d; keep one", route, first.line)
		return false
	}
	o.touches[key] = claim{capability, at.line, route}
	return true
}

// table claims a table of the legacy database and one of the service's. Names that differ in their
// capitals only are one table to some databases, and so may be one with a schema and one without.
func (o *overlap) table(k *strangler.Capability, table strangler.Table, at field) bool {
	places := []struct{ database, name, says string }{
		{"legacy ", table.From, fmt.Sprintf("the legacy table %q", table.From)},
		{"service " + withoutUser(k.Service.Database) + " ", table.To, fmt.Sprintf("the service's table %q", table.To)},
	}
	key := func(i int) string { return places[i].database + strings.ToLower(places[i].name) }
	for i, place := range places {
		other, taken := o.tables[key(i)]
		again := slices.ContainsFunc(k.Tables, func(t strangler.Table) bool { return t.From == table.From })
		switch {
		case !taken || i == 0 && again && other.capability == k.Name: // a table of the monolith's may go to several
			continue
		case other.capability == k.Name:
			o.reader.problem(at, "%s stands twice, first on line %d; keep one", place.says, other.line)
		default:
			o.reader.problem(at, "%s belongs to the capability %s on line %d; a table belongs to one capability", place.says, other.capability, other.line)
		}
		return false
	}
	for i, place := range places {
		mine, other := perhaps(place.name)
		if twin, there := o.bare[place.database+other]; there && twin.capability != k.Name {
			o.reader.problem(at, "%s may be the one that belongs to the capability %s on line %d; write both with their schema", place.says, twin.capability, twin.line)
			return false
		}
		o.bare[place.database+mine] = claim{capability: k.Name, line: at.line}
		o.tables[key(i)] = claim{capability: k.Name, line: at.line}
	}
	return true
}

// perhaps is a table's name as one without a schema, or as one with any, and how the other kind would be that may be the same.
func perhaps(name string) (mine, other string) {
	bare, qualified := strings.ToLower(name), false
	if m := sqlName.FindStringSubmatch(bare); m != nil && m[2] != "" {
		bare, qualified = m[2], true
	}
	bare = strings.Trim(bare, `"`)
	if qualified {
		return "." + bare, bare
	}
	return bare, "." + bare
}

// anyPort reports whether an address lets the system choose the port.
func anyPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "0"
}
