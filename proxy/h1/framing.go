package h1

import "bytes"

// framing is how the end of a body is known.
type framing uint8

const (
	noBody  framing = iota
	sized           // Length says
	chunked         // its last chunk says
	toEnd           // the connection's end says: answers only
)

const unknownLength = -1

// mostOptions bounds how many lines Connection may name: each of them is looked for among all lines.
const mostOptions = 32

// Refusals of RFC 9112, 6.3: what another reader could take for the beginning of another message.
var (
	errLength   = malformed("Content-Length is not one number")
	errBoth     = malformed("there are both a Content-Length and a Transfer-Encoding")
	errCoding   = &Malformed{501, "the only transfer coding that is known is chunked"}
	errNoEnd    = malformed("Transfer-Encoding does not end with chunked, so nobody can know where the body ends")
	errCodings  = malformed("Transfer-Encoding is said more than once")
	errOldChunk = malformed("an HTTP/1.0 message cannot be chunked")
)

// frame finds out from its lines how a message's body ends. Two lines that agree are refused as well:
// whoever reads only one of them cannot know that they do.
func (h *head) frame() error {
	var length, coding []byte
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.Kind {
		case contentLength:
			if length != nil {
				return errLength
			}
			length = f.Value[:len(f.Value):len(f.Value)]
			if len(length) == 0 {
				return errLength
			}
		case transferEncoding:
			if coding != nil {
				return errCodings
			}
			if coding = f.Value; len(coding) == 0 {
				return errNoEnd
			}
		}
	}
	switch {
	case coding != nil && length != nil:
		return errBoth
	case coding != nil && !EqualFold(lastOf(coding), "chunked"):
		return errNoEnd
	case coding != nil && len(coding) != len("chunked"):
		return errCoding
	case coding != nil && h.Minor == 0:
		return errOldChunk
	case coding != nil:
		h.framing, h.Length = chunked, unknownLength
	case length != nil:
		n, ok := number(length)
		if !ok {
			return errLength
		}
		h.framing, h.Length = sized, n
	}
	return nil
}

// lastOf is the last element of a comma-separated value.
func lastOf(value []byte) []byte { return trim(value[bytes.LastIndexByte(value, ',')+1:]) }

// number reads decimal digits and nothing else, up to 18 of them.
func number(digits []byte) (n int64, ok bool) {
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return n, true
}

// meaning takes in what a request's lines say about its connection and its body.
func (r *Request) meaning() error {
	if err := r.frame(); err != nil {
		return err
	}
	hosts, upgrades := 0, false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.Kind {
		case Host:
			hosts++
			r.Host = f.Value
		case connection:
			upgrades = r.connection(f.Value) || upgrades
		case upgrade:
			r.Upgrade = f.Value
		case te:
			listed(f.Value, func(one []byte) { r.Trailers = r.Trailers || EqualFold(one, "trailers") })
		case expect:
			if !EqualFold(f.Value, "100-continue") {
				return errExpectation
			}
			r.expects = r.Minor == 1
		}
	}
	if len(r.options) > mostOptions {
		return errTooMany
	}
	if hosts > 1 || hosts == 0 && r.Minor == 1 {
		return errNoHost
	}
	if !host(r.Host) {
		return errHost
	}
	if !upgrades || r.Minor == 0 || r.framing == chunked || r.Length > 0 { // behind a body nobody could tell the two apart
		r.Upgrade = nil
	}
	r.strip()
	return nil
}

// host reports whether a value is one host, as far as its bytes tell (RFC 3986, 3.2.2).
func host(value []byte) bool {
	for _, b := range value {
		if classes[b]&inTarget == 0 || bytes.IndexByte([]byte(`/?#@\"<>^{}|,`+"`"), b) >= 0 {
			return false
		}
	}
	return true
}

// meaning takes in what an answer's lines say about its connection and its body. Whether there is one
// is also the request's to say: see bodyOf.
func (r *Response) meaning() error {
	if err := r.frame(); err != nil {
		return err
	}
	upgrades := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.Kind {
		case connection:
			upgrades = r.connection(f.Value) || upgrades
		case upgrade:
			r.upgrade = f.Value
		case trailer:
			r.trailer = f.Value
		}
	}
	if len(r.options) > mostOptions {
		return errTooMany
	}
	if !upgrades {
		r.upgrade = nil
	}
	r.strip()
	return nil
}

// bodyOf is how the body of an answer to such a request ends.
func (r *Response) bodyOf(method string) framing {
	switch {
	case method == "HEAD", r.Status < 200, r.Status == 204, r.Status == 304:
		return noBody
	case r.framing == noBody:
		return toEnd
	}
	return r.framing
}
