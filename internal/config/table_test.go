package config

import "testing"

// A table has one name, however it is quoted: two capabilities that name it are found out by it.
func TestQuotedTables(t *testing.T) {
	for in, want := range map[string]string{
		`"couriers"`: "couriers", `billing."invoices"`: "billing.invoices", `"Odd one".lines`: "Odd one.lines",
		`"Odd one"."Li.nes"`: `Odd one."Li.nes"`, `"a""b"`: `"a""b"`, `"a.b"`: `"a.b"`, `"it's; [here]"`: "it's; [here]",
	} {
		got, quoted := unquoted(in)
		if got != want || !quoted {
			t.Errorf("%s: %s, %v", in, got, quoted)
		}
	}
	for _, in := range []string{"couriers", "billing.invoices", `a"b`, `"a`, `"a"b`, `""`, `"a".`, "a.b.c"} {
		if got, quoted := unquoted(in); got != in || quoted {
			t.Errorf("%s: %s, %v", in, got, quoted)
		}
	}
}
