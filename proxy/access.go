package proxy

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/strangler-fig/strangler"
)

// AccessLog says where a line for each request goes that has ended. The zero value: nowhere.
type AccessLog struct {
	File   string       // appended to; opened again when it was renamed or removed; /dev/stdout is a file as well
	Format AccessFormat // empty: AccessJSON
}

// AccessFormat is the form of a line.
type AccessFormat string

// The formats. Neither has a target's query, which may hold secrets.
const (
	AccessJSON     AccessFormat = "json"
	AccessCombined AccessFormat = "combined" // Apache's, followed by capability, side and seconds
)

const (
	accessPending = 1 << 20                // bytes that wait to be written; what does not fit is dropped and counted
	accessFlush   = 200 * time.Millisecond // how long a line waits at most
	accessLook    = time.Second            // how often the file is looked at
)

// access writes the lines. They are put together by the requests' goroutines and written by one of its
// own: a disk that is slow costs lines, never time.
type access struct {
	config AccessLog
	p      *Proxy
	file   *os.File
	looked time.Time

	mu      sync.Mutex
	pending []byte
	dropped uint64

	stop chan struct{}
	done chan struct{}
}

func openAccess(p *Proxy, c AccessLog) (*access, error) {
	a := &access{config: c, p: p, stop: make(chan struct{}), done: make(chan struct{})}
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("%w: the access log: %w", strangler.ErrConfig, err)
	}
	go a.run()
	return a, nil
}

func (a *access) open() (err error) {
	a.looked = time.Now()
	a.file, err = os.OpenFile(a.config.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	return err
}

// close writes what is pending.
func (a *access) close() error {
	close(a.stop)
	<-a.done
	return a.file.Close()
}

func (a *access) run() {
	defer close(a.done)
	tick := time.NewTicker(accessFlush)
	defer tick.Stop()
	var spare []byte
	for ended := false; !ended; {
		select {
		case <-a.stop:
			ended = true
		case <-tick.C:
		}
		a.mu.Lock()
		lines, dropped := a.pending, a.dropped
		a.pending, a.dropped = spare[:0], 0
		a.mu.Unlock()
		a.reopen()
		if _, err := a.file.Write(lines); err != nil {
			a.p.config.Log.Warn("lines of the access log are lost", "bytes", len(lines), strangler.LogError, err)
		}
		if dropped > 0 {
			a.p.config.Log.Warn("the access log's file does not keep up; lines were dropped", "lines", dropped)
		}
		spare = lines
	}
}

// reopen follows a file that was renamed or removed, as by a rotation.
func (a *access) reopen() {
	if time.Since(a.looked) < accessLook {
		return
	}
	a.looked = time.Now()
	now, err := os.Stat(a.config.File)
	was, errWas := a.file.Stat()
	if err == nil && errWas == nil && os.SameFile(now, was) {
		return
	}
	old := a.file
	if err := a.open(); err != nil {
		a.file = old
		a.p.config.Log.Warn("the access log cannot be opened again; the file before stays in use", strangler.LogError, err)
		return
	}
	_ = old.Close() // everything was written
}

// add puts a request's line together.
func (a *access) add(x *exchange, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) > accessPending {
		a.dropped++
		return
	}
	if a.config.Format == AccessCombined {
		a.pending = appendCombined(a.pending, x, took)
		return
	}
	a.pending = appendJSON(a.pending, x, took)
}

func appendJSON(b []byte, x *exchange, took time.Duration) []byte {
	b = append(b, `{"time":"`...)
	b = x.began.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	for _, f := range [...]struct{ name, value string }{
		{"client", x.peer.address}, {"method", x.request.Method}, {"host", x.host}, {"path", x.request.Path}, {"protocol", x.protocol},
		{"capability", x.capabilityName()}, {"side", string(x.side())}, {"user_agent", x.header("User-Agent")}, {"referer", x.header("Referer")},
	} {
		b = append(append(append(b, `,"`...), f.name...), `":`...)
		b = appendQuoted(b, f.value)
	}
	b = strconv.AppendInt(append(b, `,"status":`...), int64(x.status), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), x.sent, 10)
	b = strconv.AppendFloat(append(b, `,"seconds":`...), took.Seconds(), 'f', 6, 64)
	return append(b, "}\n"...)
}

func appendCombined(b []byte, x *exchange, took time.Duration) []byte {
	or := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	b = append(append(b, or(x.peer.address)...), " - - ["...)
	b = x.began.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] "...)
	line := make([]byte, 0, 128)
	line = append(append(append(append(append(line, x.request.Method...), ' '), x.request.Path...), ' '), x.protocol...)
	b = appendQuoted(b, string(line))
	b = strconv.AppendInt(append(b, ' '), int64(x.status), 10)
	b = strconv.AppendInt(append(b, ' '), x.sent, 10)
	b = appendQuoted(append(b, ' '), or(x.header("Referer")))
	b = appendQuoted(append(b, ' '), or(x.header("User-Agent")))
	b = append(append(append(append(b, ' '), or(x.capabilityName())...), ' '), or(string(x.side()))...)
	b = strconv.AppendFloat(append(b, ' '), took.Seconds(), 'f', 6, 64)
	return append(b, '\n')
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes a string as JSON does. Nothing of a client's can end a line or forge another.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20 || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r) // what is no UTF-8 becomes U+FFFD
		}
	}
	return append(b, '"')
}
