package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// Names that need quotes, in each place where a database has names.
const (
	oddSchema = `"Sch""e.ma %s $1 'é' ;--"`
	oddTable  = oddSchema + `."T""a.b 'c' %d $1 $strangler$ \ ü"`
	oddType   = oddSchema + `."Mo""od.%v 'x' \ $2"`
	oddKey    = `"K""e.y %s 'k' \ $1 ü"`
	oddColumn = `"Co""l.umn %% 'v' \ $3 "`
)

func named(format string) string {
	return strings.NewReplacer("‹schema›", oddSchema, "‹table›", oddTable, "‹type›", oddType, "‹key›", oddKey, "‹column›", oddColumn,
		"‹long1›", `"`+strings.Repeat("l", 62)+`1"`, "‹long2›", `"`+strings.Repeat("l", 62)+`2"`, "‹löng›", `"`+strings.Repeat("ü", 31)+`"`).Replace(format)
}

// TestNamesThatNeedQuotes: schemas, tables, columns, types, constraints and indexes whose names are no words of SQL's, through
// both captures, to the end that takes everything back.
func TestNamesThatNeedQuotes(t *testing.T) {
	var legacy []string
	for _, q := range []string{
		"CREATE SCHEMA ‹schema›", `CREATE TYPE ‹type› AS ENUM ('a "b"', 'it''s', '%s $1 \')`, `CREATE DOMAIN "Do.main 'd'" AS text CONSTRAINT "Ch""eck 'c' %s \" CHECK (VALUE <> '%d $1')`,
		`CREATE TABLE ‹table› (‹key› ‹type› NOT NULL, ‹long1› integer, ‹löng› serial, ‹column› "Do.main 'd'" DEFAULT '100% ''sure'' \', "Select" integer GENERATED ALWAYS AS IDENTITY, "made %s" integer GENERATED ALWAYS AS (‹long1› * 2) STORED,
			CONSTRAINT "P""k.%s 'p' \ $1" PRIMARY KEY (‹key›, ‹long1›))`,
		`CREATE INDEX "In""dex.%s 'i' \ $1" ON ‹table› (‹column›) WHERE ‹column› <> '%s'`, `CREATE UNIQUE INDEX ‹long1› ON ‹table› (‹löng›)`,
		`CREATE TABLE ‹long2› ("user" integer PRIMARY KEY, "order" text)`, `CREATE TABLE ‹schema›.‹long2› (‹long1› integer, ‹long2› text, PRIMARY KEY (‹long1›, ‹long2›))`,
		`CREATE TABLE "select" ("from" integer PRIMARY KEY, ‹key› ‹type›, ‹long1› integer, CONSTRAINT "F""k.%s 'f' \ $1" FOREIGN KEY (‹key›, ‹long1›) REFERENCES ‹table›)`,
		`COMMENT ON CONSTRAINT "P""k.%s 'p' \ $1" ON ‹table› IS '%s ''$1'' \'`, `COMMENT ON COLUMN ‹table›.‹column› IS '%d'`,
		`INSERT INTO ‹table› (‹key›, ‹long1›) SELECT 'it''s', n FROM generate_series(1, 200) AS n`, `INSERT INTO "select" SELECT n, 'it''s', n FROM generate_series(1, 200) AS n`,
		`INSERT INTO ‹long2› SELECT n, '%s $1 \' FROM generate_series(1, 200) AS n`, `INSERT INTO ‹schema›.‹long2› SELECT n, '\' FROM generate_series(1, 200) AS n`,
	} {
		legacy = append(legacy, named(q))
	}
	for _, capture := range []strangler.Capture{strangler.CaptureTriggers, strangler.CaptureLogical} {
		t.Run(string(capture), func(t *testing.T) {
			t.Parallel()
			m := move{
				legacy: legacy, service: []string{named("CREATE SCHEMA ‹schema›")}, paths: [2]string{"public", "public"},
				tables: []strangler.Table{{From: named("‹long2›")}, {From: named("‹schema›.‹long2›")}, {From: `"select"`}, {From: named("‹table›")}},
				keys:   []string{`"user"`, named("‹long1›, ‹long2›"), `"from"`, named("‹key›, ‹long1›")},
				writes: func(i int, _ strangler.Side) []string {
					n := fmt.Sprint(1 + i%200)
					var out []string
					for _, q := range []string{
						`INSERT INTO ‹table› (‹key›, ‹long1›) VALUES ('a "b"', 1000 + #)`, `UPDATE ‹table› SET ‹column› = ‹column› || '%s', ‹key› = '%s $1 \' WHERE ‹long1› = 1000 + # AND ‹key› = 'a "b"'`,
						`INSERT INTO "select" VALUES (1000 + #, '%s $1 \', 1000 + #)`, `DELETE FROM "select" WHERE "from" = @`, `UPDATE ‹long2› SET "order" = '#', "user" = "user" + 100000 WHERE "user" = @`,
						`UPDATE ‹schema›.‹long2› SET ‹long2› = ‹long2› || '\' WHERE ‹long1› = @`,
					} {
						out = append(out, strings.NewReplacer("#", fmt.Sprint(i), "@", n).Replace(named(q)))
					}
					if i%10 == 0 {
						out = append(out, named("TRUNCATE ‹schema›.‹long2›"), named(`INSERT INTO ‹schema›.‹long2› VALUES (1, '%s'), (2, '$1')`))
					}
					return out
				},
				words: strings.NewReplacer(" shop", " delivery"),
			}
			m.walk(t, "cancel", capture)
		})
	}
}
