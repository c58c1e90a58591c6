package mysql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The text of SHOW CREATE TABLE has a line for each column, key and constraint, and one for the table's options. Line
// breaks within a comment or a default are escaped there.

var (
	foreignLine = regexp.MustCompile("^  CONSTRAINT (`(?:[^`]|``)*`) FOREIGN KEY \\(([^)]*|(?:`(?:[^`]|``)*`(?:, ?)?)*)\\) REFERENCES (`(?:[^`]|``)*`(?:\\.`(?:[^`]|``)*`)?) \\(((?:`(?:[^`]|``)*`(?:, ?)?)*)\\)(.*)$")
	quotedName  = regexp.MustCompile("`((?:[^`]|``)*)`")
	ruleOf      = regexp.MustCompile(`ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT|RESTRICT|NO ACTION)`)
	nextKey     = regexp.MustCompile(` AUTO_INCREMENT=\d+`)
	headLine    = regexp.MustCompile("^CREATE TABLE (?:IF NOT EXISTS )?`(?:[^`]|``)*`")
)

func unquoted(list string) (out []string) {
	for _, m := range quotedName.FindAllStringSubmatch(list, -1) {
		out = append(out, strings.ReplaceAll(m[1], "``", "`"))
	}
	return out
}

// quoted is a table's text in which the names of its foreign keys are quoted: InnoDB writes a backtick in them as it is.
func quoted(ddl string, keys []foreignKey) string {
	lines := strings.Split(ddl, "\n")
	for i, line := range lines {
		for _, f := range keys {
			if strings.HasPrefix(line, "  CONSTRAINT `"+f.name+"` FOREIGN KEY (") || strings.HasPrefix(line, "  CONSTRAINT "+ident(f.name)+" FOREIGN KEY (") {
				lines[i] = "  " + f.definition()
				if strings.HasSuffix(line, ",") {
					lines[i] += ","
				}
				break
			}
		}
	}
	return strings.Join(lines, "\n")
}

// readForeign reads a line that is a foreign key of child.
func readForeign(child, line string) (f foreignKey, ok bool) {
	m := foreignLine.FindStringSubmatch(strings.TrimSuffix(line, ","))
	if m == nil {
		return f, false
	}
	parent := unquoted(m[3])
	f = foreignKey{name: unquoted(m[1])[0], child: child, parent: parent[len(parent)-1], from: unquoted(m[2]), to: unquoted(m[4]), onDelete: "RESTRICT", onUpdate: "RESTRICT"}
	if len(parent) > 1 {
		f.elsewhere = parent[0]
	}
	for _, r := range ruleOf.FindAllStringSubmatch(m[5], -1) {
		if r[1] == "DELETE" {
			f.onDelete = r[2]
		} else {
			f.onUpdate = r[2]
		}
	}
	return f, true
}

// foreignKeys are those of a table's text.
func foreignKeys(child, ddl string) (out []foreignKey) {
	for _, line := range strings.Split(ddl, "\n") {
		if f, ok := readForeign(child, line); ok {
			out = append(out, f)
		}
	}
	return out
}

// definition is what stands behind ADD to make a foreign key.
func (f foreignKey) definition() string {
	parent := ident(f.parent)
	if f.elsewhere != "" {
		parent = ident(f.elsewhere) + "." + parent
	}
	s := fmt.Sprintf("CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)", ident(f.name), list(f.from, ident), parent, list(f.to, ident))
	if f.onDelete != "RESTRICT" {
		s += " ON DELETE " + f.onDelete
	}
	if f.onUpdate != "RESTRICT" {
		s += " ON UPDATE " + f.onUpdate
	}
	return s
}

// edited is a table's text without the foreign keys that cut names, without the next generated key, and with others'
// names.
func edited(ddl, child string, cut func(f foreignKey) bool, renamed func(string) string) string {
	lines := strings.Split(nextKeyGone(ddl), "\n")
	lines[0] = headLine.ReplaceAllLiteralString(lines[0], "CREATE TABLE IF NOT EXISTS "+ident(renamed(child)))
	last := len(lines) - 1
	for !strings.HasPrefix(lines[last], ")") && last > 0 {
		last-- // partitions follow the options
	}
	var body []string
	for _, line := range lines[1:last] {
		line = strings.TrimSuffix(line, ",")
		if f, ok := readForeign(child, line); ok {
			if cut(f) {
				continue
			}
			f.parent = renamed(f.parent)
			line = "  " + f.definition()
		}
		body = append(body, line)
	}
	return strings.Join(slices.Concat(lines[:1], []string{strings.Join(body, ",\n")}, lines[last:]), "\n")
}

// nextKeyGone takes AUTO_INCREMENT=n out of the options.
func nextKeyGone(ddl string) string {
	at := strings.LastIndex(ddl, "\n)")
	if at < 0 {
		return ddl
	}
	return ddl[:at] + nextKey.ReplaceAllString(ddl[at:], "")
}
