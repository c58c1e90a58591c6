package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
)

// The exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
	exitStopped = 4
)

func exitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, strangler.ErrRefused):
		return exitRefused
	case errors.Is(err, strangler.ErrStopped):
		return exitStopped
	case errors.Is(err, strangler.ErrConfig), errors.Is(err, strangler.ErrNotFound):
		return exitUsage
	}
	return exitFailed
}

// exit says an error on stderr, once, and returns its code.
func (a *app) exit(err error) int {
	code := exitCode(err)
	if err == nil {
		return code
	}
	if !a.json() && !asksForJSON(a.args) {
		fmt.Fprintf(a.stderr, "strangler: %v\n", err)
		return code
	}
	detail, _ := admin.Detail(err)
	if unreachable := (*client.Unreachable)(nil); errors.As(err, &unreachable) {
		detail.Next = []string{unreachable.Start}
	}
	encoder := json.NewEncoder(a.stderr)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if encoder.Encode(struct {
		Error admin.FailureDetail `json:"error"`
		Exit  int                 `json:"exit"`
	}{detail, code}) != nil {
		return code // stderr is gone, and the code still says it
	}
	return code
}

// asksForJSON looks at the arguments themselves: an error in them comes before the flags are read.
func asksForJSON(args []string) bool {
	for i, arg := range args {
		switch arg {
		case "-ojson", "-o=json", "--output=json":
			return true
		case "-o", "--output":
			if i+1 < len(args) && args[i+1] == "json" {
				return true
			}
		}
	}
	return false
}
