package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/admin/admintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// question is one request in a test.
type question struct {
	method, path, token, body string
	header                    map[string]string
}

// answer is what came back.
type answer struct {
	status int
	body   string
	header http.Header
}

func ask(t *testing.T, server *admin.Server, q question) answer {
	t.Helper()
	request, err := http.NewRequest(q.method, server.URL()+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if q.token != "" {
		request.Header.Set("Authorization", "Bearer "+q.token)
	}
	for key, value := range q.header {
		if key == "Host" {
			request.Host = value
		}
		request.Header.Set(key, value)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, strings.TrimSpace(string(text)), response.Header}
}

func failure(t *testing.T, a answer) admin.FailureDetail {
	t.Helper()
	var f admin.Failure
	if err := json.Unmarshal([]byte(a.body), &f); err != nil {
		t.Fatalf("status %d, body %q: %v", a.status, a.body, err)
	}
	return f.Error
}

func TestTokenGuardsEverythingButProbes(t *testing.T) {
	cfg := admintest.New().Config()
	cfg.Token = "s3cret"
	cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "up 1") })
	server := admintest.Open(t, cfg)
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/healthz", "", 200},
		{"/readyz", "", 200},
		{"/metrics", "", 401},
		{"/metrics", "s3cret", 200},
		{"/debug/pprof/", "", 401},
		{"/debug/pprof/goroutine", "s3cret", 200},
		{"/v1/toggles", "", 401},
		{"/v1/toggles", "s3cre", 401},
		{"/v1/toggles", "s3cret2", 401},
		{"/v1/toggles", "s3cret", 200},
		{"/v1/nothing", "", 401},
		{"/v1/nothing", "s3cret", 404},
	} {
		got := ask(t, server, question{method: "GET", path: c.path, token: c.token})
		if got.status != c.want {
			t.Errorf("GET %s with token %q: %d, want %d", c.path, c.token, got.status, c.want)
		}
		if c.want == 401 && (failure(t, got).Code != admin.CodeConfiguration || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer")) {
			t.Errorf("GET %s: %s", c.path, got.body)
		}
	}
	basic := ask(t, server, question{method: "GET", path: "/v1/toggles", header: map[string]string{"Authorization": "Basic s3cret"}})
	if basic.status != 401 {
		t.Errorf("the token under another scheme: %d", basic.status)
	}
}

func TestWithoutTokenWebPagesAreKeptOut(t *testing.T) {
	backend := admintest.New()
	server := admintest.Open(t, backend.Config())
	const body = `{"who":"mallory"}`
	for name, header := range map[string]map[string]string{
		"a page of another site":         {"Sec-Fetch-Site": "cross-site"},
		"another origin":                 {"Origin": "https://evil.example"},
		"a name that resolves to us":     {"Host": "evil.example"},
		"such a name with our port":      {"Host": "evil.example:8081"},
		"a form's content type":          {"Content-Type": "text/plain"},
		"a content type that is unknown": {"Content-Type": ";"},
	} {
		got := ask(t, server, question{method: "POST", path: "/v1/splits/delivery/cutover", body: body, header: header})
		if got.status != 403 && got.status != 415 {
			t.Errorf("%s: status %d %s", name, got.status, got.body)
		}
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("a page had an effect: %v", calls)
	}
	if got := ask(t, server, question{method: "GET", path: "/v1/toggles", header: map[string]string{"Host": "localhost:1"}}); got.status != 200 {
		t.Errorf("localhost: %d %s", got.status, got.body)
	}
}

// asked is when a run's status was.
var asked = regexp.MustCompile(`"at":"[^"]*","toggle"`)

func TestEndpoints(t *testing.T) {
	backend := admintest.New()
	backend.Evidence = []string{"the control store names legacy"}
	backend.Changes = []string{"- canary 1%", "+ canary 2%"}
	server := admintest.Open(t, backend.Config())
	const zero = `"0001-01-01T00:00:00Z"`
	const since = `"2026-01-02T03:04:05Z"`
	const toggle = `{"capability":"delivery","mode":"legacy","percent":"0%","owner":"legacy","epoch":7,"gated":false,"since":` + since + `}`
	const status = `{"capability":"delivery","phase":"syncing","owner":"legacy","epoch":7,"tables":[{"name":"couriers","rows_copied":10,"rows_total":10}],"lag":{"changes":0,"seconds":0},"last_verify":{"at":` + zero + `,"rows":0,"mismatches":0},"uncompared":0,"differing":0,"pause_ms":0,"next_steps":["strangler split verify delivery"],"retained_wal_bytes":0}`
	const cutover = `{"id":1,"capability":"delivery","from":"legacy","to":"service","state":"committed","epoch":8,"decided":9,"position":"","released":true,"who":"","why":"","started":` + zero + `,"ended":` + zero + `}`
	const run = `{"id":3,"capability":"delivery","state":"running","who":"ann@laptop","started":` + since + `,"ended":` + zero + `,"steps":[{"name":"expand","state":"doing","started":` + since + `,"ended":` + zero + `}],"acts":[]}`
	runStatus := run[:len(run)-1] + `,"at":"now","toggle":` + toggle + `,"split":{"phase":"syncing","lag":{"changes":0,"seconds":0},"tables":[{"name":"couriers","rows_copied":10,"rows_total":10}],"last_verify":{"at":` + zero + `,"rows":0,"mismatches":0}},"traffic":{"legacy":{"requests":0,"errors":0},"service":{"requests":0,"errors":0},"instances":1}}`
	for _, c := range []struct{ method, path, body, want, call string }{
		{"GET", "/healthz", "", `{"status":"ok"}`, ""},
		{"GET", "/readyz", "", `{"status":"ready"}`, ""},
		{"GET", "/v1/toggles", "", `{"control_id":"c0ffee","toggles":[` + toggle + `],"at":` + zero + `,"stale":false}`, ""},
		{"GET", "/v1/toggles/delivery", "", toggle, ""},
		{"PUT", "/v1/toggles/delivery", `{"mode":"canary","percent":"10%","who":"ann","why":"try"}`, `{"toggle":{"capability":"delivery","mode":"canary","percent":"10%","owner":"legacy","epoch":8,"gated":false,"since":` + since + `},"applied":["one"],"pending":[]}`, "flip delivery canary 10% ann try"},
		{"GET", "/v1/toggles/delivery/history", "", `{"history":[]}`, ""},
		{"GET", "/v1/instances", "", `{"instances":[{"id":"one","admin":"http://127.0.0.1:8081","started":` + since + `,"seen":` + since + `,"live":true,"epochs":{"delivery":7}}]}`, ""},
		{"GET", "/v1/splits/delivery", "", status, ""},
		{"GET", "/v1/splits/delivery/writers", "", `{"writers":[]}`, ""},
		{"POST", "/v1/splits/delivery/start", `{"who":"ann"}`, status, "start delivery"},
		{"POST", "/v1/splits/delivery/verify", `{"who":"ann"}`, `{"at":` + since + `,"rows":10,"mismatches":0}`, "verify delivery"},
		{"POST", "/v1/splits/delivery/cutover", `{"who":"ann","why":"now"}`, cutover, "cutover delivery ann now"},
		{"POST", "/v1/splits/delivery/rollback", `{"who":"ann"}`, cutover, "rollback delivery ann "},
		{"POST", "/v1/splits/delivery/complete", `{"who":"ann"}`, status, "complete delivery ann"},
		{"POST", "/v1/splits/delivery/cancel", `{"who":"ann"}`, status, "cancel delivery"},
		{"POST", "/v1/splits/delivery/adopt", `{"who":"ann"}`, `{"lines":["the control store names legacy"],"toggle":` + toggle + `}`, "adopt delivery  ann "},
		{"POST", "/v1/splits/delivery/adopt", `{"who":"ann","why":"lost","owner":"service"}`, `{"lines":["the control store names legacy"],"toggle":` + toggle + `}`, "adopt delivery service ann lost"},
		{"GET", "/v1/runs/delivery", "", runStatus, ""},
		{"POST", "/v1/runs/delivery", `{"who":"ann","until":"soak"}`, run, "run delivery soak ann"},
		{"POST", "/v1/runs/delivery/rollback", `{"who":"ann","to":"copy"}`, run, "run rollback delivery copy ann"},
		{"POST", "/v1/runs/delivery/approve", `{"who":"ann","step":"cutover"}`, run, "approve delivery cutover ann"},
		{"POST", "/v1/runs/delivery/approve", `{"who":"ann","step":"complete","confirm":"delivery"}`, run, "approve delivery complete ann delivery"},
		{"POST", "/v1/runs/delivery/pause", `{"who":"ann","why":"lunch"}`, run, "playbook pause delivery ann lunch"},
		{"POST", "/v1/runs/delivery/continue", `{"who":"ann"}`, run, "playbook continue delivery ann"},
		{"POST", "/v1/runs/delivery/abort", `{"who":"ann"}`, run, "playbook abort delivery ann"},
		{"POST", "/v1/runs/delivery/skip", `{"who":"ann","step":"soak","why":"x"}`, run, "playbook skip delivery soak ann x"},
		{"POST", "/v1/runs/delivery/retry", `{"who":"ann","step":"verify"}`, run, "playbook retry delivery verify ann"},
		{"POST", "/v1/runs/delivery/accept", `{"who":"ann"}`, strings.TrimSuffix(run, "}") + `,"changes":["- canary 1%","+ canary 2%"]}`, "playbook accept delivery ann"},
	} {
		before := len(backend.Calls())
		got := ask(t, server, question{method: c.method, path: c.path, body: c.body})
		if got.status != 200 {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
			continue
		}
		if diff := cmp.Diff(c.want, asked.ReplaceAllString(got.body, `"at":"now","toggle"`)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.method, c.path, diff)
		}
		var want []string
		if c.call != "" {
			want = []string{c.call}
		}
		if diff := cmp.Diff(want, backend.Calls()[before:], cmp.Transformer("empty", func(s []string) string { return strings.Join(s, "\n") })); diff != "" {
			t.Errorf("%s %s asked for (-want +got):\n%s", c.method, c.path, diff)
		}
	}
}

// The codes and statuses are part of the API: this table changes with its version only.
func TestErrorsHaveConstantCodes(t *testing.T) {
	backend := admintest.New()
	server := admintest.Open(t, backend.Config())
	for _, c := range []struct {
		err    error
		status int
		want   admin.FailureDetail
	}{
		{strangler.Refuse("lag", "it is behind", "wait"), 409, admin.FailureDetail{Code: "refused", Message: "it is behind", Check: "lag", Next: []string{"wait"}}},
		{fmt.Errorf("cutting over: %w", strangler.Refuse("lag", "it is behind")), 409, admin.FailureDetail{Code: "refused", Message: "it is behind", Check: "lag", Next: []string{}}},
		{fmt.Errorf("no: %w", strangler.ErrRefused), 409, admin.FailureDetail{Code: "refused", Message: "no: refused", Next: []string{}}},
		{fmt.Errorf("a: %w", strangler.ErrConflict), 409, admin.FailureDetail{Code: "conflict", Message: "a: changed meanwhile", Next: []string{}}},
		{fmt.Errorf("a: %w", strangler.ErrUnknown), 500, admin.FailureDetail{Code: "unknown", Message: "a: outcome unknown", Next: []string{}}},
		{fmt.Errorf("a: %w", strangler.ErrSuperseded), 409, admin.FailureDetail{Code: "superseded", Message: "a: superseded", Next: []string{}}},
		{fmt.Errorf("a: %w", strangler.ErrStopped), 503, admin.FailureDetail{Code: "stopped", Message: "a: stopped", Next: []string{}}},
		{fmt.Errorf("a: %w", strangler.ErrConfig), 400, admin.FailureDetail{Code: "configuration", Message: "a: configuration", Next: []string{}}},
		{fmt.Errorf("a: %w", strangler.ErrNotFound), 404, admin.FailureDetail{Code: "not_found", Message: "a: not found", Next: []string{}}},
		{errors.New("disk full"), 500, admin.FailureDetail{Code: "failed", Message: "disk full", Next: []string{}}},
	} {
		backend.Fail("cutover", c.err)
		got := ask(t, server, question{method: "POST", path: "/v1/splits/delivery/cutover", body: `{"who":"ann"}`})
		if got.status != c.status {
			t.Errorf("%v: status %d, want %d", c.err, got.status, c.status)
		}
		if diff := cmp.Diff(c.want, failure(t, got)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.err, diff)
		}
	}
}

func TestUnusableQuestionsChangeNothing(t *testing.T) {
	backend := admintest.New()
	server := admintest.Open(t, backend.Config())
	for _, c := range []struct {
		method, path, body string
		status             int
		code               admin.Code
		says               string
	}{
		{"GET", "/v1/toggles/billing", "", 404, "not_found", "the daemon knows delivery"},
		{"POST", "/v1/splits/billing/cutover", `{"who":"ann"}`, 404, "not_found", "billing"},
		{"DELETE", "/v1/toggles/delivery", "", 404, "not_found", "with this method"},
		{"POST", "/v1/splits/delivery/cutover", `{"who":" "}`, 400, "configuration", "who is missing"},
		{"POST", "/v1/splits/delivery/cutover", `{"who":"ann","force":true}`, 400, "configuration", "force"},
		{"POST", "/v1/splits/delivery/cutover", `{"who":"ann"} {}`, 400, "configuration", "JSON"},
		{"POST", "/v1/splits/delivery/cutover", ``, 415, "configuration", "application/json"},
		{"POST", "/v1/splits/delivery/cutover?dry_run=perhaps", `{"who":"ann"}`, 400, "configuration", "dry_run"},
		{"POST", "/v1/splits/delivery/cutover", `{"who":"` + strings.Repeat("a", 70_000) + `"}`, 413, "configuration", "larger than 65536 bytes"},
		{"POST", "/v1/runs/delivery/pause", `{"who":"` + strings.Repeat("a", 1025) + `"}`, 400, "configuration", "who has 1025 bytes, and 1024 at most are kept"},
		{"POST", "/v1/runs/delivery/pause", `{"who":"ann","why":"` + strings.Repeat("a", 1025) + `"}`, 400, "configuration", "why has 1025 bytes"},
		{"POST", "/v1/runs/delivery/pause", `{"who":"ann","why":"a \u0000"}`, 400, "configuration", `why is "a \x00", with a character that is not shown`},
		{"POST", "/v1/runs/delivery/skip", `{"who":"ann","step":"so\nak","why":"x"}`, 400, "configuration", "step is"},
		{"POST", "/v1/runs/delivery/rollback?dry_run=true", `{"who":"ann","to":"\u001b[1m"}`, 400, "configuration", "to is"},
		{"POST", "/v1/splits/delivery/cutover", `{"who":"ann\n","why":"x"}`, 400, "configuration", "who is"},
		{"PUT", "/v1/toggles/delivery", `{"mode":"legacy","who":"ann","why":"a\u0000"}`, 400, "configuration", "why is"},
		{"PUT", "/v1/toggles/delivery", `{"mode":"legacy","who":"ann","why":"` + strings.Repeat("a", 1025) + `"}`, 400, "configuration", "why has 1025 bytes"},
		{"POST", "/v1/splits/delivery/adopt", `{"who":"ann","owner":"both"}`, 400, "configuration", "legacy or service"},
		{"POST", "/v1/splits/delivery/adopt", `{"who":"ann","owner":"legacy"}`, 400, "configuration", "why"},
		{"POST", "/v1/splits/delivery/adopt", `{"who":"ann","lost":true}`, 400, "configuration", "needs an owner"},
		{"POST", "/v1/runs/delivery/approve", `{"who":"ann"}`, 400, "configuration", "step is missing"},
		{"POST", "/v1/runs/delivery/skip", `{"who":"ann","why":"x"}`, 400, "configuration", "step is missing"},
		{"PUT", "/v1/toggles/delivery", `{"mode":"off","who":"ann","why":"x"}`, 400, "configuration", "legacy, shadow, canary, extracted"},
		{"PUT", "/v1/toggles/delivery", `{"mode":"legacy","who":"ann"}`, 400, "configuration", "who and why"},
		{"PUT", "/v1/toggles/delivery", `{"mode":"canary","who":"ann","why":"x"}`, 400, "configuration", "percentage"},
		{"PUT", "/v1/toggles/delivery", `{"mode":"canary","percent":"101%","who":"ann","why":"x"}`, 400, "configuration", "percentage"},
		{"PUT", "/v1/toggles/delivery", `{"mode":"shadow","percent":"1%","who":"ann","why":"x"}`, 400, "configuration", "only a canary"},
	} {
		got := ask(t, server, question{method: c.method, path: c.path, body: c.body})
		detail := failure(t, got)
		if got.status != c.status || detail.Code != c.code || !strings.Contains(detail.Message, c.says) {
			t.Errorf("%s %s %.60s: %d %+v; want %d %s %q", c.method, c.path, c.body, got.status, detail, c.status, c.code, c.says)
		}
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("an unusable question had an effect: %v", calls)
	}
}

func TestReadinessTellsWhyToThoseWithTheToken(t *testing.T) {
	backend := admintest.New()
	backend.Fail("ready", errors.New("the control store does not answer"))
	cfg := backend.Config()
	cfg.Token = "s3cret"
	server := admintest.Open(t, cfg)
	if got := ask(t, server, question{method: "GET", path: "/readyz"}); got.status != 503 || got.body != `{"status":"not ready"}` {
		t.Errorf("without the token: %d %s", got.status, got.body)
	}
	if got := ask(t, server, question{method: "GET", path: "/readyz", token: "s3cret"}); got.status != 503 || !strings.Contains(got.body, "control store") {
		t.Errorf("with the token: %d %s", got.status, got.body)
	}
}

// A panic is answered, and the daemon goes on.
func TestPanicIsAnUnknownOutcome(t *testing.T) {
	cfg := admintest.New().Config()
	cfg.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("defect") })
	server := admintest.Open(t, cfg)
	if got := failure(t, ask(t, server, question{method: "GET", path: "/metrics"})); got.Code != admin.CodeUnknown {
		t.Errorf("after a panic: %+v", got)
	}
	if got := ask(t, server, question{method: "GET", path: "/healthz"}); got.status != 200 {
		t.Errorf("then: %d", got.status)
	}
}

// writer is a response whose connection takes deadlines.
type writer struct{ *httptest.ResponseRecorder }

func (writer) SetReadDeadline(time.Time) error { return nil }

// A client that goes away stops nothing: net/http ends the request's context, and the operation's
// does not end with it.
func TestOperationOutlivesItsClient(t *testing.T) {
	backend := admintest.New()
	block := backend.Block("cutover")
	server := admintest.Open(t, backend.Config())
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	request := httptest.NewRequestWithContext(ctx, "POST", "http://127.0.0.1/v1/splits/delivery/cutover", strings.NewReader(`{"who":"ann"}`))
	request.Header.Set("Content-Type", "application/json")
	response := writer{httptest.NewRecorder()}
	answered := make(chan struct{})
	go func() {
		server.Handler().ServeHTTP(response, request)
		close(answered)
	}()
	<-block.Entered
	leave()
	block.Release()
	if err := block.Left(); err != nil {
		t.Errorf("the operation's context ended with its client: %v", err)
	}
	<-answered
	if response.Code != http.StatusOK {
		t.Errorf("the operation ended with %d %s", response.Code, response.Body)
	}
}

// Closing the server ends an operation, and the client is told that it is resumable.
func TestCloseEndsOperations(t *testing.T) {
	backend := admintest.New()
	block := backend.Block("cutover")
	server, err := admin.New(backend.Config())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Open(); err != nil {
		t.Fatal(err)
	}
	answers := make(chan answer, 1)
	go func() {
		answers <- ask(t, server, question{method: "POST", path: "/v1/splits/delivery/cutover", body: `{"who":"ann"}`})
	}()
	<-block.Entered
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
	if err := block.Left(); !errors.Is(err, context.Canceled) {
		t.Errorf("the operation ended with %v", err)
	}
	if got := <-answers; got.status != 503 || failure(t, got).Code != admin.CodeStopped {
		t.Errorf("the client got %d %s", got.status, got.body)
	}
	if err := server.Close(ctx); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestConfigIsRefused(t *testing.T) {
	good := admintest.New().Config()
	for name, change := range map[string]func(*admin.Config){
		"no token on every interface": func(c *admin.Config) { c.Listen = ":0" },
		"no token on an address":      func(c *admin.Config) { c.Listen = "10.0.0.1:8081" },
		"no port":                     func(c *admin.Config) { c.Listen = "127.0.0.1" },
		"nothing behind it":           func(c *admin.Config) { c.Owners = nil },
	} {
		cfg := good
		change(&cfg)
		if _, err := admin.New(cfg); !errors.Is(err, strangler.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddressInUseIsSaidAtOnce(t *testing.T) {
	server := admintest.Open(t, admintest.New().Config())
	cfg := admintest.New().Config()
	cfg.Listen = strings.TrimPrefix(server.URL(), "http://")
	second, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Open(); err == nil || !strings.Contains(err.Error(), "another strangler serve") {
		t.Errorf("opening a second one: %v", err)
	}
	if err := second.Close(context.Background()); err != nil {
		t.Errorf("closing what never opened: %v", err)
	}
}

func TestDocNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for word := range strings.FieldsSeq(string(text)) {
		if name := strings.Trim(word, ",.;:"); strings.HasSuffix(name, ".go") {
			named++
			if _, err := os.Stat(name); err != nil {
				t.Errorf("doc.go names %s: %v", name, err)
			}
		}
	}
	if named < 8 {
		t.Errorf("doc.go names %d files", named)
	}
}
