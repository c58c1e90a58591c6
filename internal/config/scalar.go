package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/strangler-fig/strangler"
)

// address reads host:port. An empty host listens on every interface.
func (r *reader) address(f field, otherwise string) string {
	s, ok := r.text(f)
	if !ok {
		return otherwise
	}
	_, port, err := net.SplitHostPort(s)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		r.problem(f, "%s is not an address; write host:port, as in %s", f.raw(), otherwise)
		return otherwise
	}
	return s
}

// reachable is a listening address as this machine dials it.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// Loopback reports whether a listening address takes connections from this machine only.
func Loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// baseURL reads scheme, host and port, without a path. It comes back without a slash at its end. More schemes than http and https
// may be allowed.
func (r *reader) baseURL(f field, schemes ...string) string {
	s, ok := r.text(f)
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https" && !slices.Contains(schemes, u.Scheme), u.Hostname() == "":
		r.problem(f, "%q is not a URL; write scheme, host and port, as in http://127.0.0.1:9000", Redact(f.node.Value))
	case u.User != nil:
		r.problem(f, "a user or password in the URL is not sent on; write %s://%s", u.Scheme, u.Host)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		r.problem(f, "the URL has a path; requests keep theirs, so write %s://%s", u.Scheme, u.Host)
	default:
		return u.Scheme + "://" + u.Host
	}
	return ""
}

// baseURLs are those of one server, or a list of several servers' that all serve the same.
func (r *reader) baseURLs(f field) (all []string) {
	fields := []field{f}
	if f.given() && f.node.Kind == yaml.SequenceNode {
		if fields = r.list(f); len(fields) == 0 {
			r.problem(f, "the list is empty; write where it listens, as in http://127.0.0.1:9000")
		}
	}
	for _, one := range fields {
		u := r.baseURL(one, "h2c", "h2")
		switch {
		case u == "":
			continue
		case slices.Contains(all, u):
			r.problem(one, "%s stands twice; keep one", u)
		case len(all) > 0 && strings.HasPrefix(u, "h2") != strings.HasPrefix(all[0], "h2"):
			r.problem(one, "some servers are HTTP/2 and some are not; write h2c:// or h2:// for all of them, or for none")
		}
		all = append(all, u)
	}
	if len(all) > maxServers {
		r.problem(f, "there are %d; a side has at most %d servers", len(all), maxServers)
	}
	return all
}

// maxServers is how many servers one side may have, as package proxy has it.
const maxServers = 64

// path reads a path on an upstream; empty where it is not given.
func (r *reader) path(f field) string {
	s, ok := r.text(f)
	if ok && (!strings.HasPrefix(s, "/") || strings.ContainsAny(s, " \t\r\n#")) {
		r.problem(f, "%s is not a path; write one that begins with a slash, as in /healthz", f.raw())
	}
	return s
}

func (r *reader) prefix(f field) (netip.Prefix, bool) {
	s, ok := r.text(f)
	if !ok {
		return netip.Prefix{}, false
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(ip.WithZone(""), ip.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		r.problem(f, "%s is neither an address nor a network; write 10.0.0.0/8 or 10.1.2.3", f.raw())
		return netip.Prefix{}, false
	}
	if p != p.Masked() {
		r.problem(f, "%s has bits behind the network's length; write %s", f.raw(), p.Masked())
		return netip.Prefix{}, false
	}
	return p, true
}

func (r *reader) whole(f field, otherwise, least int) int {
	s, ok := r.text(f)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least {
		r.problem(f, "%s: write a whole number from %d, as in %d", f.raw(), least, otherwise)
		return otherwise
	}
	return n
}

// limit is a whole number, 0 where it is not given.
func (r *reader) limit(f field) int {
	s, ok := r.text(f)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		r.problem(f, "%s: write a whole number, as in 20, or 0 for no limit", f.raw())
		return 0
	}
	return n
}

var byteUnits = map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

var bytesText = regexp.MustCompile(`^([0-9]{1,18}) ?([KMGT]i)?B$`)

// bytes reads "64MiB", 0 where it is not given. MB could mean either of two, so it is not read.
func (r *reader) bytes(f field) int64 {
	s, ok := r.text(f)
	if !ok || s == "0" {
		return 0
	}
	if m := bytesText.FindStringSubmatch(s); m != nil {
		unit := byteUnits[m[2]+"B"]
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil && n <= math.MaxInt64/unit {
			return n * unit
		}
	}
	r.problem(f, "%s: write a size with its unit, as in 64MiB or 1GiB", f.raw())
	return 0
}

func (r *reader) yesNo(f field) bool {
	s, ok := r.text(f)
	if ok && s != "true" && s != "false" {
		r.problem(f, "%s: write true or false", f.raw())
	}
	return s == "true"
}

var percentText = regexp.MustCompile(`^[0-9]+(\.[0-9]{1,4})?%$`)

// percent reads "10%". The sign is required: 0.1 could mean a tenth or a thousandth.
func (r *reader) percent(f field, otherwise strangler.Percent) strangler.Percent {
	s, ok := r.text(f)
	if !ok {
		return otherwise
	}
	p, err := strangler.ParsePercent(s)
	if err != nil || !percentText.MatchString(s) {
		r.problem(f, "%s: write a percentage from 0%% to 100%% with its sign and at most four decimals, as in %s", f.raw(), otherwise)
		return otherwise
	}
	return p
}

func (r *reader) duration(f field, otherwise time.Duration) time.Duration {
	s, ok := r.text(f)
	if !ok {
		return otherwise
	}
	d, err := ParseDuration(s)
	if err != nil {
		r.problem(f, "%s: write a duration with its unit, as in 14d, 12h, 30s or 1d12h", f.raw())
		return otherwise
	}
	return d
}

// span is a duration above zero.
func (r *reader) span(f field, otherwise time.Duration) time.Duration {
	before := len(r.problems)
	d := r.duration(f, otherwise)
	if d == 0 && len(r.problems) == before {
		r.problem(f, "%s: write a duration above zero, as in %s", f.raw(), otherwise)
	}
	return d
}

const day = 24 * time.Hour

var days = regexp.MustCompile(`^([0-9]{1,5})d`)

// ParseDuration reads what time.ParseDuration reads, with days in front: "14d", "1d12h". A day is 24
// hours. Negative durations are errors.
func ParseDuration(s string) (time.Duration, error) {
	var whole time.Duration
	rest := s
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, fmt.Errorf("duration %q: %w", s, err)
		}
		whole, rest = time.Duration(n)*day, s[len(m[0]):]
		if rest == "" {
			return whole, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || whole+d < whole || strings.HasPrefix(rest, "+") {
		return 0, fmt.Errorf("duration %q: write a number with its unit, as in 14d, 12h, 30s or 1d12h", s)
	}
	return whole + d, nil
}
