package bench

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// record is the file of the figures. A run replaces those that it has measured, and leaves the others.
type record struct {
	Machine machine  `json:"machine"`
	Figures []figure `json:"figures"`
	Plot    []point  `json:"time_over_rows,omitempty"`
}

// publish prints what this run has found and writes it down: as JSON to STRANGLER_BENCH_JSON (bench.json at the root of
// the repository by default), and, where STRANGLER_BENCH_DOC names a Markdown file, as the table between its two marks, with
// the plot beside it. Both are relative to that root.
func publish(w io.Writer) error {
	if len(found.figures) == 0 {
		return nil
	}
	found.machine.look()
	fmt.Fprintf(w, "\n%s\n\n", found.machine)
	printTable(w, found.figures)
	path := fromRoot(cmp.Or(os.Getenv("STRANGLER_BENCH_JSON"), "bench.json"))
	old, err := readRecord(path)
	if err != nil {
		return err
	}
	all := old.with(record{found.machine, found.figures, found.plot})
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nwritten to %s\n", path)
	doc := os.Getenv("STRANGLER_BENCH_DOC")
	if doc == "" {
		return nil
	}
	doc = fromRoot(doc)
	if err := inscribe(doc, all); err != nil {
		return err
	}
	fmt.Fprintf(w, "the table is in %s\n", doc)
	return nil
}

// fromRoot is the path of a file named from the root of the repository.
func fromRoot(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join("..", "..", name)
}

// readRecord is empty where there is no file.
func readRecord(path string) (r record, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("the figures of earlier runs cannot be read; this run's are on the screen, delete the file or name another in STRANGLER_BENCH_JSON: %s: %w", path, err)
	}
	return r, nil
}

// with is the record with a run's figures in the place of those of the same name.
func (r record) with(run record) record {
	if run.Machine.PostgreSQL == "" {
		run.Machine.PostgreSQL, run.Machine.Settings = r.Machine.PostgreSQL, r.Machine.Settings
	}
	out := record{Machine: run.Machine, Plot: r.Plot, Figures: slices.Clone(r.Figures)}
	if len(run.Plot) > 0 {
		out.Plot = run.Plot
	}
	for _, f := range run.Figures {
		if i := slices.IndexFunc(out.Figures, func(old figure) bool { return old.Name == f.Name }); i >= 0 {
			out.Figures[i] = f
		} else {
			out.Figures = append(out.Figures, f)
		}
	}
	return out
}

// columns are a figure's cells.
func (f figure) columns() []string {
	value, verdict := amount(f.Value, f.Unit), f.Verdict
	if f.Measured == nil {
		value = ""
	}
	if f.Note != "" {
		verdict = strings.TrimPrefix(verdict+"; "+f.Note, "; ")
	}
	bar := f.Bar.String()
	if f.Bar != nil && f.Unit != "" {
		bar += " " + f.Unit
	}
	return []string{f.Name, f.Measured.String(), f.Peer.String(), value, bar, verdict}
}

var headings = []string{"figure", "measured", "beside it", "value", "bar", "verdict"}

func printTable(w io.Writer, figures []figure) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(headings, "\t"))
	for _, f := range figures {
		fmt.Fprintln(tw, strings.Join(f.columns(), "\t"))
	}
	tw.Flush()
}

// The table stands in a document between these two lines.
const (
	begins = "<!-- figures: written by the benchmarks -->\n"
	ends   = "<!-- end of figures -->\n"
)

// inscribe puts the table between the marks of a Markdown file, and the plot into a file beside it.
func inscribe(path string, r record) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := inscribed(string(b), r)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(r.Plot) > 0 {
		if err := os.WriteFile(strings.TrimSuffix(path, ".md")+".svg", []byte(svg(r.Plot)), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func inscribed(text string, r record) (string, error) {
	head, rest, ok := strings.Cut(text, begins)
	_, tail, ok2 := strings.Cut(rest, ends)
	if !ok || !ok2 {
		return "", fmt.Errorf("the lines %q and %q are missing, between which the table stands; nothing was written", strings.TrimSpace(begins), strings.TrimSpace(ends))
	}
	var t strings.Builder
	fmt.Fprintf(&t, "\nMachine: %s.\n\n", r.Machine)
	line := func(cells []string) { fmt.Fprintf(&t, "| %s |\n", strings.Join(cells, " | ")) }
	line(append(slices.Clone(headings), "sizes", "measured on", "load before"))
	line(slices.Repeat([]string{"---"}, len(headings)+3))
	for _, f := range r.Figures {
		cells := append(f.columns(), f.Sizes, f.Date.Format("2006-01-02 15:04"), f.Load)
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		line(cells)
	}
	t.WriteByte('\n')
	return head + begins + t.String() + ends + tail, nil
}
