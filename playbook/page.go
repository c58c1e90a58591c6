package playbook

import (
	_ "embed" // the page's template
	"fmt"
	"html/template"
	"strings"

	strangler "github.com/strangler-fig/strangler"
)

//go:embed page.gohtml
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"marks":   PlannedStep.marks,
	"renamed": PlanTable.renamed,
	"prose":   proseHTML,
	"wide":    func() int { return wide },
	"narrow":  func() int { return narrow },
	"way":     drawWay,
	"ramp":    drawRamp,
	"tables":  drawTables,
}).Parse(pageSource))

// RenderHTML writes a capability's runbook as one page that needs nothing from anywhere else, no script either.
func RenderHTML(c strangler.Capability) (string, error) {
	var b strings.Builder
	if err := page.Execute(&b, Show(c)); err != nil {
		return "", fmt.Errorf("rendering the playbook of %s: %w", c.Name, err)
	}
	return b.String(), nil
}

// proseHTML is a text in which code stands in backticks.
func proseHTML(s string) template.HTML {
	parts := spans(s)
	for i, part := range parts {
		parts[i] = template.HTMLEscapeString(part)
		if i%2 == 1 {
			parts[i] = "<code>" + parts[i] + "</code>"
		}
	}
	return template.HTML(strings.Join(parts, ""))
}
