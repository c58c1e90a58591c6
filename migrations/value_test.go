package migrations

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var hardValues = [][]Value{
	nil,
	{nil},
	{int64(0), float64(0), "", []byte{}},
	{int64(math.MinInt64), int64(math.MaxInt64), int64(-1)},
	{math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 5e-324, math.MaxFloat64, 0.1},
	{"a\x00b", "\xff\xfe", "ünïcödé 😀", []byte("a\x00b"), []byte{0xff}},
	{string(bytes.Repeat([]byte("x"), 1<<20)), bytes.Repeat([]byte{7}, 300)},
	{"ab", "c"}, {"a", "bc"}, {"abc"}, {"a", "b", "c"}, {[]byte("ab"), "c"},
	{int64(1)}, {float64(1)}, {"1"}, {[]byte("1")}, {int64(4607182418800017408)}, // the last has the bits of 1.0
	{"\x03\x01a"}, {nil, nil}, {nil, "", nil},
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	for _, vs := range hardValues {
		got, err := Decode(Encode(vs))
		if err != nil {
			t.Errorf("%.60q: %v", vs, err)
		}
		if diff := cmp.Diff(vs, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("- encoded, + decoded:\n%s", diff)
		}
		for i, v := range got {
			if f, ok := v.(float64); ok && math.Float64bits(f) != math.Float64bits(vs[i].(float64)) {
				t.Errorf("%v came back as %v", vs[i], f)
			}
		}
	}
}

func TestDifferentValuesEncodeDifferently(t *testing.T) {
	for i, a := range hardValues {
		for j, b := range hardValues {
			if i != j && bytes.Equal(Encode(a), Encode(b)) {
				t.Errorf("%.60q and %.60q have one encoding", a, b)
			}
		}
	}
	if bytes.Equal(Encode([]Value{0.0}), Encode([]Value{math.Copysign(0, -1)})) {
		t.Error("0.0 and -0.0 have one encoding, and a comparison of rows would not tell them apart")
	}
}

func TestWhatIsCutShortIsAnError(t *testing.T) {
	for _, vs := range hardValues {
		whole := Encode(vs)
		if len(whole) > 1000 {
			continue
		}
		for n := range whole {
			got, err := Decode(whole[:n])
			if err == nil && !bytes.Equal(Encode(got), whole[:n]) {
				t.Errorf("%d of %d bytes of %q were read as %q", n, len(whole), vs, got)
			}
		}
	}
	for _, b := range [][]byte{{9}, {tagText}, {tagText, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {tagBytes, 200}, {tagInt, 1, 2}} {
		if vs, err := Decode(b); err == nil {
			t.Errorf("%v was read as %q", b, vs)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, vs := range hardValues {
		if b := Encode(vs); len(b) < 1000 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		vs, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(Encode(vs))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(Encode(again), Encode(vs)) {
			t.Errorf("%q came back as %q", vs, again)
		}
	})
}
