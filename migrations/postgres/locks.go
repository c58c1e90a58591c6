package postgres

import (
	"fmt"
	"strings"
)

// limits begins a transaction of a script: with the locks that it needs, where it needs any.
func limits(mode string, locked []string) string {
	text := "SET LOCAL statement_timeout = 0;\nSET LOCAL synchronous_commit = on;\n"
	if mode != "" && len(locked) > 0 {
		text += "SET LOCAL lock_timeout = '" + firstWait + "';\nLOCK TABLE " + strings.Join(locked, ", ") + " IN SHARE UPDATE EXCLUSIVE MODE;\n"
	}
	if mode != "" && len(locked) > 1 {
		text += "DO " + dollars("\n"+lockTogether(mode, locked, scriptWaits)+"\n") + ";\n"
	}
	return text + "SET LOCAL lock_timeout = '" + lockTimeout + "';\n"
}

// lockTogether is a block that locks all tables or none of them, and tries once for each of the waits. The
// application's transactions meet the tables in an order of their own: one that holds a table and waits for one of
// ours would be waited for until somebody gives up. So nothing is waited for long with another table locked, and what
// was not to be had is asked for first the next time.
func lockTogether(mode string, tables, waits []string) string {
	return fmt.Sprintf(`DECLARE
  wanted text[] := ARRAY[%[1]s];
  patience text;
  missing integer;
BEGIN
  FOREACH patience IN ARRAY ARRAY[%[2]s] LOOP
    PERFORM set_config('lock_timeout', patience, true);
    BEGIN
      FOR i IN 1 .. cardinality(wanted) LOOP
        missing := i;
        EXECUTE 'LOCK TABLE ' || wanted[i] || ' IN %[3]s MODE';
      END LOOP;
      missing := 0;
      EXIT;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN -- what was locked is let go
      wanted := wanted[missing] || wanted[:missing - 1] || wanted[missing + 1:];
    END;
  END LOOP;
  IF missing > 0 THEN
    RAISE lock_not_available USING MESSAGE = 'strangler: no lock on ' || wanted[1] || ' together with the other tables';
  END IF;
END;`, list(tables, literal), list(waits, literal), mode)
}
