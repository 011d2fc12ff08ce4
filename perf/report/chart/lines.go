package chart

import "fmt"

// Point is one place of a line.
type Point struct{ X, Y float64 }

// Line is one line and its entry in the legend.
type Line struct {
	Name string
	// Colour and Dash are numbers of a palette; they come round again.
	Colour, Dash int
	Points       []Point
}

// Lines is a chart of lines.
type Lines struct {
	Title string
	X, Y  Axis
	Lines []Line
}

// SVG draws the chart.
func (c Lines) SVG() []byte {
	var xs, ys []float64
	for _, line := range c.Lines {
		for _, point := range line.Points {
			xs, ys = append(xs, point.X), append(ys, point.Y)
		}
	}
	p := newPicture(c.Title)
	x := newSpan(c.X, xs, plotLeft, plotRight)
	if c.X.Scale == Linear && len(xs) > 0 { // the axis across ends where the data do
		x.low, x.high = ends(xs)
	}
	y := newSpan(c.Y, ys, plotEnd, plotTop)
	p.across(x, plotTop)
	p.up(y)
	for _, line := range c.Lines {
		p.curve(line, x, y)
	}
	for i, line := range c.Lines {
		p.entry(i, line)
	}
	return p.svg()
}

// ends are the least and the greatest of some numbers, a little apart at least.
func ends(values []float64) (low, high float64) {
	low, high = values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if low == high {
		high++
	}
	return low, high
}

// curve draws one line and its marks.
func (p *picture) curve(line Line, x, y span) {
	colour := line.Colour % len(palette())
	var places [][2]float64
	for _, point := range line.Points {
		if x.shows(point.X) && y.shows(point.Y) {
			places = append(places, [2]float64{x.at(point.X), y.at(point.Y)})
		}
	}
	fmt.Fprintf(&p.b, `<polyline class="line s%d"%s points="`, colour, dash(line.Dash))
	for i, place := range places {
		if i > 0 {
			p.b.WriteByte(' ')
		}
		fmt.Fprintf(&p.b, "%.1f,%.1f", place[0], place[1])
	}
	p.b.WriteString("\"/>\n")
	for _, place := range places {
		fmt.Fprintf(&p.b, `<circle cx="%.1f" cy="%.1f" r="3" class="f%d"/>`+"\n",
			place[0], place[1], colour)
	}
}

// entry draws a line's entry of the legend.
func (p *picture) entry(i int, line Line) {
	y := plotTop + 8 + float64(i)*lineHeight
	fmt.Fprintf(&p.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="line s%d"%s/>`+"\n",
		plotRight+12, y, plotRight+38, y, line.Colour%len(palette()), dash(line.Dash))
	p.text(plotRight+44, y+4.5, "start", "", cut(line.Name))
}

func dash(number int) string {
	pattern := dashes()[number%len(dashes())]
	if pattern == "" {
		return ""
	}
	return fmt.Sprintf(` stroke-dasharray="%s"`, pattern)
}
