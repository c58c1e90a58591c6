package config

import "github.com/strangler-fig/strangler"

// fileSchema is the whole file. A test holds it against the reader: the keys of each object, the values of each key, and the
// defaults are what the reader takes.
func fileSchema() schema {
	return object("Where the monolith is, where requests come in, and which capabilities leave it.",
		key("control", text("The control store: an empty database of its own.", dsnText).otherwise("sqlite:.strangler/control.db")),
		key("proxy", proxySchema()),
		key("admin", object("The admin API, which the command line asks.",
			key("listen", address(defaultAdmin)),
			key("token", filledText("What every request to it has to bring; needed where listen is not a loopback address.")),
			key("advertise", text("Base URL for other instances; otherwise the address that it listens on, where that is a single one.", baseURLText)))),
		key("legacy", upstreamSchema("The monolith.").needs("url")),
		key("capabilities", schema{
			Description: "What leaves the monolith, by name.", Type: []string{"object"},
			PropertyNames: &schema{Pattern: capabilityName.String()}, Additional: capabilitySchema(),
		}),
		key("webhooks", listOf("Who is told when steps end, runs wait, fail and end.", webhookSchema())),
	).needs("legacy")
}

func address(otherwise string) schema {
	return text("host:port; without a host, every interface.", addressText).otherwise(otherwise)
}

func proxySchema() schema {
	return object("Where requests come in.",
		key("listen", address(defaultProxy)),
		key("tls", object("Clients are spoken to over TLS, with HTTP/2; the files are read again when they change.",
			key("cert", filledText("PEM file of the chain, relative to this file.")),
			key("key", filledText("PEM file of the key, relative to this file."))).needs("cert", "key")),
		key("trust", listOf("Peers whose X-Forwarded-* are believed.", text("A network or an address.", prefixText)).otherwise([]string{})),
		key("proxy_protocol", yesOrNo("Connections of the peers in trust begin with a PROXY header.").otherwise(false)),
		key("engine", choice("What reads requests and carries them.", engines...).otherwise(engines[0])),
		key("access_log", object("A line for each request.",
			key("file", filledText("Where it is written, relative to this file.")),
			key("format", choice("How a line is written.", accessFormats...).otherwise(accessFormats[0]))).needs("file")),
		key("traces", object("Spans of requests, by OTLP over HTTP.",
			key("endpoint", text("The collector's base URL, without /v1/traces.", tracesText)),
			key("sample", share("How many requests are traced.").otherwise("100%")),
			key("headers", schema{Description: "Header lines of every export, as for a token.", Type: []string{"object"},
				PropertyNames: &schema{Pattern: headerName.String()}, Additional: filledText("The header's value.")})).needs("endpoint")),
		key("hold", object("The gate of a cutover; past a bound a held write is answered 503 with Retry-After.",
			key("requests", wholeNumber("Writes held at once.", 1).otherwise(1000)),
			key("wait", pace("The longest that one write is held.").otherwise("10s")),
			key("drain", pace("How long writes in flight may take to end before the cutover aborts.").otherwise("2s")))),
		key("limits", object("What clients may ask for.",
			key("head", size("Bytes of a request's head, at most 1MiB.").otherwise("64KiB")),
			key("lines", wholeNumber("Header lines of a request.", 1).otherwise(200)),
			key("connections", wholeNumber("Connections of clients at once.", 1).otherwise(10_000)),
			key("requests", wholeNumber("Requests of one capability at once, and of what nobody claims.", 1).otherwise(4096)))),
		key("timeouts", object("What may take long.",
			key("head", pace("A request's head.").otherwise("10s")),
			key("body", pace("Without a byte of a request's body.").otherwise("1m")),
			key("idle", pace("A kept connection between two requests.").otherwise("2m")),
			key("dial", pace("Connecting to an upstream.").otherwise("3s")),
			key("answer", pace("An answer's head, and the next byte of its body.").otherwise("2m")))),
		key("health_interval", pace("How often each server that has a health path is asked.").otherwise("5s")),
	)
}

func upstreamSchema(description string) schema {
	server := text("scheme://host:port; h2c:// and h2:// are HTTP/2.", upstreamText)
	servers := listOf("Several servers that all serve the same.", server).filled()
	servers.MaxItems = maxServers
	return object(description,
		key("url", either("Where it listens.", server, servers)),
		key("ca", anyText("A PEM file with the certificates of those who may vouch for https:// and h2:// servers, in place of the system's.")),
		key("health", text("The path that says whether a server is well.", `^/[^\s#]*$`)),
		key("database", text("The database with its tables.", dsnText)))
}

func capabilitySchema() schema {
	route := text("A method, if only one, and a path, in the syntax of Go's http.ServeMux.", routeText)
	return object("One capability: its routes, its service, its tables.",
		key("routes", listOf("The requests that leave.", route).filled()),
		key("touches", listOf("Routes that stay in the monolith, and write the tables.", either("A route, or one with what is known of it.", route,
			object("A route with what is known of it.",
				key("route", route),
				key("seam", yesOrNo("The monolith asks there who owns, and calls the service if it does; false, written out: its writes may fail once the service owns."))).needs("route")))),
		key("service", upstreamSchema("The service that owns the capability in the end.").needs("url")),
		key("tables", listOf("The tables that leave.", either("A table as it is, or one with what becomes of it.", filledText("The table's name.", tableText), tableSchema()))),
		key("on_delete", schema{Description: "What becomes of rows that refer to deleted ones, by foreign key that crosses the cut, as in orders(courier_id).",
			Type: []string{"object"}, PropertyNames: &schema{Pattern: foreignKey.String()},
			Additional: choice("What is done.", string(strangler.DeleteRestrict), string(strangler.DeleteCascade), string(strangler.DeleteIgnore))}),
		key("capture", choice("How the monolith's changes are recorded; otherwise from the server's own log where that can be had. PostgreSQL, MariaDB.",
			string(strangler.CaptureTriggers), string(strangler.CaptureLogical))),
		key("retained_wal", size("What a replication slot may keep of the server's log; 0: no cap. PostgreSQL.").otherwise("10GiB")),
		key("throttle", object("Limits for the load of the monolith's server, beyond which the copy waits; 0: none.",
			key("sessions", wholeNumber("Sessions that are running a statement. PostgreSQL, MariaDB.", 0).otherwise(0)),
			key("lag", length("How old the state of the standby furthest behind is. PostgreSQL.").otherwise("0s")),
			key("lag_bytes", size("What that standby has not replayed. PostgreSQL.").otherwise(0)),
			key("latency", length("How long a statement takes that reads a page and commits. PostgreSQL, MariaDB.").otherwise("0s")))),
		key("identity", object("Who asks; otherwise a signed cookie of the proxy's own.",
			key("header", filledText("The header that names the user.", headerName.String())))),
		key("shadow", object("Reads that are sent to the service as well.",
			key("sample", share("How many reads.").otherwise("10%")),
			key("methods", listOf("The methods that are sent to both sides.", choice("A method that may be sent twice.", shadowable...)).otherwise([]string{"GET", "HEAD"})),
			key("ignore", listOf("JSON paths that may differ between the answers.", text("A JSON path.", `^\$[.\[]`)).otherwise([]string{})))),
		key("guard", object("Takes a canary back to legacy on evidence.",
			key("min_requests", wholeNumber("Requests of the service before it judges.", 1).otherwise(200)),
			key("max_error_delta", share("How many more errors the service may have than the monolith.").otherwise("1%")),
			key("max_p99_ratio", ratio().otherwise(1.5)))),
		key("playbook", playbookSchema()),
	).needs("routes", "service")
}

func webhookSchema() schema {
	return object("A URL that events are posted to, as JSON.",
		key("url", text("Where they are posted to; it may hold a token, as ${VAR}.", hookText)),
		key("on", listOf("The kinds of events that are sent.", choice("A kind.", eventKinds...)).filled().otherwise(eventKinds)),
		key("capabilities", listOf("The capabilities whose events are sent; otherwise all.", text("A capability of this file.", capabilityName.String())).filled()),
		key("secret", filledText("What each request is signed with (HMAC-SHA256); otherwise none is.")),
	).needs("url")
}

func ratio() schema {
	return schema{Description: "How many times the monolith's p99 the service's may be.", Type: []string{"number", "string"},
		Minimum: number(1), Maximum: number(1e6), Pattern: or(`^[1-9][0-9]{0,5}(\.[0-9]*)?$`)}
}

func tableSchema() schema {
	name := anyText("A name at the service, or a value.")
	return object("A table with what becomes of it.",
		key("from", filledText("The table's name in the legacy database.", tableText)),
		key("to", filledText("Its name at the service; otherwise the same.", tableText)),
		key("columns", named("Names of columns at the service, by their names in the legacy database.", name)),
		key("values", named("Values at the service, by column and value in the legacy database.", named("Of one column.", name))),
		key("set", named("Values of columns that the service alone has.", name)),
		key("drop", listOf("Columns that stay with the monolith.", anyText("A column."))),
		key("where", filledText("A condition on the columns of one row; rows of which it is not true stay with the monolith.", `\S`)),
		key("reverse", yesOrNo("Whether what the service writes comes back to the monolith.").otherwise(true)),
	).needs("from")
}

func playbookSchema() schema {
	percent := share("A share of the users, above zero.")
	percent.AllOf = []*schema{{Pattern: or(aboveZero)}}
	return object("How the steps go.",
		key("canary", listOf("The shares of users that the service answers, rising.", percent).filled().otherwise([]string{"1%", "10%", "50%", "100%"})),
		key("soak", length("How long the way back stays open before complete.").otherwise("14d")),
		key("approve", listOf("The steps that wait for a person. Where there are tables, complete does so unless the list is empty, which asks nobody.", text("A step, of the playbook or of steps.", stepName.String())).otherwise([]string{"cutover", "complete"})),
		key("hold", pace("How long each share of a canary is held.").otherwise("10m")),
		key("shadow", pace("How long reads are shadowed.").otherwise("10m")),
		key("requests", wholeNumber("How many requests the service has to have answered in the shadow, and at each share of a canary, before the run goes on; 0: time alone decides.", 0).otherwise(1)),
		key("rehearse", object("Empty databases that a rehearsal fills with copies, and empties again; a SQLite side has none.",
			key("legacy", text("For the copy of the legacy database; of the same kind.", dsnText)),
			key("service", text("For the copy of the service's database; of the same kind.", dsnText)))),
		key("steps", listOf("Steps of your own between the playbook's.", stepSchema())))
}

// stepSchema has the keys of every kind; that a step is of one kind, and stands in one place, is left to Load.
func stepSchema() schema {
	asked := func(description string) schema { return text(description, askedText) }
	filled := func(description string) schema { return filledText(description, `\S`) }
	command := func(description string) schema {
		return listOf(description, anyText("The program, or an argument.")).filled()
	}
	word := func(description, pattern string) schema {
		s := text(description, pattern)
		s.Type = []string{"string", "boolean"}
		return s
	}
	status := schema{Description: "The status of the answer.", Type: []string{"integer", "string"}, Minimum: number(100), Maximum: number(599), Pattern: or(`^[1-5][0-9]{2}$`)}
	bound := func(description string) schema {
		return schema{Description: description, Type: []string{"number", "string"}, Pattern: or(numberText.String())}
	}
	return object("A step that is one of run, http, sql, prometheus, approve, wait, notify. All but run and notify wait until they are met.",
		key("name", word("Its name: small letters, digits, - and _, and not that of a step of the playbook.", stepName.String())),
		key("before", choice("The step of the playbook that it comes right before.", StepNames...)),
		key("after", choice("The step of the playbook that it comes right after.", StepNames...)),
		key("timeout", pace("How long one try may take; otherwise 10m for run, 30s for http, sql, prometheus and notify.")),
		key("retries", wholeNumber("run, notify: how often a try that failed is repeated; otherwise 0 for run and 2 for notify.", 0)),
		key("run", object("Runs a program, without a shell.",
			key("command", command("The program and its arguments; one with a slash is relative to this file's folder.")),
			key("check", command("Exits with 0 when the step is done.")),
			key("undo", command("Takes the step back, whatever was done of it.")),
			key("env", listOf("Variables of the daemon's environment that the program gets too.", word("Its name.", environmentName.String())))).needs("command")),
		key("http", object("Waits until a GET is answered as it says.",
			key("url", asked("What is asked.")),
			key("status", status.otherwise(200)),
			key("json", schema{Description: "What has to stand in the answer, by its path as in $.checks[0].state.", Type: []string{"object"},
				PropertyNames: &schema{Pattern: jsonPath.String()}, Additional: anyText("The value, as text.")})).needs("url")),
		key("sql", object("Waits until a database answers as it says; the query can only read.",
			key("side", choice("Whose database.", string(strangler.Legacy), string(strangler.Service))),
			key("query", filled("Answers one value.")),
			key("answer", anyText("What it has to answer, as text; NULL for none."))).needs("side", "query", "answer")),
		key("prometheus", object("Waits until a query's values are within bounds. No value is no answer.",
			key("url", asked("The server, without /api/v1.")),
			key("query", filled("In PromQL.")),
			key("above", bound("What all values have to be above.")),
			key("below", bound("What all values have to be below.")),
			key("for", length("All the while of how long; otherwise now.").otherwise("0s"))).needs("url", "query")),
		key("approve", object("Waits for a person.",
			key("by", listOf("Who may; otherwise anybody who reaches the admin API.", filled("A name.")).filled()))),
		key("wait", object("Waits for a time.", key("for", pace("How long."))).needs("for")),
		key("notify", object("Tells somebody.",
			key("url", asked("Takes a POST of JSON.")),
			key("text", filled("What is said."))).needs("url", "text")),
	).needs("name")
}
