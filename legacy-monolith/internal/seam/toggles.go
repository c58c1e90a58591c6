package seam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// answerLimit is the longest answer that is read from another program, in bytes.
const answerLimit = 1 << 20

// toggles asks Strangler's admin API who owns deliveries.
type toggles struct {
	url    string
	token  string
	client *http.Client
}

func newToggles(base, token string, transport http.RoundTripper) *toggles {
	return &toggles{
		url:    strings.TrimRight(base, "/") + "/v1/toggles/" + capability,
		token:  token,
		client: newClient(transport, 2*time.Second),
	}
}

// owner returns the present owner. While it is changing hands, or when that cannot be learnt, it
// returns an error.
func (t *toggles) owner(ctx context.Context) (Owner, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return Owner{}, err
	}
	request.Header.Set("Authorization", "Bearer "+t.token)
	response, err := t.client.Do(request)
	if err != nil {
		return Owner{}, fmt.Errorf("ask for the toggle: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return Owner{}, fmt.Errorf("ask for the toggle: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return Owner{}, fmt.Errorf("ask for the toggle: %s answers %s (check --toggles and STRANGLER_TOKEN)", t.url, response.Status)
	}
	var toggle struct {
		Capability string `json:"capability"`
		Owner      Side   `json:"owner"`
		Epoch      *int64 `json:"epoch"`
		Gated      *bool  `json:"gated"`
	}
	if err := json.Unmarshal(body, &toggle); err != nil {
		return Owner{}, fmt.Errorf("ask for the toggle: %w", err)
	}
	switch {
	case toggle.Capability != capability, toggle.Epoch == nil, toggle.Gated == nil,
		toggle.Owner != Legacy && toggle.Owner != Service:
		return Owner{}, fmt.Errorf("ask for the toggle: %s does not tell capability, owner, epoch and gated", t.url)
	case *toggle.Gated:
		return Owner{}, errors.New("deliveries are changing hands")
	}
	return Owner{Side: toggle.Owner, Epoch: *toggle.Epoch}, nil
}

// newClient follows no redirect: the other side is the one that was named, or an error.
func newClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
