package bench

import (
	"fmt"
	"slices"
	"strings"
)

// point is the time that a copy of so many rows took, the median of its rounds.
type point struct {
	Rows    int     `json:"rows"`
	Seconds float64 `json:"seconds"`
	Memory  float64 `json:"peak_mb"`
}

// svg draws seconds over rows, and through the origin the straight line of the largest copy's speed.
func svg(points []point) string {
	const width, height, left, bottom, top, right = 640, 360, 64, 48, 16, 24
	points = slices.SortedFunc(slices.Values(points), func(a, b point) int { return a.Rows - b.Rows })
	last := points[len(points)-1]
	most := 0.0
	for _, p := range points {
		most = max(most, p.Seconds)
	}
	x := func(rows float64) float64 { return left + rows/float64(last.Rows)*(width-left-right) }
	y := func(seconds float64) float64 { return height - bottom - seconds/most*(height-bottom-top) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<path d="M%d %d V%d H%d" fill="none" stroke="black"/>`+"\n", left, top, height-bottom, width-right)
	fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="silver" stroke-dasharray="4"/>`+"\n", x(0), y(0), x(float64(last.Rows)), y(last.Seconds))
	var path []string
	for _, p := range points {
		path = append(path, fmt.Sprintf("%.1f,%.1f", x(float64(p.Rows)), y(p.Seconds)))
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="darkgreen"/>`+"\n", x(float64(p.Rows)), y(p.Seconds))
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="end">%s s</text>`+"\n", x(float64(p.Rows))-6, y(p.Seconds)-6, short(p.Seconds))
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(float64(p.Rows)), height-bottom+16, short(float64(p.Rows)/1e6))
	}
	fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="darkgreen"/>`+"\n", strings.Join(path, " "))
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">millions of rows</text>`+"\n", (left+width-right)/2, height-10)
	fmt.Fprintf(&b, `<text x="16" y="%d" transform="rotate(-90 16 %d)" text-anchor="middle">seconds from start to syncing</text>`+"\n</svg>\n", height/2, height/2)
	return b.String()
}
