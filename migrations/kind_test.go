package migrations

import (
	"errors"
	"testing"
)

func TestCommonDecimal(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "-0.00": "0", "1.50": "1.5", "0001": "1", "-12.0300": "-12.03", ".5": "0.5", "5.": "5", "+7": "7",
		"1e3": "1000", "1.5E-3": "0.0015", "-12.5e1": "-125", "100e-2": "1", "12345678901234567890123456789012345678.0000000001": "12345678901234567890123456789012345678.0000000001",
		"NaN": "NaN", "-Infinity": "-Infinity",
		"": "", ".": "", "1.2.3": "", "abc": "", "1e999999": "", "--1": "", "0x10": "", " 1": "",
	} {
		commonForm(t, CommonDecimal, in, want)
	}
}

func TestCommonMoment(t *testing.T) {
	for k, forms := range map[Kind]map[string]string{
		KindDate:      {"2024-02-29": "2024-02-29", "infinity": "infinity", "2024-2-9": "", "2024-02-29 00:00:00": "", "0044-03-15 BC": "", "2024-02-29.5": "", "12024-01-01": ""},
		KindTime:      {"23:59:59": "23:59:59", "00:00:00.500000": "00:00:00.5", "12:00:00.000000": "12:00:00", "-01:00:00": "", "1:2:3": "", "12:00:00.": "", "12:00:00.1234567": ""},
		KindTimestamp: {"2024-02-29 12:34:56.780000": "2024-02-29 12:34:56.78", "2024-02-29 12:34:56.1234560": "2024-02-29 12:34:56.123456", "2024-02-29T12:34:56": "", "2024-02-29 12:34:56+02": "", "2024-02-29": ""},
	} {
		for in, want := range forms {
			commonForm(t, func(s string) (string, error) { return CommonMoment(k, s) }, in, want)
		}
	}
}

func TestCommonJSON(t *testing.T) {
	for in, want := range map[string]string{
		` {"b": 1.50, "a": [1e2, null, true, "x"]} `: `{"a":[100,null,true,"x"],"b":1.5}`,
		`{"a": 1, "a": 2}`:                           `{"a":2}`, `"<&> \u00fc \ud83d\ude00 \\ud800"`: `"<&> ü 😀 \\ud800"`, `[]`: `[]`, `null`: `null`, "1": "1",
		`"\ud800"`: "", `"\ude00\ud83d"`: "", "\"\xff\"": "", `{"a": 1} x`: "", `{`: "", ``: "", `01`: "",
	} {
		commonForm(t, CommonJSON, in, want)
	}
}

// commonForm wants a misfit where the form is empty, and that a form is its own.
func commonForm(t *testing.T, form func(string) (string, error), in, want string) {
	t.Helper()
	got, err := form(in)
	if want == "" {
		if !errors.Is(err, ErrMisfit) {
			t.Errorf("%q became %q, %v; it has no common form", in, got, err)
		}
		return
	}
	if err != nil || got != want {
		t.Errorf("%q became %q, %v, not %q", in, got, err, want)
	}
	if again, err := form(got); err != nil || again != got {
		t.Errorf("%q, a common form, became %q, %v", got, again, err)
	}
}

func TestWhatAColumnTakes(t *testing.T) {
	column := func(k Kind, size, scale int) Column { return Column{Kind: k, Size: size, Scale: scale} }
	for _, c := range []struct {
		into, of Column
		takes    bool
	}{
		{column(KindInteger, 8, 0), column(KindInteger, 4, 0), true}, {column(KindInteger, 4, 0), column(KindInteger, 8, 0), false},
		{column(KindText, 0, 0), column(KindText, 0, 0), true}, {column(KindText, 40, 0), column(KindText, 0, 0), false}, {column(KindText, 40, 0), column(KindText, 41, 0), false}, {column(KindText, 40, 0), column(KindText, 40, 0), true},
		{column(KindDecimal, 10, 2), column(KindDecimal, 8, 2), true}, {column(KindDecimal, 10, 4), column(KindDecimal, 10, 2), false}, {column(KindDecimal, 10, 2), column(KindDecimal, 10, 3), false}, {column(KindDecimal, 0, 0), column(KindDecimal, 65, 30), true}, {column(KindDecimal, 65, 30), column(KindDecimal, 0, 0), false},
		{column(KindTimestamp, 6, 0), column(KindTimestamp, 3, 0), true}, {column(KindTimestamp, 0, 0), column(KindTimestamp, 3, 0), false}, {column(KindDate, 0, 0), column(KindTimestamp, 0, 0), false}, {column(KindUUID, 0, 0), column(KindUUID, 0, 0), true},
	} {
		if got := c.into.takes(c.of); got != c.takes {
			t.Errorf("%s takes %s: %v", c.into.words(), c.of.words(), got)
		}
	}
}
