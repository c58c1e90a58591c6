package proxy

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// Every request that has ended has a line, whatever became of it; nothing that a client sends can forge one; queries, which
// may hold secrets, are left out.
func TestAccessLog(t *testing.T) {
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, strings.Repeat("x", 100_000))
	})
	conf := config(legacy.URL, delivery(t, legacy.URL))
	conf.Access.File = filepath.Join(t.TempDir(), "access.log")
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	ask(t, client(t), "GET", p.URL()+"/couriers/7?token=secret", "", "User-Agent: a\"b\\c\u2028d", "Referer: http://x/", "Host: shop.example")
	ask(t, client(t), "GET", p.URL()+"/broken", "")
	_, in := dial(t, p, "TRACE /\" HTTP/1.1\r\nHost: x\r\n\r\n")
	readAnswer(t, in)
	lines := func(n int) (all []map[string]any) {
		await(t, "the lines", func() bool {
			b, err := os.ReadFile(conf.Access.File)
			return err == nil && strings.Count(string(b), "\n") == n
		})
		b, _ := os.ReadFile(conf.Access.File)
		if strings.Contains(string(b), "secret") {
			t.Errorf("a query is logged: %s", b)
		}
		for line := range strings.Lines(string(b)) {
			one := map[string]any{}
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			all = append(all, one)
		}
		return all
	}
	all := lines(3) // in the order in which they ended, which is not that in which their clients knew
	slices.SortFunc(all, func(a, b map[string]any) int { return cmp.Compare(a["status"].(float64), b["status"].(float64)) })
	want := map[string]any{"client": "127.0.0.1", "method": "GET", "host": "shop.example", "path": "/couriers/7", "protocol": "HTTP/1.1", "capability": "delivery", "side": "service",
		"user_agent": "a\"b\\c\u2028d", "referer": "http://x/", "status": 200.0, "bytes": 100_000.0}
	for name, value := range want {
		if all[0][name] != value {
			t.Errorf("%s is %v, want %v", name, all[0][name], value)
		}
	}
	if at, err := time.Parse(time.RFC3339Nano, all[0]["time"].(string)); err != nil || time.Since(at) > time.Minute || all[0]["seconds"].(float64) <= 0 {
		t.Errorf("%v", all[0])
	}
	if all[2]["status"] != 502.0 || all[2]["capability"] != "" || all[1]["status"] != 405.0 || all[1]["method"] != "TRACE" {
		t.Errorf("%v\n%v", all[1], all[2])
	}

	// A file that is taken away is made anew.
	if err := os.Rename(conf.Access.File, conf.Access.File+".1"); err != nil {
		t.Fatal(err)
	}
	await(t, "the new file", func() bool { _, err := os.Stat(conf.Access.File); return err == nil })
	ask(t, client(t), "GET", p.URL()+"/x", "")
	lines(1)
}

func TestCombinedAccessLog(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	conf := config(legacy.URL)
	conf.Access = AccessLog{File: filepath.Join(t.TempDir(), "access.log"), Format: AccessCombined}
	p := start(t, conf)
	ask(t, client(t), "GET", p.URL()+"/x?y", "", "User-Agent: a\"b")
	want := regexp.MustCompile(`^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /x HTTP/1\.1" 200 6 "-" "a\\"b" - legacy \d+\.\d{6}\n$`)
	await(t, want.String(), func() bool {
		b, err := os.ReadFile(conf.Access.File)
		return err == nil && want.Match(b)
	})
}
