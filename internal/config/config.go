package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"go.yaml.in/yaml/v3"
)

// maxFile bounds the file in bytes; one of a thousand capabilities with ten routes each has about 800 kB.
const maxFile = 8 << 20

// Config is a loaded strangler.yaml: every default filled in, every path absolute. It holds secrets
// (Admin.Token, Traces.Headers, Webhooks, the DSNs): print DSNs through Redact only. Printed as a whole it shows none.
type Config struct {
	File         string // absolute
	Dir          string // the file's folder, absolute
	Control      string // DSN of the control store; sqlite:.strangler/control.db unless given
	Proxy        Proxy
	Admin        Admin
	Legacy       strangler.Upstream
	Capabilities []strangler.Capability // in the file's order; Legacy is filled into each
	Webhooks     []Webhook              // in the file's order
}

// Proxy is where requests come in.
type Proxy struct {
	Listen string         // host:port; 127.0.0.1:8080 unless given
	Engine string         // h1, unless given, or nethttp
	Trust  []netip.Prefix // peers whose X-Forwarded-* are believed; none unless given
	TLS    TLS            // zero: in the clear
	Access Access         // zero: no log
	Traces Traces         // zero: none
	Hold   Hold

	Limits   Limits
	Timeouts Timeouts
	Health   time.Duration // how often each server that has a health path is asked; 5 s unless given

	ProxyProtocol bool // connections of the peers in Trust begin with a PROXY header
}

// TLS names the files that clients are spoken to with over TLS; both or none.
type TLS struct {
	Cert string // PEM, the chain; absolute
	Key  string // PEM; absolute
}

// Access is the log of requests.
type Access struct {
	File   string // absolute
	Format string // json, unless given, or combined
}

// Traces is where the spans of requests go, by OTLP over HTTP.
type Traces struct {
	Endpoint string            // the collector's base URL, without /v1/traces
	Sample   strangler.Percent // of requests; 100% unless given
	Headers  map[string]string // of every export; they hold secrets
}

// String and GoString leave the headers out.
func (t Traces) String() string   { return t.Endpoint }
func (t Traces) GoString() string { return t.String() }

// Limits bound what clients may ask for.
type Limits struct {
	Head        int // bytes of a request's head; 64KiB unless given
	Lines       int // its header lines; 200 unless given
	Connections int // of clients at once; 10000 unless given
	Requests    int // of one capability at once, and of what nobody claims; 4096 unless given
}

// Timeouts bound what may take long.
type Timeouts struct {
	Head   time.Duration // a request's head; 10s unless given
	Body   time.Duration // without a byte of a request's body; 1m unless given
	Idle   time.Duration // a kept connection between two requests; 2m unless given
	Dial   time.Duration // connecting to an upstream; 3s unless given
	Answer time.Duration // an answer's head, and the next byte of its body; 2m unless given
}

// Hold bounds the gate of a cutover. Past a bound a held write is answered 503 with Retry-After.
type Hold struct {
	Requests int           // writes held at once; 1000 unless given
	Wait     time.Duration // the longest that one write is held; 10s unless given
	Drain    time.Duration // how long writes in flight may take to end before the cutover aborts; 2s unless given
}

// Admin is the admin API: where it listens, and how others reach it.
type Admin struct {
	Listen    string // host:port; 127.0.0.1:8081 unless given
	Token     string // empty only where Listen is a loopback address
	Advertise string // base URL for other instances, or else the address it listens on; empty where that is every address, or a free port
}

// String and GoString name the file, and show nothing of what is in it.
func (c Config) String() string   { return "the configuration in " + c.File }
func (c Config) GoString() string { return c.String() }

// Address is where it is reached from this machine.
func (p Proxy) Address() string { return reachable(p.Listen) }

// String and GoString leave the token out.
func (a Admin) String() string   { return a.URL() }
func (a Admin) GoString() string { return a.String() }

// URL is the admin API's base URL as seen from this machine.
func (a Admin) URL() string { return "http://" + reachable(a.Listen) }

// Migrations is the folder of the generated scripts: migrations/ beside the file.
func (c *Config) Migrations() string { return filepath.Join(c.Dir, "migrations") }

// State is the folder of what Strangler keeps for itself: .strangler/ beside the file.
func (c *Config) State() string { return filepath.Join(c.Dir, ".strangler") }

// Capability finds a capability by its name, or fails with strangler.ErrNotFound.
func (c *Config) Capability(name string) (strangler.Capability, error) {
	names := make([]string, 0, len(c.Capabilities))
	for _, capability := range c.Capabilities {
		if capability.Name == name {
			return capability, nil
		}
		names = append(names, capability.Name)
	}
	known := "it has none"
	if len(names) > 0 {
		known = "it has " + strings.Join(names, ", ")
	}
	return strangler.Capability{}, fmt.Errorf("capability %q: %w in %s; %s", name, strangler.ErrNotFound, c.File, known)
}

// Load reads the file at path. lookup reads the environment for ${VAR}. The error is an *Error with
// everything that is wrong, and wraps strangler.ErrConfig.
func Load(path string, lookup func(string) (string, bool)) (*Config, error) {
	file, err := filepath.Abs(path)
	if err != nil {
		return nil, broken(path, "its absolute path is not known: %v", err)
	}
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text, lookup)
}

// Parse is Load of a text that is, or would be, in the file; its path is absolute.
func Parse(file string, text []byte, lookup func(string) (string, bool)) (*Config, error) {
	root, err := parse(file, text)
	if err != nil {
		return nil, err
	}
	c := &Config{File: file, Dir: filepath.Dir(file)}
	r := &reader{lookup: lookup, dir: c.Dir}
	r.sections(c, field{node: root, line: 1})
	if len(r.problems) > 0 {
		return nil, &Error{File: file, Problems: sorted(r.problems)}
	}
	return c, nil
}

// Names are the names of the capabilities in the file at path, in its order, whatever else is wrong with the file; none where it
// cannot be read.
func Names(path string) (all []string) {
	text, err := read(path)
	if err != nil {
		return nil
	}
	root, err := parse(path, text)
	if err != nil {
		return nil
	}
	r := &reader{}
	for _, e := range r.entries(r.peek(field{node: root}, "capabilities")) {
		if capabilityName.MatchString(e.key) {
			all = append(all, e.key)
		}
	}
	return all
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, broken(file, "there is no such file; write one, or name another with -c FILE")
	case err != nil:
		return nil, broken(file, "it cannot be opened: %v", errors.Unwrap(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, broken(file, "it cannot be read: %v", err)
	case info.IsDir():
		return nil, broken(file, "this is a folder; name the file in it with -c FILE")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, broken(file, "it cannot be read: %v", err)
	case len(text) > maxFile:
		return nil, broken(file, "it is larger than %d bytes; a strangler.yaml has about a kilobyte a capability", maxFile)
	}
	return text, nil
}

// parse returns the document's root, an empty object for an empty file.
func parse(file string, text []byte) (*yaml.Node, error) {
	empty := &yaml.Node{Kind: yaml.MappingNode, Line: 1}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		return empty, nil
	case err != nil:
		return nil, broken(file, "it is not YAML: %s", syntax(err))
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, broken(file, "it is not YAML: %s", syntax(err))
		}
		return nil, broken(file, "a second document begins at line %d; a strangler.yaml is one document", second.Line)
	}
	if len(document.Content) == 0 || document.Content[0].Tag == "!!null" {
		return empty, nil
	}
	return document.Content[0], nil
}

// syntax is the parser's message, without the one kind that quotes the file: a token that begins
// with an asterisk reads as an alias.
func syntax(err error) string {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.Contains(message, "anchor '") {
		return "an alias (*name) has no anchor (&name), or holds itself; a text that begins with * needs quotes"
	}
	return message
}
