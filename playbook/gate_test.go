package playbook

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// ofPrometheus answers as the HTTP API of a Prometheus does, and checks what it is asked.
func ofPrometheus(t *testing.T, path string, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/prom/api/v1/"+path || r.FormValue("query") != `rate(errors{job="x"}[5m])` {
			t.Errorf("asked %s", r.URL)
		}
		if path == "query_range" && (r.FormValue("start") != "400.000" || r.FormValue("end") != "1000.000" || r.FormValue("step") != "10.000") {
			t.Errorf("the window is %s", r.URL.RawQuery)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/prom"
}

func result(kind, value string) string {
	return fmt.Sprintf(`{"status":"success","data":{"resultType":%q,"result":%s}}`, kind, value)
}

// values is a series with a sample each ten seconds from a moment to another, and from a further one to another.
func values(spans ...int) string {
	var all []string
	for ; len(spans) > 0; spans = spans[2:] {
		for at := spans[0]; at <= spans[1]; at += 10 {
			all = append(all, fmt.Sprintf(`[%d,"0.001"]`, at))
		}
	}
	return `{"values":[` + strings.Join(all, ",") + `]}`
}

func TestPrometheus(t *testing.T) {
	for name, test := range map[string]struct {
		window time.Duration
		status int
		body   string
		met    bool
		want   string
	}{
		"below":              {0, 200, result("vector", `[{"metric":{},"value":[1,"0.005"]}]`), true, "all of 1 samples are above 0 and below 0.01, the last 0.005"},
		"a scalar":           {0, 200, result("scalar", `[1,"0.005"]`), true, "all of 1 samples are"},
		"two series":         {0, 200, result("vector", `[{"value":[1,"0.005"]},{"value":[1,"0.5"]}]`), false, ": it was 0.5 at 1970-01-01 00:00:01 UTC"},
		"too low":            {0, 200, result("vector", `[{"value":[1,"-1"]}]`), false, ": it was -1 at"},
		"at the bound":       {0, 200, result("vector", `[{"value":[1,"0.01"]}]`), false, ": it was 0.01 at"},
		"infinite":           {0, 200, result("vector", `[{"value":[1,"+Inf"]}]`), false, ": it was +Inf at"},
		"nothing":            {0, 200, result("vector", `[]`), false, ": no data: inconclusive"},
		"no number":          {0, 200, result("vector", `[{"value":[1,"NaN"]}]`), false, ": 1 of 1 samples are no number: inconclusive"},
		"a window":           {10 * time.Minute, 200, result("matrix", "["+values(400, 1000)+","+values(400, 1000)+"]"), true, "all of 122 samples are above 0 and below 0.01 for 10m0s, the last 0.001"},
		"a scrape missed":    {10 * time.Minute, 200, result("matrix", "["+values(430, 700, 740, 970)+"]"), true, "all of 52 samples are"},
		"a moment":           {10 * time.Minute, 200, result("matrix", "["+values(1000, 1000)+"]"), false, ": there are no samples from 1970-01-01 00:06:40 UTC to 1970-01-01 00:16:40 UTC, of a window of 10m up to 1970-01-01 00:16:40 UTC: inconclusive"},
		"begun late":         {10 * time.Minute, 200, result("matrix", "["+values(450, 1000)+"]"), false, ": there are no samples from 1970-01-01 00:06:40 UTC to 1970-01-01 00:07:30 UTC"},
		"ended early":        {10 * time.Minute, 200, result("matrix", "["+values(400, 950)+"]"), false, ": there are no samples from 1970-01-01 00:15:50 UTC to 1970-01-01 00:16:40 UTC"},
		"a hole":             {10 * time.Minute, 200, result("matrix", "["+values(400, 600, 650, 1000)+"]"), false, ": there are no samples from 1970-01-01 00:10:00 UTC to 1970-01-01 00:10:50 UTC"},
		"one series new":     {10 * time.Minute, 200, result("matrix", "["+values(400, 1000)+","+values(900, 1000)+"]"), false, ": inconclusive (series 2 of 2)"},
		"a window, once not": {10 * time.Minute, 200, result("matrix", `[{"values":[[1,"0.001"],[2,"0.2"],[3,"0.001"]]}]`), false, ": it was 0.2 at 1970-01-01 00:00:02 UTC"},
		"an empty window":    {10 * time.Minute, 200, result("matrix", `[]`), false, ": no data: inconclusive"},
		"a window with gaps": {10 * time.Minute, 200, result("matrix", `[{"values":[[1,"0.001"],[2,"NaN"]]}]`), false, ": 1 of 2 samples are no number: inconclusive"},
		"a bad query":        {0, 400, `{"status":"error","errorType":"bad_data","error":"parse error"}`, false, ": Prometheus says parse error"},
		"something else":     {0, 200, `<html>`, false, ": what answered is no Prometheus, or said more than 1048576 bytes"},
		"a gateway":          {0, 502, `<html>`, false, ": Prometheus answered 502"},
		"a text":             {0, 200, result("string", `[1,"x"]`), false, `: the query is a "string", which is no number`},
		"odd samples":        {0, 200, result("vector", `[{"value":["x",1]}]`), false, ": Prometheus answered what cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			path := "query"
			if test.window > 0 {
				path = "query_range"
			}
			above, below := 0.0, 0.01
			g := prometheusGate{strangler.OwnStep{Name: "x", Timeout: time.Minute, Prometheus: &strangler.PrometheusStep{
				URL: ofPrometheus(t, path, test.status, test.body), Query: `rate(errors{job="x"}[5m])`, Above: &above, Below: &below, For: test.window}}}
			v, err := g.ask(t.Context(), &act{Config: &Config{Now: func() time.Time { return time.Unix(1000, 0) }}})
			said := v.text
			if v.answer == isMissing {
				said = v.detail
			}
			if err != nil || (v.answer == isDone) != test.met || !strings.Contains(said, test.want) {
				t.Errorf("%+v, %v", v, err)
			}
			if !test.met && v.text != "waiting for rate(errors{job=\"x\"}[5m]) to be "+g.own.Prometheus.Bounds() {
				t.Errorf("it waits with another text: %q", v.text)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]string{
		"$.state": "ready", "$.n": "1.50", "$.ok": "true", "$.none": "null", "$.checks[1].name": "b", "$.checks[0]": `{"name":"a"}`, "$.deep[0][1]": "2",
		"$.absent": "", "$.checks[2]": "", "$.checks.name": "", "$.state[0]": "", "$[0]": "", "$.state.x": "",
	} {
		body := `{"state":"ready","n":1.50,"ok":true,"none":null,"checks":[{"name":"a"},{"name":"b"}],"deep":[[1,2]]}`
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		value := want
		if want == "" {
			value = "anything"
		}
		g := httpGate{strangler.OwnStep{Timeout: time.Minute, HTTP: &strangler.HTTPStep{URL: s.URL, Status: 200, JSON: map[string]string{path: value}}}}
		v, err := g.ask(t.Context(), nil)
		s.Close()
		if err != nil || (v.answer == isDone) != (want != "") {
			t.Errorf("%s: %+v, %v", path, v, err)
		}
	}
}

// TestAsking: redirects are answers, what is silent is left after the timeout, and nothing of a URL's secrets is said.
func TestAsking(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/else", http.StatusFound)
		case "/silent":
			<-release
		case "/else":
			t.Error("the redirect was followed")
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	gate := func(url string, timeout time.Duration) verdict {
		v, err := httpGate{strangler.OwnStep{Timeout: timeout, HTTP: &strangler.HTTPStep{URL: url, Status: 302}}}.ask(t.Context(), nil)
		if err != nil || strings.Contains(v.text+v.detail, "hunter2") {
			t.Errorf("%+v, %v", v, err)
		}
		return v
	}
	if v := gate(s.URL+"/moved", time.Minute); v.answer != isDone {
		t.Errorf("%+v", v)
	}
	if v := gate(s.URL+"/silent?hunter2", 50*time.Millisecond); !strings.Contains(v.detail, "did not answer within 50ms") {
		t.Errorf("%+v", v)
	}
	if v := gate("http://u:hunter2@127.0.0.1:1/hunter?hunter2", time.Minute); !strings.Contains(v.detail, "127.0.0.1:1 could not be asked: dial tcp 127.0.0.1:1: connect: connection refused") {
		t.Errorf("%+v", v)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (httpGate{strangler.OwnStep{Timeout: time.Minute, HTTP: &strangler.HTTPStep{URL: s.URL}}}).ask(ctx, nil); err == nil {
		t.Error("an end of the run is taken for an answer")
	}
}
