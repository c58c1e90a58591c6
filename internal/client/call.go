package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

// ask sends one question and returns its answer.
func ask[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var answer T
	err := c.call(ctx, method, path, body, &answer)
	return answer, err
}

// call sends one question. body nil means none; answer is filled from the JSON of a success.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("writing the question to the daemon: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return fmt.Errorf("%w: the question to the daemon: %w", strangler.ErrConfig, err)
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.unanswered(ctx, method, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return c.unanswered(ctx, method, err)
	}
	return c.understand(method, response, text, answer)
}

// understand reads an answer that has arrived.
func (c *Client) understand(method string, response *http.Response, text []byte, answer any) error {
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media != "application/json" || len(text) > maxAnswer {
		return fmt.Errorf("%w: what answers at %s is not Strangler's admin API (status %d); look at admin.listen in strangler.yaml", strangler.ErrConfig, c.base, response.StatusCode)
	}
	if response.StatusCode != http.StatusOK {
		var failure admin.Failure
		if err := json.Unmarshal(text, &failure); err != nil || failure.Error.Code == "" {
			return c.odd(method, fmt.Errorf("status %d without an error's body", response.StatusCode))
		}
		return restored(failure.Error)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return c.odd(method, err)
	}
	return nil
}

// unanswered is the error of a question without a whole answer. Only where no connection stood is it
// certain that nothing happened.
func (c *Client) unanswered(ctx context.Context, method string, err error) error {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" && ctx.Err() == nil {
		return &Unreachable{URL: c.base, Start: c.start, Err: dial}
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if method == http.MethodGet {
		return fmt.Errorf("the daemon at %s gave no whole answer: %w; nothing was changed; ask again", c.base, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("nobody waits for the daemon's answer any more (%w): %w; what was begun goes on in the daemon; look with the status command", context.Cause(ctx), strangler.ErrUnknown)
	}
	return fmt.Errorf("the daemon at %s went away before it had answered (%w): %w; it may have happened; look with the status command before asking again", c.base, err, strangler.ErrUnknown)
}

// odd is the error of an answer that cannot be read.
func (c *Client) odd(method string, err error) error {
	if method == http.MethodGet {
		return fmt.Errorf("the answer of %s cannot be read: %w; are daemon and command line of one version?", c.base, err)
	}
	return fmt.Errorf("the answer of %s cannot be read (%w): %w; it may have happened; look with the status command before asking again", c.base, err, strangler.ErrUnknown)
}

// path joins segments, escaping each.
func path(segments ...string) string {
	p := "/v1"
	for _, s := range segments {
		p += "/" + url.PathEscape(s)
	}
	return p
}
