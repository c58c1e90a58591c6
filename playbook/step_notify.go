package playbook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// notifyStep tells somebody that the run has come this far. Where a process dies between the telling and the ledger, it is told again.
type notifyStep struct {
	own  strangler.OwnStep
	told bool
}

// notice is the body of the request.
type notice struct {
	Capability string    `json:"capability"`
	Run        int64     `json:"run"`
	Step       string    `json:"step"`
	Text       string    `json:"text"`
	At         time.Time `json:"at"`
}

func (s *notifyStep) Check(_ context.Context, a *act) (verdict, error) {
	if s.told || a.recordedDone() {
		return done("told %s", s.host()), nil
	}
	return ready("telling %s", s.host()), nil
}

// host is all that is shown of the URL: the path of a chat's is a secret.
func (s *notifyStep) host() string {
	u, err := url.Parse(s.own.Notify.URL)
	if err != nil {
		return "nobody"
	}
	return u.Host
}

func (s *notifyStep) Do(ctx context.Context, a *act) error {
	body, err := json.Marshal(notice{a.name(), a.run.ID, s.own.Name, s.own.Notify.Text, a.Now().UTC()})
	if err != nil {
		return err
	}
	status, _, err := exchange(ctx, s.own.Timeout, http.MethodPost, s.own.Notify.URL, body)
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("%s answered %d to what it was told", s.host(), status)
	}
	if err != nil {
		return fewer{again{err}, s.own.Retries + 1}
	}
	s.told = true
	return nil
}

func (s *notifyStep) Undo(context.Context, *act) (string, error) { return "nothing to undo", nil }
