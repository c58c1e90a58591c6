package h1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// MostProxyHeader bounds a PROXY header, in bytes. The specification allows 64 KiB, for whatever a load balancer adds to the
// addresses; what those in use add is a few hundred bytes.
const MostProxyHeader = 4 << 10

const (
	textBegin   = "PROXY "
	leastHeader = len("PROXY UNKNOWN\r\n") // no header is shorter, in neither form
	mostText    = 107

	binaryBegin = "\r\n\r\n\x00\r\nQUIT\n"
	binaryFixed = len(binaryBegin) + 4
)

var (
	errNoHeader     = errors.New("it does not begin with a PROXY header")
	errHeaderText   = errors.New("its PROXY header is not one line of the form PROXY TCP4|TCP6 ADDRESS ADDRESS PORT PORT, or PROXY UNKNOWN")
	errHeaderKind   = errors.New("its PROXY header has a version, command or address family that is not known")
	errHeaderShort  = errors.New("its PROXY header is too short for the addresses that it announces")
	errHeaderLength = errors.New("its PROXY header is longer than 4 KiB")
)

// ProxyHeader reads the header that a load balancer puts in front of a connection, in the text form (version 1) or the binary
// one (version 2) of HAProxy's specification. n is how long the header is, as far as b tells: as long as that is more than b has,
// so many bytes belong to the header at least, and no byte behind it need be read to read on. from is the client; it is not
// valid where the header names none, and then the connection is the balancer's own, or of a kind that has no such address.
func ProxyHeader(b []byte) (from netip.AddrPort, n int, err error) {
	text := begins(b, textBegin)
	switch {
	case !text && !begins(b, binaryBegin):
		return from, 0, errNoHeader
	case len(b) < leastHeader:
		return from, leastHeader, nil
	case text:
		return textHeader(b)
	}
	return binaryHeader(b)
}

// begins reports whether b begins with a prefix, or may do so once there is more of it.
func begins(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return string(b[:n]) == prefix[:n]
}

func textHeader(b []byte) (from netip.AddrPort, n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), mostText)], '\n')
	if end < 0 && len(b) < mostText {
		return from, len(b) + 1, nil
	}
	line, whole := strings.CutSuffix(string(b[:end+1]), "\r\n")
	words := strings.Split(strings.TrimPrefix(line, textBegin), " ")
	switch {
	case !whole || strings.Contains(line, "\r"):
		return from, 0, errHeaderText
	case words[0] == "UNKNOWN": // and whatever else
		return from, end + 1, nil
	case len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6":
		return from, 0, errHeaderText
	}
	from, ok := textAddress(words[0], words[1], words[3])
	if _, too := textAddress(words[0], words[2], words[4]); !ok || !too {
		return netip.AddrPort{}, 0, errHeaderText
	}
	return from, end + 1, nil
}

func textAddress(family, address, port string) (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(address)
	p, errPort := strconv.ParseUint(port, 10, 16)
	ok := err == nil && errPort == nil && ip.Is4() == (family == "TCP4") && ip.Zone() == "" && (port == "0" || port[0] != '0')
	return netip.AddrPortFrom(ip, uint16(p)), ok
}

// binaryHeader skips what stands behind the addresses.
func binaryHeader(b []byte) (from netip.AddrPort, n int, err error) {
	if len(b) < binaryFixed {
		return from, binaryFixed, nil
	}
	command, family := b[12], b[13]
	length := int(binary.BigEndian.Uint16(b[14:]))
	least, known := 0, true
	switch family {
	case 0x00: // unspecified
	case 0x11, 0x12: // TCP and, of a connection in HTTP/3, UDP
		least = 2*4 + 2*2
	case 0x21, 0x22:
		least = 2*16 + 2*2
	case 0x31, 0x32: // sockets in a file system
		least = 2 * 108
	default:
		known = false
	}
	n = binaryFixed + length
	switch local := command == 0x20; {
	case !local && (command != 0x21 || !known):
		return from, 0, errHeaderKind
	case !local && length < least:
		return from, 0, errHeaderShort
	case n > MostProxyHeader:
		return from, 0, errHeaderLength
	case len(b) < n || local: // whose family says nothing
		return from, n, nil
	}
	switch addresses := b[binaryFixed:]; family >> 4 {
	case 1:
		from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(addresses)), binary.BigEndian.Uint16(addresses[2*4:]))
	case 2:
		from = netip.AddrPortFrom(netip.AddrFrom16([16]byte(addresses)), binary.BigEndian.Uint16(addresses[2*16:]))
	}
	return from, n, nil
}
