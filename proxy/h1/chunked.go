package h1

// Limits of what frames a chunked body, in bytes. Without them a body of no bytes could be endless.
const (
	maxSizeLine = 256
	maxTrailers = 8 << 10
	mostDigits  = 16 // of a size, zeros in front of it included
)

var (
	errChunkSize  = malformed("a chunk's size is not a hexadecimal number")
	errChunkEnd   = malformed("a chunk does not end where its size says")
	errTrailers   = malformed("the trailers are too large or malformed")
	errChunkExtra = malformed("a chunk's extension is too long or malformed")
)

// chunkState is where in a chunked body (RFC 9112, 7.1) the next byte stands.
type chunkState uint8

const (
	atSize   chunkState = iota // the first digit of a size
	inSize                     // its further digits
	atExtra                    // an extension's name; none is passed on
	inExtra                    // the rest of it
	inQuotes                   // its value in quotes
	inEscape                   // what a backslash there takes its meaning from
	atSizeLF                   // the LF behind it
	inData
	atDataCR
	atDataLF
	inTrailers // behind the last chunk
	chunksEnd
)

// chunks reads a chunked body. It knows bytes only: whoever has them passes them in as they come.
type chunks struct {
	state    chunkState
	left     int64 // of the chunk's data, or its size as far as it was read
	line     int   // bytes of the size line so far
	trailers []byte
}

// decode reads b, moves the data in it together, and returns it with how many bytes of b were read:
// all but trailers that are not whole. Bytes behind the end are not read.
func (d *chunks) decode(b []byte) (data []byte, read int, err error) {
	from, to := 0, 0
	i := 0
	for i < len(b) && d.state != chunksEnd {
		switch c := b[i]; d.state {
		case inData:
			n := int(min(d.left, int64(len(b)-i)))
			if from == to {
				from, to = i, i
			} else {
				copy(b[to:], b[i:i+n])
			}
			to += n
			i += n
			if d.left -= int64(n); d.left == 0 {
				d.state = atDataCR
			}
			continue
		case inTrailers:
			n, err := d.trailer(b[i:])
			if n == 0 || err != nil {
				return b[from:to], i, err
			}
			i += n
			continue
		case atDataCR:
			if c != '\r' {
				return nil, i, errChunkEnd
			}
			d.state = atDataLF
		case atDataLF:
			if c != '\n' {
				return nil, i, errChunkEnd
			}
			d.state = atSize
		default:
			if err := d.size(c); err != nil {
				return nil, i, err
			}
		}
		i++
	}
	return b[from:to], i, nil
}

// size reads a byte of the line "1a;extension CR LF".
func (d *chunks) size(c byte) error {
	if d.line++; d.line > maxSizeLine {
		return errChunkExtra
	}
	switch digit, ok := hex(c); {
	case (d.state == atSize || d.state == inSize) && ok:
		if d.state == atSize {
			d.left = 0
		}
		if d.left > 1<<55 || d.line > mostDigits {
			return errChunkSize
		}
		d.state, d.left = inSize, d.left<<4|int64(digit)
	case d.state == atSize:
		return errChunkSize
	case d.state == inSize && c == ';':
		d.state = atExtra
	case c == '\r' && (d.state == inSize || d.state == inExtra):
		d.state = atSizeLF
	case d.state >= atExtra && d.state <= inEscape:
		return d.extra(c)
	case d.state == atSizeLF && c == '\n':
		d.line = 0
		if d.state = inData; d.left == 0 {
			d.state = inTrailers
		}
	default:
		return errChunkSize
	}
	return nil
}

// extra reads a byte of ";name=value", where a value may stand in quotes.
func (d *chunks) extra(c byte) error {
	s, token, blank := d.state, classes[c]&inToken != 0, c == ' ' || c == '\t'
	switch {
	case s == inQuotes && c == '\\':
		d.state = inEscape
	case s == inQuotes && c == '"', s == atExtra && token:
		d.state = inExtra
	case s == inExtra && c == ';':
		d.state = atExtra
	case s == inExtra && c == '"', s == inEscape && classes[c]&inValue != 0:
		d.state = inQuotes
	case s == inExtra && (token || blank || c == '='), s == inQuotes && classes[c]&inValue != 0, s == atExtra && blank:
	default:
		return errChunkExtra
	}
	return nil
}

// trailer reads the lines behind the last chunk and the empty line that ends them, once they are all
// there.
func (d *chunks) trailer(b []byte) (n int, err error) {
	for {
		rest := b[n:]
		if len(rest) >= 1 && rest[0] == '\r' {
			if len(rest) == 1 {
				break
			}
			if rest[1] != '\n' {
				return 0, errTrailers
			}
			if n+2 > maxTrailers {
				return 0, errTrailers
			}
			if n > 0 {
				var lines head
				if _, err := lines.fields(b[:n+2], maxTrailers); err != nil {
					return 0, errTrailers
				}
			}
			d.trailers, d.state = b[:n+2], chunksEnd
			return n + 2, nil
		}
		end := 0
		for end < len(rest) && rest[end] != '\n' {
			end++
		}
		if end == len(rest) {
			break
		}
		if end == 0 || rest[end-1] != '\r' {
			return 0, errTrailers
		}
		n += end + 1
	}
	if len(b) > maxTrailers {
		return 0, errTrailers
	}
	return 0, nil
}

func hex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

const hexDigits = "0123456789abcdef"

// wrapChunk makes b[from:to] a chunk where it stands, with the last chunk behind it if last is set,
// and returns where it begins and ends now. It needs headroom in front and tailroom behind.
func wrapChunk(b []byte, from, to int, last bool) (int, int) {
	if from < to {
		n := to - from
		from -= 2
		copy(b[from:], "\r\n")
		for ; n > 0; n >>= 4 {
			from--
			b[from] = hexDigits[n&15]
		}
		to += copy(b[to:], "\r\n")
	}
	if last {
		to += copy(b[to:], "0\r\n\r\n")
	}
	return from, to
}
