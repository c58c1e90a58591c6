package migrations

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// CheckWriters names findings about whoever writes, or may write, a capability's tables without a route that says so.
const CheckWriters = "writers"

// mostBeside bounds the findings of one kind; what is left out is counted.
const mostBeside = 20

// WrittenBy reports whether a statement in a text, of SQL or of a procedural language, may write a table: its name, which
// is given without schema and quotes, stands behind a verb that writes. A text that puts its statements together while it runs is not seen through.
func WrittenBy(text, table string) bool {
	const verb = `(?i)\b(?:insert(?:\s+(?:ignore|low_priority|delayed|high_priority|or\s+\w+))*(?:\s+into)?|replace(?:\s+into)?|update(?:\s+(?:only|ignore|low_priority|or\s+\w+))*|delete(?:\s+(?:low_priority|quick|ignore))*\s+from(?:\s+only)?|truncate(?:\s+table)?(?:\s+only)?|merge\s+into|copy)\s+`
	pattern, err := regexp.Compile(verb + "(?:[`\"]?[\\pL\\pN_$]+[`\"]?\\s*\\.\\s*)?[`\"]?" + regexp.QuoteMeta(table) + "(?:[`\"]|[^\\pL\\pN_$]|$)")
	return err == nil && pattern.MatchString(strings.ToValidUTF8(text, ""))
}

// Beside makes findings of who writes the tables of a capability (recorded: by its capture), or has sessions from which it may. Of a
// writer with several addresses one is made. The routes do not say under which name the monolith comes, so the one with the most is
// taken for it; each of the others goes by no route that is known. Bounded.
func Beside(capability string, all []strangler.Writer, recorded bool) []Finding {
	type who struct{ user, application string }
	type client struct {
		who
		count     int64
		addresses []string
	}
	var clients []client
	for _, w := range all {
		i := slices.IndexFunc(clients, func(c client) bool { return c.who == who{w.User, w.Application} })
		if i < 0 {
			i, clients = len(clients), append(clients, client{who: who{w.User, w.Application}})
		}
		clients[i].count += w.Writes
		if address := cmp.Or(w.Address, "an address that is not to be seen"); !slices.Contains(clients[i].addresses, address) {
			clients[i].addresses = append(clients[i].addresses, address)
		}
	}
	slices.SortStableFunc(clients, func(a, b client) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.user, b.user), cmp.Compare(a.application, b.application))
	})
	did, most := "has %d sessions from which the tables may be written", "has the most such sessions"
	if recorded {
		did, most = "has written the tables %d times since the capture stands", "has written the most"
	}
	var out []Finding
	for i, c := range clients {
		name := "the user " + c.user
		if c.application != "" {
			name = fmt.Sprintf("%q as the user %s", c.application, c.user)
		}
		from := strings.Join(c.addresses[:min(len(c.addresses), 3)], ", ")
		if more := len(c.addresses) - 3; more > 0 {
			from += fmt.Sprintf(" and %d more", more)
		}
		f := Finding{Phase: "cutover", Check: CheckWriters, What: fmt.Sprintf("%s, from %s, "+did, name, from, c.count)}
		switch {
		case i == 0:
			f.Fine, f.What = true, f.What+"; it "+most+", and is taken for what serves the routes and touches"
		case i == mostBeside:
			f.What, f.Next = fmt.Sprintf("%d more users or applications write the tables, or may", len(clients)-i), []string{"strangler split writers " + capability}
			return append(out, f)
		default:
			f.What += "; no route explains it, and its writes are refused from the cutover on"
			f.Next = []string{"where it goes through the monolith's routes, name those under touches", "where it does not, give it a seam (have it call the service through the proxy) or stop it before the cutover",
				"once the split runs: strangler split writers " + capability}
		}
		out = append(out, f)
	}
	return out
}

// NextHidden is what to do about what writes by itself.
const NextHidden = "have the service do what it does, or do it through the proxy, and drop it before the cutover"

// Hidden makes a finding of something in the database itself that writes a capability's tables when no request does, or when one does
// that is not the capability's: what names it, "the event nightly".
func Hidden(what string, tables []string) Finding {
	return Finding{Phase: "cutover", Check: CheckWriters, What: fmt.Sprintf("%s writes %s, which no route explains: once the service owns, that is refused", what, strings.Join(tables, ", ")),
		Next: []string{NextHidden, "where only the capability's routes and touches set it off, nothing is to be done"}}
}

// FewHidden bounds such findings.
func FewHidden(found []Finding) []Finding {
	if more := len(found) - mostBeside; more > 0 {
		found = append(found[:mostBeside:mostBeside], Finding{Phase: "cutover", Check: CheckWriters, What: fmt.Sprintf("%d more triggers, routines or events write the tables", more), Next: []string{"settle those that are named, and check again"}})
	}
	return found
}
