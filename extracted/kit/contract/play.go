package contract

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:embed couriers.json
var couriers []byte

// exchange is one request and the answer it must get, to the byte.
type exchange struct {
	Name     string          `json:"name"`
	Method   string          `json:"method"`
	Path     string          `json:"path"`
	Key      string          `json:"key"`  // Idempotency-Key
	Send     json.RawMessage `json:"send"` // the body, without insignificant space
	SendText string          `json:"send_text"`
	Status   int             `json:"status"`
	Answer   json.RawMessage `json:"answer"` // without insignificant space
	Replayed bool            `json:"replayed"`
}

// Couriers plays the conversation against the program at base, whose database must be empty.
func Couriers(t *testing.T, base string) {
	t.Helper()
	for _, e := range conversation(t) {
		t.Run(e.Name, func(t *testing.T) { e.play(t, base) })
	}
}

func conversation(t *testing.T) []exchange {
	t.Helper()
	var exchanges []exchange
	if err := json.Unmarshal(couriers, &exchanges); err != nil {
		t.Fatalf("couriers.json: %v", err)
	}
	return exchanges
}

func (e exchange) play(t *testing.T, base string) {
	t.Helper()
	body := e.SendText
	if e.Send != nil {
		body = compact(t, e.Send)
	}
	request, err := http.NewRequestWithContext(t.Context(), e.Method, base+e.Path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if e.Key != "" {
		request.Header.Set("Idempotency-Key", e.Key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != e.Status {
		t.Errorf("status %d, want %d", response.StatusCode, e.Status)
	}
	want := compact(t, e.Answer)
	if e.Method == http.MethodHead {
		want = ""
	}
	if diff := cmp.Diff(want, string(answer)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q, want application/json", got)
	}
	if got := response.Header.Get("Idempotency-Replayed") == "true"; got != e.Replayed {
		t.Errorf("replayed: %t, want %t", got, e.Replayed)
	}
}

func compact(t *testing.T, text json.RawMessage) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		t.Fatalf("couriers.json: %v", err)
	}
	return out.String()
}
