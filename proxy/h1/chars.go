package h1

// What a byte may be part of.
const (
	inToken  = 1 << iota // a method or a field's name: RFC 9110, 5.6.2
	inValue              // a field's value: all but controls, of which only the tab (RFC 9110, 5.5)
	inTarget             // a request target: all but controls, space and what is beyond ASCII
	inReason             // a reason phrase, which is a value
)

var classes = func() (c [256]uint8) {
	for b := range 256 {
		if b >= 0x20 && b != 0x7f || b == '\t' {
			c[b] |= inValue | inReason
		}
		if b > 0x20 && b < 0x7f {
			c[b] |= inTarget
		}
		if b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z' && b < 0x80 {
			c[b] |= inToken
		}
	}
	for _, b := range []byte("!#$%&'*+-.^_`|~") {
		c[b] |= inToken
	}
	return c
}()

// all reports whether every byte may be part of something.
func all(s []byte, of uint8) bool {
	for _, b := range s {
		if classes[b]&of == 0 {
			return false
		}
	}
	return true
}

// EqualFold compares a token with one in small letters, without regard to case.
func EqualFold(s []byte, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range s {
		b := s[i]
		if b >= 'A' && b <= 'Z' {
			b |= 0x20
		}
		if b != lower[i] {
			return false
		}
	}
	return true
}

// trim takes spaces and tabs off both ends.
func trim(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
