package config

import (
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	for dsn, want := range map[string]string{
		"sqlite:/var/lib/shop.db":                              "sqlite:/var/lib/shop.db",
		"postgres://strangler@localhost/shop":                  "postgres://strangler@localhost/shop",
		"postgres://u:hunter2@h:5432/d?sslmode=disable":        "postgres://u:***@h:5432/d?sslmode=disable",
		"postgres://u:hun@ter2@h/d":                            "postgres://u:***@h/d",
		"postgres://u:12/hunter2@h/d":                          "postgres://u:***@h/d",
		"postgres://h/d?user=u&password=hunter2&x=1":           "postgres://h/d?user=u&password=***&x=1",
		"postgres://h/d?sslpassword=hun@ter2":                  "postgres://h/d?sslpassword=***",
		"mysql://root:hunter2@h:3306/d?parseTime=true":         "mysql://root:***@h:3306/d?parseTime=true",
		"host=h user=u password=hunter2 dbname=d":              "host=h user=u password=*** dbname=d",
		"host=h password = 'hun ter2' dbname=d":                "host=h password = *** dbname=d",
		"u:hunter2@tcp(h:3306)/d":                              "u:***@tcp(h:3306)/d",
		"sqlite:x.db?_pragma_key=hunter2":                      "sqlite:x.db?_pragma_key=***",
		"postgres://u:${DB_PASSWORD}@h/d":                      "postgres://u:***@h/d",
		"https://user:hunter2@example.com/path?access_token=t": "https://user:***@example.com/path?access_token=***",
	} {
		got := Redact(dsn)
		if got != want {
			t.Errorf("Redact(%q) = %q, want %q", dsn, got, want)
		}
		if strings.Contains(got, "ter2") {
			t.Errorf("Redact(%q) shows the password: %q", dsn, got)
		}
	}
}

func TestSameDatabase(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"sqlite:/a.db", "sqlite:/a.db?x=1", true},
		{"sqlite:/a.db", "sqlite:/b.db", false},
		{"postgres://a:x@h/d", "postgres://b@h:5432/d?password=y", true},
		{"postgres://h/d?search_path=a", "postgres://h/d?search_path=b", false},
		{"postgres://h/d", "postgres://h/e", false},
		{"mysql://u@h:3306/d", "mysql://u@h/d", true},
		{"postgres://h/d", "mysql://h/d", false},
		{"", "", false},
	} {
		if got := sameDatabase(c.a, c.b); got != c.want {
			t.Errorf("sameDatabase(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

func TestPostgresDSNs(t *testing.T) {
	for dsn, want := range map[string]bool{
		"postgres://u@h/d": true,
		"postgresql://u:p%2F%40@h:5432/d?sslmode=off": true,
		"postgres://u:p@ss@h/d":                       true, // the last @ counts
		"postgres://u@h1:5432,h2:5433/d":              true,
		"postgres:///d?host=/run/postgresql":          true,
		"postgres://u@h/d?application_name=a@b":       true,
		"postgres://u:p/ss@h/d":                       false,
		"postgres://u:1/ss@h/d":                       false,
		"postgres://u:1?ss@h/d":                       false,
		"postgres://u:1#ss@h/d":                       false,
		"postgres://u:100%@h/d":                       false,
	} {
		if got := wellFormed(dsn); got != want {
			t.Errorf("wellFormed(%q) = %v", dsn, got)
		}
	}
}
