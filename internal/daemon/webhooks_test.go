package daemon_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler/internal/daemon"
)

// TestCheckConnectsToWebhooks, and posts nothing: one that cannot be reached is a warning, and what its URL holds is not shown.
func TestCheckConnectsToWebhooks(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) }))
	defer up.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, free.Close())
	host, gone := strings.TrimPrefix(up.URL, "http://"), free.Addr().String()
	cfg := load(t, t.TempDir(), fmt.Sprintf("legacy: {url: 'http://127.0.0.1:1'}\nwebhooks: [{url: 'http://u:hunter2@%s/hunter2?k=hunter2'}, {url: 'https://%s/hunter2'}]\n", host, gone))
	found, err := daemon.Check(t.Context(), cfg)
	must(t, err)
	var said []daemon.Finding
	for _, f := range found {
		if f.Check == "webhooks" {
			said = append(said, f)
		}
	}
	if strings.Contains(fmt.Sprint(said), "hunter2") {
		t.Errorf("shown: %+v", said)
	}
	if len(said) != 2 || said[0].Warning || said[0].Message != "webhooks[0], http://"+host+", takes connections" {
		t.Errorf("of webhooks: %+v", said)
	}
	if len(said) != 2 || !said[1].Warning || said[1].Missing || !strings.HasPrefix(said[1].Message, "webhooks[1], https://"+gone+", cannot be reached: ") || len(said[1].Next) != 1 {
		t.Errorf("of webhooks: %+v", said)
	}
}
