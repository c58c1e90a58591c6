package hooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/strangler-fig/strangler"
)

const (
	tryTimeout = 10 * time.Second // one try, from dialling to the end of the answer
	maxAnswer  = 64 << 10         // bytes of an answer that are read, so that its connection can be used again
	maxHead    = 64 << 10         // bytes of an answer's head
)

// refused is an answer that is not a 2xx.
type refused struct {
	status int
	after  time.Duration // from now; 0 where it does not say
}

func (r refused) Error() string {
	text := fmt.Sprintf("it answered %d %s", r.status, http.StatusText(r.status))
	if r.status/100 == 3 {
		text += ", and no redirect is followed"
	}
	return text
}

// another says whether an event may be tried again behind an error, and how long the receiver asks to wait until then. What it
// refuses once it would refuse again; what could not be sent, or answered, may pass.
func another(err error) (after time.Duration, again bool) {
	var r refused
	if !errors.As(err, &r) {
		return 0, true
	}
	return r.after, r.status >= 500 || r.status == http.StatusTooManyRequests
}

// post is one try. Its error shows nothing of the URL but its host.
func (w *worker) post(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(m.body))
	if err != nil {
		return hidden(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "strangler/"+strangler.Version)
	req.Header.Set("Strangler-Event-ID", m.id)
	if w.Secret != "" {
		req.Header.Set("Strangler-Signature", sign(w.Secret, w.now(), m.body))
	}
	answer, err := w.client.Do(req)
	if err != nil {
		return hidden(err)
	}
	defer answer.Body.Close()
	// The status says it all: an answer that breaks off has been given.
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	if answer.StatusCode/100 == 2 {
		return nil
	}
	return refused{answer.StatusCode, w.after(answer.Header.Get("Retry-After"))}
}

// hidden is an error of net/http's without the URL that it quotes.
func hidden(err error) error {
	if of := new(url.Error); errors.As(err, &of) {
		return of.Err
	}
	return err
}

// after reads Retry-After: seconds, or a time.
func (w *worker) after(text string) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(w.now())
	}
	return 0
}

// sign is the HMAC-SHA256 of the time in Unix seconds, a dot and the body, in hexadecimal digits, behind that time. A signature that
// somebody has overheard is of no use once the receiver thinks that time too long ago.
func sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func ownClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: tryTimeout}).DialContext, TLSHandshakeTimeout: tryTimeout,
		ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: maxHead,
	}}
}

// withoutRedirects is the client with every redirect for an answer: what is meant for one host goes to no other.
func withoutRedirects(c *http.Client) *http.Client {
	client := *c
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}
