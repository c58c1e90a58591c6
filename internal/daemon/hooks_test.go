package daemon

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
)

// TestWebhooksAreTold of what strangler.yaml names, signed, also of what waits when the daemon ends; the metrics say so.
func TestWebhooksAreTold(t *testing.T) {
	type told struct {
		Control, Kind, Capability, Text, Signature string
	}
	came := make(chan told, 10)
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			Control    string `json:"control_id"`
			Kind       string `json:"kind"`
			Capability string `json:"capability"`
			Text       string `json:"text"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		came <- told{body.Control, body.Kind, body.Capability, body.Text, r.Header.Get("Strangler-Signature")}
	}))
	defer up.Close()
	file := filepath.Join(t.TempDir(), "strangler.yaml")
	err := os.WriteFile(file, []byte(`
admin: {listen: "127.0.0.1:0"}
legacy: {url: "http://127.0.0.1:1"}
capabilities:
  search: {routes: [/search], service: {url: "http://127.0.0.1:1"}}
  orders: {routes: [/orders], service: {url: "http://127.0.0.1:1"}}
webhooks: [{url: "`+up.URL+`/${TOKEN}", on: [end], capabilities: [search], secret: "${TOKEN}"}]
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, func(string) (string, bool) { return "hunter2", true })
	if err != nil {
		t.Fatal(err)
	}
	d, err := Start(t.Context(), cfg, Options{Worker: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []strangler.Event{
		{Kind: strangler.EventEnd, Capability: "search", Text: "first"}, {Kind: strangler.EventEnd, Capability: "orders"},
		{Kind: strangler.EventStep, Capability: "search"}, {Kind: strangler.EventEnd, Capability: "search", Text: "second"},
	} {
		d.hooks.Tell(e)
	}
	first := <-came
	if first.Control != d.store.ID() || first.Kind != "end" || first.Capability != "search" || first.Text != "first" || !strings.HasPrefix(first.Signature, "t=") {
		t.Errorf("the webhook is told %+v", first)
	}
	resp, err := http.Get(d.AdminURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	series := `strangler_webhook_sent_total{host="` + strings.TrimPrefix(up.URL, "http://") + `",webhook="0"} `
	if err != nil || !strings.Contains(string(text), series) || strings.Contains(string(text), "hunter2") {
		t.Errorf("%v; /metrics lacks %s, or shows a secret", err, series)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	close(came)
	var rest []string
	for e := range came {
		rest = append(rest, e.Text)
	}
	if len(rest) != 1 || rest[0] != "second" {
		t.Errorf("behind it came %q", rest)
	}
}
