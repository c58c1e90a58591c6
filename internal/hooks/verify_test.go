package hooks_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler/internal/hooks"
)

func genuine(secret, signature string, body []byte, now time.Time) bool {
	t, rest, _ := strings.Cut(strings.TrimPrefix(signature, "t="), ",v1=")
	sent, err := hex.DecodeString(rest)
	seconds, bad := strconv.ParseInt(t, 10, 64)
	if err != nil || bad != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", t, body)
	return hmac.Equal(sent, mac.Sum(nil)) // in constant time
}

// TestSignatureIsGenuine by what docs/WEBHOOKS.md tells receivers to do, and nothing else is: another secret, another body, another
// time, a time long ago, nothing.
func TestSignatureIsGenuine(t *testing.T) {
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	s := newRig(t, nil, hooks.Hook{URL: server.URL, Secret: "s3cret"})
	tell(s.Sender, events("one", "two")...)
	s.Close(t.Context())
	q := r.got()[0]
	signature, now := q.header.Get("Strangler-Signature"), time.Now()
	if !genuine("s3cret", signature, q.raw, now) {
		t.Fatalf("%q is not genuine for %s", signature, q.raw)
	}
	at := signature[2:strings.Index(signature, ",")]
	seconds, err := strconv.ParseInt(at, 10, 64)
	must(t, err)
	for name, ok := range map[string]bool{
		"another secret":  genuine("secret", signature, q.raw, now),
		"another body":    genuine("s3cret", signature, r.got()[1].raw, now),
		"another time":    genuine("s3cret", strings.Replace(signature, at, fmt.Sprint(seconds+1), 1), q.raw, now),
		"long ago":        genuine("s3cret", signature, q.raw, now.Add(6*time.Minute)),
		"no time":         genuine("s3cret", signature[strings.Index(signature, "v1"):], q.raw, now),
		"no signature":    genuine("s3cret", "", q.raw, now),
		"part of it only": genuine("s3cret", signature[:len(signature)-2], q.raw, now),
	} {
		if ok {
			t.Errorf("%s is genuine", name)
		}
	}
}

// TestDocumentHasWhatIsTested: the page for receivers shows the function above.
func TestDocumentHasWhatIsTested(t *testing.T) {
	source, err := os.ReadFile("verify_test.go")
	must(t, err)
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "verify_test.go", source, 0)
	must(t, err)
	page, err := os.ReadFile("../../docs/WEBHOOKS.md")
	must(t, err)
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "genuine" {
			text := string(source[files.Position(f.Pos()).Offset:files.Position(f.End()).Offset])
			if !strings.Contains(string(page), text) {
				t.Errorf("docs/WEBHOOKS.md lacks:\n%s", text)
			}
			return
		}
	}
	t.Error("genuine is not here")
}
