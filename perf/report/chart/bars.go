package chart

import (
	"fmt"
	"slices"
)

const (
	// barSpan is the part of a row that its bar fills.
	barSpan = 0.62
	// barCut is how many times the middle bar an axis reaches: what is longer is
	// shrunk to the edge, and its number says how long it is.
	barCut = 3.0
)

// Bar is one bar of parts. A bar names all parts of the chart, in their order;
// zero parts do not show.
type Bar struct {
	Name  string
	Parts []float64
}

// Bars is a chart of horizontal bars, the first on top.
type Bars struct {
	Title string
	// Axis is for the lengths. It is linear, because parts of a bar are.
	Axis  string
	Parts []string
	Bars  []Bar
}

// SVG draws the chart.
func (c Bars) SVG() []byte {
	var totals []float64
	for _, bar := range c.Bars {
		totals = append(totals, sum(bar.Parts))
	}
	shown := slices.Clone(totals)
	if len(totals) > 0 {
		sorted := slices.Sorted(slices.Values(totals))
		limit := sorted[len(sorted)/2] * barCut
		for i := range shown {
			shown[i] = min(shown[i], limit)
		}
	}
	p := newPicture(c.Title)
	x := newSpan(Axis{Name: c.Axis}, shown, plotLeft+40, plotRight-50)
	p.across(x, plotTop)
	row := (plotEnd - plotTop) / float64(max(1, len(c.Bars)))
	for i, bar := range c.Bars {
		top := plotTop + float64(i)*row
		p.bar(bar, totals[i], x, top+row*(1-barSpan)/2, row*barSpan)
	}
	p.line(x.start, plotTop, x.start, plotEnd, "axis")
	for i, name := range c.Parts {
		y := plotTop + 8 + float64(i)*lineHeight
		p.rect(plotRight+36, y-6, 12, 12, i)
		p.text(plotRight+54, y+4.5, "start", "", cut(name))
	}
	return p.svg()
}

func sum(parts []float64) float64 {
	var total float64
	for _, part := range parts {
		total += part
	}
	return total
}

// bar draws one bar with its name and its total.
func (p *picture) bar(bar Bar, total float64, x span, top, thick float64) {
	p.text(x.start-8, top+thick/2+4.5, "end", "", bar.Name)
	from, shrink := 0.0, 1.0
	if total > x.high {
		shrink = x.high / total
	}
	for i, part := range bar.Parts {
		to := from + part*shrink
		if to > from {
			p.rect(x.at(from), top, x.at(to)-x.at(from), thick, i)
		}
		from = to
	}
	text := number(total)
	if total > x.high {
		text = fmt.Sprintf("» %s", text)
	}
	p.text(x.at(min(total, x.high))+5, top+thick/2+4.5, "start", "", text)
}
