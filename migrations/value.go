package migrations

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Value is one canonical value: nil, int64, float64, string or []byte. Engines turn what their
// drivers give into these, so that a row has the same form on every database.
type Value = any

// Row is one row's values in the order of Table.Columns.
type Row []Value

// Key is the values of a row's key columns, in the order of Table.Key.
type Key []Value

// ErrDuplicate is a unique conflict that is not the key's own. While copying, the chunk is read again
// from a new snapshot; anywhere else it stops the split.
var ErrDuplicate = errors.New("unique conflict")

// ErrMisfit is a row of the owner that the follower's table does not take: a constraint is another there, a type has
// fewer values. It stops the split, since the next attempt would meet it too.
var ErrMisfit = errors.New("row does not fit")

const (
	tagNull byte = iota
	tagInt
	tagFloat
	tagText
	tagBytes
)

// Encode is a form of vs that is equal exactly where the values are, and that Decode reads back.
func Encode(vs []Value) []byte {
	b := make([]byte, 0, 16*len(vs))
	for _, v := range vs {
		switch v := v.(type) {
		case nil:
			b = append(b, tagNull)
		case int64:
			b = binary.BigEndian.AppendUint64(append(b, tagInt), uint64(v))
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, tagFloat), math.Float64bits(v))
		case string:
			b = append(binary.AppendUvarint(append(b, tagText), uint64(len(v))), v...)
		case []byte:
			b = append(binary.AppendUvarint(append(b, tagBytes), uint64(len(v))), v...)
		default:
			panic(fmt.Sprintf("migrations: an engine gave a value of type %T, which is not canonical", v))
		}
	}
	return b
}

// Decode reads what Encode wrote.
func Decode(b []byte) ([]Value, error) {
	var vs []Value
	for len(b) > 0 {
		tag := b[0]
		b = b[1:]
		switch tag {
		case tagNull:
			vs = append(vs, nil)
		case tagInt, tagFloat:
			if len(b) < 8 {
				return nil, errors.New("stored key is cut short")
			}
			n := binary.BigEndian.Uint64(b)
			b = b[8:]
			if tag == tagInt {
				vs = append(vs, int64(n))
			} else {
				vs = append(vs, math.Float64frombits(n))
			}
		case tagText, tagBytes:
			n, used := binary.Uvarint(b)
			if used <= 0 || uint64(len(b)-used) < n {
				return nil, errors.New("stored key is cut short")
			}
			data := b[used : used+int(n)]
			b = b[used+int(n):]
			if tag == tagText {
				vs = append(vs, string(data))
			} else {
				vs = append(vs, append([]byte{}, data...))
			}
		default:
			return nil, fmt.Errorf("stored key has an unknown tag %d", tag)
		}
	}
	return vs, nil
}
