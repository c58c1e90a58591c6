package setup

import (
	"regexp"
	"strings"
)

var (
	humps  = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	noWord = regexp.MustCompile(`[^a-z0-9]+`)
)

// words takes a name apart: OrderLine, order_line and order-lines are of two words.
func words(name string) []string {
	lower := strings.ToLower(humps.ReplaceAllString(name, "${1}_${2}"))
	return strings.FieldsFunc(noWord.ReplaceAllString(lower, "_"), func(r rune) bool { return r == '_' })
}

// capabilityName is a name as strangler.yaml takes it; empty where nothing is left of it.
func capabilityName(name string) string {
	joined := strings.TrimLeft(strings.Join(words(name), "_"), "0123456789_")
	return strings.TrimRight(joined[:min(len(joined), 30)], "_")
}

// stems are what a word may be in the singular.
func stems(word string) []string {
	all := []string{word}
	for _, ending := range [][2]string{{"s", ""}, {"es", ""}, {"ies", "y"}} {
		if bare, ok := strings.CutSuffix(word, ending[0]); ok && bare != "" {
			all = append(all, bare+ending[1])
		}
	}
	return all
}

// alike reports whether two words are one, in the singular or the plural.
func alike(a, b string) bool {
	for _, x := range stems(a) {
		for _, y := range stems(b) {
			if x == y {
				return true
			}
		}
	}
	return false
}

// fits is how many words of a table's name are those of a capability, in front and all of them; 0: it is another's. A name that
// has no further words fits better than any other.
func fits(table, capability []string) int {
	n := len(capability)
	if n == 0 || len(table) < n {
		return 0
	}
	for i := range n {
		if table[i] != capability[i] && !(i == n-1 && alike(table[i], capability[i])) {
			return 0
		}
	}
	if len(table) == n {
		return 1000
	}
	return n + 1
}

// bare is a table's name as strangler.yaml has it, taken apart into its schema, if it has one, and itself.
func bare(table string) (schema, name string) {
	if i := strings.LastIndex(table, "."); i > 0 {
		return strings.Trim(table[:i], `"`), strings.Trim(table[i+1:], `"`)
	}
	return "", strings.Trim(table, `"`)
}

// tableWords are the words of every table, without a first one that all of them share, as app_ or tbl_.
func tableWords(tables []string) map[string][]string {
	out := map[string][]string{}
	shared, first := len(tables) > 2, ""
	for _, t := range tables {
		_, name := bare(t)
		w := words(name)
		out[t] = w
		if first == "" && len(w) > 0 {
			first = w[0]
		}
		shared = shared && len(w) > 1 && w[0] == first
	}
	if shared {
		for t, w := range out {
			out[t] = w[1:]
		}
	}
	return out
}
