package migrations

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// A foreign key that crosses the cut is in no database while its capability is out, and what it did on DELETE is done by
// somebody else, as `on_delete` says (CUTOVER.md, section 7):
//
//   - restrict: the service's rows refer to the monolith's. Triggers that the cut leaves at the monolith's table refuse to delete,
//     or to change, what the copy of the service's rows there refers to.
//   - cascade: the monolith's rows refer to the service's. The applier that brings a deletion back carries out the key's own
//     action, in the same transaction.
//   - ignore: nothing is done, and the orphans are listed.

// String is the foreign key as strangler.yaml names it.
func (k ForeignKey) String() string { return k.Table + "(" + strings.Join(k.Columns, ", ") + ")" }

// Delete is what the capability wants of a foreign key that crosses.
func (b Binding) Delete(k ForeignKey) strangler.Delete {
	if d, ok := b.OnDelete[k.String()]; ok {
		return d
	}
	return strangler.DeleteIgnore
}

// deletes are what on_delete asks for and cannot be.
func deletes(s Schema, c strangler.Capability) (out []Problem) {
	problem := func(next, format string, args ...any) {
		out = append(out, Problem{"on_delete", fmt.Sprintf(format, args...), next})
	}
	for _, name := range slices.Sorted(maps.Keys(c.OnDelete)) {
		at := slices.IndexFunc(s.Crossing, func(k ForeignKey) bool { return k.String() == name })
		if at < 0 {
			next := "leave it out: none does"
			if len(s.Crossing) > 0 {
				var all []string
				for _, k := range s.Crossing {
					all = append(all, k.String())
				}
				next = "those that do: " + strings.Join(all, "; ")
			}
			problem(next, "no foreign key %s crosses the cut", name)
			continue
		}
		k := s.Crossing[at]
		switch c.OnDelete[name] {
		case strangler.DeleteRestrict:
			if k.ToMoved {
				problem("write cascade or ignore, and let the service ask the monolith before it deletes", "%s cannot restrict: the service deletes from %s, and its database has nothing of %s", name, k.Parent, k.Table)
			}
		case strangler.DeleteCascade:
			switch {
			case !k.ToMoved:
				problem("write restrict or ignore", "%s cannot cascade: the monolith deletes from %s, and the rows of %s are not its to delete", name, k.Parent, k.Table)
			case k.FromMoved:
				problem("write ignore, and let the application do it", "%s cannot cascade: a part of %s is the service's", name, k.Table)
			case k.OnDelete != "CASCADE" && k.OnDelete != "SET NULL":
				problem("write ignore; or make the key ON DELETE CASCADE or SET NULL", "%s cannot cascade: on DELETE it does %s, and nothing else would be right", name, k.OnDelete)
			default:
				out = append(out, k.unkeyed(s, c)...)
			}
		}
	}
	return out
}

// sameOnDelete refuses an on_delete that is not the scripts': they make the triggers, and note what is to be carried out.
func (p *Planning) sameOnDelete() error {
	cut, err := p.cutKeys()
	if err != nil {
		return err
	}
	for _, k := range cut {
		is, was := cmp.Or(p.c.OnDelete[k.String()], strangler.DeleteIgnore), cmp.Or(k.Policy, strangler.DeleteIgnore)
		if is != was {
			return strangler.Refuse("on_delete", fmt.Sprintf("on_delete of %s is %s in strangler.yaml, and the scripts of %s were made for %s", k, is, p.c.Name, was),
				fmt.Sprintf("write %s in strangler.yaml", was), "plan anew: strangler split cancel "+p.c.Name+", then run the playbook")
		}
	}
	return nil
}

// unkeyed refuses what the applier cannot tell: it knows of a row that is gone no more than its key.
func (k ForeignKey) unkeyed(s Schema, c strangler.Capability) []Problem {
	if k.At < 0 || k.At >= len(s.Tables) {
		return []Problem{{"on_delete", fmt.Sprintf("%s cannot cascade: it refers to a part of a table only, %s", k, k.Parent), "write ignore, and let the application do it"}}
	}
	t := s.Tables[k.At]
	if c.Tables[k.At].OneWay {
		return []Problem{{"on_delete", fmt.Sprintf("%s cannot cascade: nothing of %s comes back (reverse: false)", k, k.Parent), "write ignore"}}
	}
	if len(k.Targets) != len(t.Key) || slices.Contains(k.Children(t.Key), "") {
		return []Problem{{"on_delete", fmt.Sprintf("%s cannot cascade: it refers to (%s) of %s, whose key is (%s)", k, strings.Join(k.Targets, ", "), k.Parent, strings.Join(t.Key, ", ")), "write ignore, and let the application do it"}}
	}
	return nil
}

// Cascades are the foreign keys whose action an Apply at the monolith carries out, and what is gone in it. The zero value
// has none. It is used by one goroutine.
type Cascades struct {
	keys []ForeignKey
	gone map[int]map[string]Key // by table: deleted, and not written again
}

// Cascading writes down, for the script that cuts them, the foreign keys whose action is to be carried out; empty: none.
func (b Binding) Cascading(keys []ForeignKey) string {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k ForeignKey) bool { return b.Delete(k) != strangler.DeleteCascade })
	if len(keys) == 0 {
		return ""
	}
	text, err := json.Marshal(keys)
	if err != nil {
		panic(err) // texts and numbers
	}
	return string(text)
}

// ReadCascades reads what Cascading has written.
func ReadCascades(texts []string) (c Cascades, err error) {
	for _, text := range texts {
		var keys []ForeignKey
		if err := json.Unmarshal([]byte(text), &keys); err != nil {
			return c, fmt.Errorf("%w: what is noted of the foreign keys that are cut cannot be read: %w; nothing was written", strangler.ErrStopped, err)
		}
		c.keys = append(c.keys, keys...)
	}
	for _, k := range c.keys {
		if c.gone == nil {
			c.gone = map[int]map[string]Key{}
		}
		c.gone[k.At] = map[string]Key{}
	}
	return c, nil
}

// Watches reports whether it has to hear of the rows of a table.
func (c Cascades) Watches(table int) bool { return c.gone[table] != nil }

// Deleted takes down that a row goes.
func (c Cascades) Deleted(table int, k Key) {
	if c.Watches(table) {
		c.gone[table][string(Encode(k))] = k
	}
}

// Written takes down that a row stands, so that nobody looks for what refers to it.
func (c Cascades) Written(table int, k Key) { delete(c.gone[table], string(Encode(k))) }

// Emptied forgets the table: a TRUNCATE deletes nothing along.
func (c Cascades) Emptied(table int) { clear(c.gone[table]) }

// Each calls do with the keys that are gone, at most n at once, for every foreign key that refers to them.
func (c Cascades) Each(n int, do func(k ForeignKey, gone []Key) error) error {
	for _, k := range c.keys {
		gone := slices.Collect(maps.Values(c.gone[k.At]))
		for some := range slices.Chunk(gone, n) {
			if err := do(k, some); err != nil {
				return fmt.Errorf("what ON DELETE %s of %s does, of which on_delete says cascade: %w", k.OnDelete, k, err)
			}
		}
	}
	return nil
}

// Children are the columns that refer to a key, in the order of the key's.
func (k ForeignKey) Children(key []string) []string {
	out := make([]string, len(key))
	for i, name := range key {
		for j, to := range k.Targets {
			if strings.EqualFold(to, name) {
				out[i] = k.Columns[j]
			}
		}
	}
	return out
}
