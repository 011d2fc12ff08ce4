package chart

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The picture, in its own units, and the plot in it.
const (
	width     = 900.0
	height    = 460.0
	plotLeft  = 84.0
	plotRight = width - 190
	plotTop   = 52.0
	plotEnd   = height - 58
	// legendChars is how much of a name fits beside the plot, and charWidth how
	// wide a letter is at most.
	legendChars = 18
	charWidth   = 7.8
	lineHeight  = 21.0
	// tickGap is the least distance of two rows of numbers.
	tickGap = 15.0
)

// palette is the colours of series on a light and on a dark ground, told apart by
// most people who cannot tell red from green.
func palette() [][2]string {
	return [][2]string{
		{"#0057b7", "#62a8ff"}, {"#d1410c", "#ff8a5c"}, {"#0b7d4f", "#4fd197"},
		{"#7a3fb0", "#c39aff"}, {"#a06a00", "#f0c04a"}, {"#00778f", "#4fd0e6"},
		{"#b3206b", "#ff86bf"}, {"#5b5b5b", "#b5b5b5"},
	}
}

// dashes are the patterns that tell apart what has one colour.
func dashes() []string { return []string{"", "6 4", "2 3", "9 3 2 3"} }

// picture is an SVG under way.
type picture struct{ b strings.Builder }

// newPicture begins a picture with its style sheet, ground and title.
func newPicture(title string) *picture {
	p := &picture{}
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" `+
		`role="img" aria-label="%s">`+"\n<style>\n", width, height, escape(title))
	p.b.WriteString("text{font:13px system-ui,sans-serif;fill:#1f2328}\n" +
		".title{font-size:16px;font-weight:600}\n.ground{fill:#ffffff}\n" +
		".grid{stroke:#d5d9de;stroke-width:1}\n.axis{stroke:#59636e;stroke-width:1.2}\n" +
		".line{fill:none;stroke-width:2;stroke-linejoin:round}\n")
	for i, colour := range palette() {
		fmt.Fprintf(&p.b, ".s%d{stroke:%s}.f%d{fill:%s}\n", i, colour[0], i, colour[0])
	}
	p.b.WriteString("@media (prefers-color-scheme:dark){\ntext{fill:#e6edf3}\n" +
		".ground{fill:#0d1117}\n.grid{stroke:#30363d}\n.axis{stroke:#9198a1}\n")
	for i, colour := range palette() {
		fmt.Fprintf(&p.b, ".s%d{stroke:%s}.f%d{fill:%s}\n", i, colour[1], i, colour[1])
	}
	fmt.Fprintf(&p.b, "}\n</style>\n<rect class=\"ground\" width=\"%g\" height=\"%g\"/>\n",
		width, height)
	p.text(plotLeft, 28, "start", "title", title)
	return p
}

// svg ends the picture.
func (p *picture) svg() []byte {
	p.b.WriteString("</svg>\n")
	return []byte(p.b.String())
}

// text writes a text whose anchor is start, middle or end.
func (p *picture) text(x, y float64, anchor, class, text string) {
	if class != "" {
		class = fmt.Sprintf(` class="%s"`, class)
	}
	fmt.Fprintf(&p.b, `<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n",
		x, y, anchor, class, escape(text))
}

// line draws a straight line of a class.
func (p *picture) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&p.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`+"\n",
		x1, y1, x2, y2, class)
}

// rect fills a rectangle with the colour of a series.
func (p *picture) rect(x, y, w, h float64, colour int) {
	fmt.Fprintf(&p.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="f%d"/>`+"\n",
		x, y, w, h, colour%len(palette()))
}

// across draws the axis below the plot; its grid begins at a height.
func (p *picture) across(s span, gridTop float64) {
	last := -width
	for _, v := range s.ticks() {
		x, text := s.at(v), number(v)
		p.line(x, gridTop, x, plotEnd+4, "grid")
		half := float64(utf8.RuneCountInString(text)) * charWidth / 2
		if x-half < last+6 {
			continue
		}
		p.text(x, plotEnd+18, "middle", "", text)
		last = x + half
	}
	p.line(s.start, plotEnd, s.end, plotEnd, "axis")
	p.text((s.start+s.end)/2, height-14, "middle", "", s.axis.Name)
}

// up draws the axis beside the plot.
func (p *picture) up(s span) {
	last := height * 2
	for _, v := range s.ticks() {
		y := s.at(v)
		p.line(plotLeft, y, plotRight, y, "grid")
		if last-y < tickGap {
			continue
		}
		p.text(plotLeft-8, y+4.5, "end", "", number(v))
		last = y
	}
	p.line(plotLeft, plotTop, plotLeft, plotEnd, "axis")
	p.beside(s.axis.Name)
}

// beside writes the name of the axis up.
func (p *picture) beside(name string) {
	middle := (plotTop + plotEnd) / 2
	fmt.Fprintf(&p.b, `<text x="20" y="%.1f" text-anchor="middle" transform="rotate(-90 20 %.1f)">`+
		"%s</text>\n", middle, middle, escape(name))
}

// cut shortens a name to what fits beside the plot.
func cut(name string) string {
	if utf8.RuneCountInString(name) <= legendChars {
		return name
	}
	return string([]rune(name)[:legendChars-1]) + "…"
}

func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(text)
}
