package chart

import "fmt"

const (
	panelGap  = 26.0
	panelName = 12.0 // of a panel's name, above its plot
)

// Panel is one strip of a chart: counts at even distances.
type Panel struct {
	Name   string
	Points []Point
}

// Panels is a chart of strips, one below the other, that share the axis across
// and have an axis up each, because what they count differs by orders.
type Panels struct {
	Title string
	// X is for all strips, Y names what each counts; both are linear.
	X, Y string
	// Event is the X of a moment that is marked with EventName.
	Event     float64
	EventName string
	Panels    []Panel
}

// SVG draws the chart.
func (c Panels) SVG() []byte {
	var xs []float64
	for _, panel := range c.Panels {
		for _, point := range panel.Points {
			xs = append(xs, point.X)
		}
	}
	p := newPicture(c.Title)
	x := newSpan(Axis{Name: c.X}, xs, plotLeft, width-24)
	if len(xs) > 0 {
		x.low, x.high = ends(xs)
	}
	n := float64(max(1, len(c.Panels)))
	tall := (plotEnd - plotTop - panelGap*(n-1) - panelName) / n
	for i, panel := range c.Panels {
		top := plotTop + panelName + float64(i)*(tall+panelGap)
		p.panel(panel, i, x, top, top+tall)
	}
	at := x.at(c.Event)
	p.line(at, plotTop, at, plotEnd, "axis")
	p.text(at+5, plotTop+4, "start", "", c.EventName)
	p.across(x, plotEnd)
	p.beside(c.Y)
	return p.svg()
}

// panel draws one strip between two heights.
func (p *picture) panel(panel Panel, colour int, x span, top, bottom float64) {
	var ys []float64
	for _, point := range panel.Points {
		ys = append(ys, point.Y)
	}
	y := newSpan(Axis{}, ys, bottom, top)
	for _, v := range []float64{0, y.high} {
		p.line(x.start, y.at(v), x.end, y.at(v), "grid")
		p.text(x.start-8, y.at(v)+4.5, "end", "", number(v))
	}
	p.text(x.start, top-5, "start", "", panel.Name)
	wide := 1.0
	if n := len(panel.Points); n > 1 {
		wide = (x.at(panel.Points[1].X) - x.at(panel.Points[0].X)) * 0.9
	}
	fmt.Fprintf(&p.b, `<path class="f%d" d="`, colour%len(palette()))
	for _, point := range panel.Points {
		if point.Y > 0 {
			fmt.Fprintf(&p.b, "M%.1f %.1fV%.1fh%.1fV%.1fz",
				x.at(point.X), bottom, y.at(point.Y), wide, bottom)
		}
	}
	p.b.WriteString("\"/>\n")
}
