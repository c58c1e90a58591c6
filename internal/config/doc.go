// Package config loads strangler.yaml. It is one of the two places that read files and the
// environment; everything behind it is given values.
//
// The walk, in the order the file takes it:
//
//   - config.go is what a loaded file gives, and Load.
//   - node.go walks the parsed document: objects, lists, texts with ${VAR}, each with its line and key.
//   - scalar.go reads one value: an address, a URL, a duration, a percentage.
//   - dsn.go reads a DSN, makes its path absolute, and hides its password wherever it is shown.
//   - sections.go reads what stands once: control, proxy, admin, legacy.
//   - traces.go reads where the proxy's traces go.
//   - capability.go reads one capability; settings.go its shadow, guard and playbook; steps.go the steps of the team's own in that.
//   - webhooks.go reads who is told of events.
//   - overlap.go refuses two capabilities that share a route or a table.
//   - schema.go writes what the file may hold as JSON Schema, for editors; schema_keys.go names the keys.
//   - problem.go collects everything that is wrong, so that one reading of the file says it all.
//
// Every problem names the line, the key and what would be right. A value is quoted as the file has
// it, before ${VAR} is replaced, and tokens and passwords are never quoted.
package config
