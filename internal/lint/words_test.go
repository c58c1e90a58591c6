package lint

import (
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"
)

// needles are what no file may say: folders of the machine that it was written on, and hosts that packages
// come from. They are put together from pieces, so that this file does not say them either.
func needles(t *testing.T) []string {
	t.Helper()
	dirs := []string{"work", "root", "home", "Users"}
	var all []string
	for _, dir := range dirs {
		all = append(all, "/"+dir+"/")
	}
	all = append(all, "proxy.golang"+".org", "sum.golang"+".org", "go"+"proxy.", "registry"+".npmjs", "py"+"pi.org", "deb.debian"+".org", "art"+"ifactory")
	out, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range strings.FieldsFunc(strings.TrimSpace(string(out)), func(r rune) bool { return r == ',' || r == '|' }) {
		if u, err := url.Parse(source); err == nil && u.Hostname() != "" {
			all = append(all, u.Hostname())
		}
	}
	return all
}

// said are the lines of text that contain a needle, as "line n: needle".
func said(text string, needles []string) (found []string) {
	for i, line := range strings.Split(text, "\n") {
		for _, needle := range needles {
			at := strings.Index(line, needle)
			if at < 0 || strings.HasPrefix(needle, "/") && at > 0 && partOfPath(line[at-1]) {
				continue
			}
			found = append(found, fmt.Sprintf("line %d: %s", i+1, needle))
		}
	}
	return found
}

// partOfPath reports whether the byte before a needle makes it the middle of another path.
func partOfPath(b byte) bool {
	return b == '.' || b == '_' || b == '-' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

func TestNoMachineIsNamed(t *testing.T) {
	needles := needles(t)
	names, tracked := trackedFiles(t)
	if !tracked {
		names = files(t, func(string) bool { return true })
	}
	for _, name := range names {
		text := read(t, name)
		if strings.Contains(text, "\x00") {
			if tracked {
				t.Errorf("%s is a binary file; this repository holds text", name)
			}
			continue
		}
		for _, s := range said(text, needles) {
			t.Errorf("%s, %s", name, s)
		}
	}
}

func TestNeedlesAreFound(t *testing.T) {
	dir := "/ho" + "me/"
	cases := []struct {
		text string
		want int
	}{
		{"nothing\nhere", 0},
		{"x\nopen(\"" + dir + "me/x\")", 1},
		{"a/" + "ho" + "me/b", 0},
		{"see host.example too", 1},
	}
	for _, c := range cases {
		if got := said(c.text, []string{dir, "host.example"}); len(got) != c.want {
			t.Errorf("%q: %v, want %d", c.text, got, c.want)
		}
	}
}
