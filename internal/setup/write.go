package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/migrations"
)

// Monolith is what was said and found of it.
type Monolith struct {
	URL      string // as the file is to have it
	Database string // likewise; empty where there is none
	Catalog  migrations.Catalog
	Routes   []Route
	// Lookup is the environment, with what the file's variables are to hold.
	Lookup func(string) (string, bool)
}

// Make proposes what may leave, and writes the file: everything that is active in it passes requests through, and every proposal
// stands in a comment, so written that it loads, alone and with all others.
func Make(m Monolith) (string, Proposals) {
	var fitting strangler.Routes
	out := Proposals{Proposals: []Proposal{}, Tables: []string{}, Routes: []Route{}}
	var blocks []string
	head := Legacy(m.URL, m.Database) + "capabilities:\n"
	all := propose(m.Catalog, m.Routes)
	for _, p := range all {
		p.Routes = slices.DeleteFunc(slices.Clone(p.Routes), func(r Route) bool { return !fitting.Add(r.Route) })
		p.Tables = slices.DeleteFunc(slices.Clone(p.Tables), func(t string) bool { _, ok := m.tableName(t); return !ok })
		block := p.block(m, writers(p, all))
		_, err := config.Parse("/strangler.yaml", []byte(head+strings.Join(blocks, "")+block), m.Lookup)
		if err != nil || len(blocks) == maxProposals {
			continue
		}
		blocks, out.Proposals = append(blocks, block), append(out.Proposals, p)
	}
	for _, t := range m.Catalog.Tables {
		if !slices.ContainsFunc(out.Proposals, func(p Proposal) bool { return slices.Contains(p.Tables, t) }) {
			out.Tables = append(out.Tables, t)
		}
	}
	for _, r := range m.Routes {
		if !slices.ContainsFunc(out.Proposals, func(p Proposal) bool { return slices.Contains(p.Routes, r) }) {
			out.Routes = append(out.Routes, r)
		}
	}
	return m.text(blocks, out), out
}

// Legacy is a file of its own that names the monolith only.
func Legacy(url, database string) string {
	if database == "" {
		return fmt.Sprintf("legacy: {url: %s}\n", quoted(url))
	}
	return fmt.Sprintf("legacy: {url: %s, database: %s}\n", quoted(url), quoted(database))
}

// SchemaFile is what the file names, beside it, for editors with a YAML language server.
const SchemaFile = "strangler.schema.json"

const top = `# yaml-language-server: $schema=` + SchemaFile + `
# The configuration of Strangler, begun by "strangler init". Paths in it are relative to this file, and ${NAME} is read from the
# environment. "strangler check" says what is missing; "strangler serve" starts the daemon.

# Toggles, owners, instances and runs. A file does for one daemon; several share an empty database of their own.
control: sqlite:.strangler/control.db

# Where clients come in, instead of at the monolith.
proxy:
  listen: PROXY
  # Load balancers in front of it, whose X-Forwarded-* are believed:
  # trust: [127.0.0.0/8]
  # A line for each request, which a later "strangler init --access-log" reads:
  # access_log: {file: access.log, format: json}

# Where the command line goes. On an address that others can reach it needs a token too: token: "${STRANGLER_TOKEN}"
admin:
  listen: ADMIN

# The monolith as it runs today.
legacy:
  # Where it listens: scheme, host and port.
  url: URL
  # A path that answers 200 while it is well:
  # health: /healthz
DATABASE
# What leaves the monolith. {} passes every request through to it, and changes nothing in any database.
`

// text is the whole file.
func (m Monolith) text(blocks []string, all Proposals) string {
	database := "  # The database that its tables are in; needed once a capability takes tables along. A DSN with a password in it belongs\n" +
		"  # into the environment.\n"
	if m.Database == "" {
		database += "  # database: \"postgres://strangler@127.0.0.1/shop\"\n"
	} else {
		database += "  database: " + quoted(m.Database) + "\n"
	}
	var b strings.Builder
	b.WriteString(strings.NewReplacer("PROXY", m.free("8080", "8090"), "ADMIN", m.free("8081", "8091"), "URL", quoted(m.URL), "DATABASE", database).Replace(top))
	if len(blocks) > 0 {
		b.WriteString("#\n# To take one of the capabilities below out, write \"capabilities:\" for the next line, remove \"# \" from all lines of its block,\n" +
			"# and fill in its service. They were proposed by names and foreign keys alone, the best first: read them before you use one.\n" +
			"# \"strangler snippet NAME\" prints what has the proxy in front of the monolith send one through Strangler.\n")
	}
	b.WriteString("capabilities: {}\n")
	for _, block := range blocks {
		b.WriteString("\n")
		for line := range strings.Lines(block) {
			b.WriteString("# " + line)
		}
	}
	m.rest(&b, all)
	return b.String()
}

// free is an address to listen on that is not the monolith's: a proxy there would be asked by itself.
func (m Monolith) free(usual, otherwise string) string {
	if strings.HasSuffix(strings.TrimRight(m.URL, "/"), ":"+usual) {
		usual = otherwise
	}
	return "127.0.0.1:" + usual
}

// rest lists what belongs to no proposal.
func (m Monolith) rest(b *strings.Builder, all Proposals) {
	if len(all.Tables)+len(all.Routes) > 0 {
		b.WriteString("\n# What belongs to none of them stays in the monolith:\n")
	}
	for _, t := range all.Tables {
		fmt.Fprintf(b, "#   table %s\n", shown(t))
	}
	for _, r := range all.Routes {
		fmt.Fprintf(b, "#   route %s%s\n", r.Route, r.seen(" (", ")"))
	}
}

// seen is how many requests there were, between two texts; empty for none.
func (r Route) seen(before, behind string) string {
	if r.Requests == 0 {
		return ""
	}
	return before + count(r.Requests, "request") + behind
}

// maxWriters is how many routes are shown that may be touches.
const maxWriters = 8

// writers are routes that may well write a proposal's tables too: those of the proposals that foreign keys tie it to.
func writers(p Proposal, all []Proposal) (out []Route) {
	for _, other := range all {
		tied := other.Name != p.Name && slices.ContainsFunc(p.Crossing, func(k migrations.ForeignKey) bool {
			return slices.Contains(other.Tables, k.Table) || slices.Contains(other.Tables, k.Parent)
		})
		for _, r := range other.Routes {
			if tied && !slices.Contains([]string{"", "GET", "OPTIONS", "TRACE"}, r.Route.Method) && len(out) < maxWriters {
				out = append(out, r)
			}
		}
	}
	if len(out) == 0 {
		out = []Route{{Route: strangler.Route{Method: "POST", Pattern: "/other/{id}/action"}}}
	}
	return out
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// block is a proposal as it stands below capabilities.
func (p Proposal) block(m Monolith, writers []Route) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n", p.Name)
	for _, why := range p.reasons(m) {
		fmt.Fprintf(&b, "    # %s\n", why)
	}
	b.WriteString("    # Requests that go where its toggle says:\n    routes:\n")
	for _, r := range p.Routes {
		fmt.Fprintf(&b, "      - %s%s\n", quoted(r.Route.String()), r.seen("   # ", ""))
	}
	b.WriteString("    # Routes that stay in the monolith and write its tables all the same, which init cannot know. \"seam: true\" says that they\n" +
		"    # ask who owns the tables, and call the service when it does. Look at what writes tables that foreign keys tie to its own:\n    # touches:\n")
	for _, r := range writers {
		fmt.Fprintf(&b, "    #   - {route: %s, seam: true}\n", quoted(r.Route.String()))
	}
	service := "{url: http://127.0.0.1:9001}"
	if len(p.Tables) > 0 {
		service = fmt.Sprintf("{url: http://127.0.0.1:9001, database: %s}", quoted(p.database(m)))
	}
	b.WriteString("    # Fill in: where the service listens, its health path if it has one (health: /healthz), and its own empty database.\n    service: " + service + "\n")
	if len(p.Tables) > 0 {
		b.WriteString("    # Tables that move. What not all of moves, or has other names at the service: docs/TYPES.md.\n    tables:\n")
		for _, t := range p.Tables {
			name, _ := m.tableName(t)
			fmt.Fprintf(&b, "      - %s\n", quoted(name))
		}
	}
	return b.String()
}

// reasons say why a proposal was made, and what speaks against it.
func (p Proposal) reasons(m Monolith) (out []string) {
	total := 0
	for _, r := range m.Routes {
		total += r.Requests
	}
	tables := count(len(p.Tables), "table") + " by name and by foreign key"
	switch {
	case len(p.Tables) == 0 && m.Database == "":
		tables = "no database was named, so its tables are not known"
	case len(p.Tables) == 0:
		tables = "no table of this name: it keeps nothing, or its tables are called otherwise"
	}
	out = append(out, fmt.Sprintf("%s%s; %s.", count(len(p.Routes), "route"), map[bool]string{true: fmt.Sprintf(" with %d of %d requests", p.Requests, total)}[total > 0], tables))
	if p.Guessed {
		out = append(out, "The routes are guessed from the table's name: give init an --openapi document or an --access-log.")
	}
	if len(p.Tables) > 0 && len(p.Crossing) == 0 {
		out = append(out, "No foreign key crosses the cut.")
	}
	if len(p.Crossing) > 0 {
		out = append(out, "Foreign keys that cross the cut, and are dropped while it is out (on_delete says what is done instead):")
	}
	for _, k := range p.Crossing {
		acts := ""
		if k.OnDelete != "" && k.OnDelete != "NO ACTION" && k.OnDelete != "RESTRICT" {
			acts = ", ON DELETE " + k.OnDelete
		}
		out = append(out, fmt.Sprintf("  %s(%s) refers to %s%s", shown(k.Table), shown(strings.Join(k.Columns, ", ")), shown(k.Parent), acts))
	}
	return out
}

// database is what the service's may be called, in the monolith's kind.
func (p Proposal) database(m Monolith) string {
	switch m.kind() {
	case "postgres":
		return "postgres://strangler@127.0.0.1/" + p.Name + "_service"
	case "mysql":
		return "mysql://strangler@127.0.0.1:3306/" + p.Name + "_service"
	}
	return "sqlite:" + p.Name + "_service.db"
}

// kind is the database's: sqlite, postgres or mysql.
func (m Monolith) kind() string {
	dsn := m.Database
	if name, ok := strings.CutPrefix(dsn, "${"); ok {
		dsn, _ = m.Lookup(strings.TrimSuffix(name, "}"))
	}
	scheme, _, _ := strings.Cut(dsn, ":")
	if scheme == "postgresql" {
		return "postgres"
	}
	return scheme
}

// tableName is how strangler.yaml names a table of the catalog; false where it cannot.
func (m Monolith) tableName(t string) (string, bool) {
	name := strings.ReplaceAll(t, "${", "$${")
	switch {
	case strings.ContainsFunc(t, unicode.IsControl):
		return "", false
	case strings.Contains(t, `"`): // PostgreSQL's are quoted already
		return name, m.kind() == "postgres"
	case strings.ContainsAny(t, "'`[];") || strings.TrimSpace(t) != t:
		return `"` + name + `"`, !strings.Contains(t, ".")
	}
	return name, true
}

// quoted is a text as YAML has it in double quotes.
func quoted(s string) string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil { // a string never fails
		return strconv.QuoteToASCII(s)
	}
	return escaped(strings.TrimSuffix(text.String(), "\n"))
}

// escaped has no character that YAML, or a reader, could take for another.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// shown is a name in a comment, which nothing in it can end.
func shown(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(name)
	}
	return name
}
