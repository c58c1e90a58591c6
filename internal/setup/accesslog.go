package setup

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/strangler-fig/strangler"
)

// Seen is what an access log has told.
type Seen struct {
	Routes   []Route // those known before, also with no request, and those that the paths make
	Requests int     // that were counted
	Unread   int     // lines that are no request of either format
}

// maxLine bounds a line of an access log; one that is longer is not read.
const maxLine = 64 << 10

var combined = regexp.MustCompile(`"([A-Z]+) ([^ "]+)(?: HTTP/[0-9.]+)?" ([0-9]{3}) `)

// AccessLog counts the requests of a log, in the combined format or as JSON with method, path and status, by route. A request
// counts for the known route that it fits, else for the pattern that is made of its path. Requests that the monolith did not
// know (400, 404, 405) count for nothing.
func AccessLog(r io.Reader, known []strangler.Route) (Seen, error) {
	mux, counts := http.NewServeMux(), map[string]int{}
	var fitting strangler.Routes
	for _, k := range known {
		if fitting.Add(k) {
			mux.Handle(k.String(), http.NotFoundHandler())
		}
	}
	var out Seen
	paths := &tree{}
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, long, err := lines.ReadLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		method, path, status := request(line)
		for long && err == nil {
			_, long, err = lines.ReadLine()
			method = ""
		}
		switch {
		case len(line) == 0:
		case method == "":
			out.Unread++
		case slices.Contains([]int{400, 404, 405}, status), method == "OPTIONS":
		default:
			_, pattern := mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
			if pattern != "" {
				counts[pattern]++
				out.Requests++
			} else if paths.add(method, path) {
				out.Requests++
			}
		}
	}
	for _, k := range known {
		out.Routes = append(out.Routes, Route{k, counts[k.String()]})
	}
	out.Routes = append(out.Routes, sorted(paths.routes(nil))...)
	return out, nil
}

// request reads a line; the method is empty where it is none.
func request(line []byte) (method, path string, status int) {
	if len(line) > 0 && line[0] == '{' {
		var fields struct {
			Method, Path string
			Status       int
		}
		if json.Unmarshal(line, &fields) != nil || fields.Path == "" {
			return "", "", 0
		}
		method, path, status = fields.Method, fields.Path, fields.Status
	} else if m := combined.FindSubmatch(line); m != nil {
		method, path = string(m[1]), string(m[2])
		status, _ = strconv.Atoi(string(m[3])) // three digits
	}
	if i := strings.Index(path, "://"); i > 0 { // as a proxy is asked
		_, rest, _ := strings.Cut(path[i+3:], "/")
		path = "/" + rest
	}
	path, _, _ = strings.Cut(path, "?")
	if method == "HEAD" { // GET answers it
		method = "GET"
	}
	return method, path, status
}
