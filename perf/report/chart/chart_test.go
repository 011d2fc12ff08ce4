package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden pictures")

// golden compares a picture with the one in testdata, which people have looked
// at, and checks that it is XML.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(got))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is no XML: %v", name, err)
		}
	}
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from the golden picture; look at it after "+
			"go test ./report/chart -args -rewrite", name)
	}
}

func sampleLines() Lines {
	c := Lines{
		Title: "Throughput, uncontended & synced",
		X:     Axis{Name: "callers", Scale: Log, Ticks: []float64{1, 5, 20, 80, 320}},
		Y:     Axis{Name: "pairs/s", Scale: Log},
	}
	for i, name := range []string{"lockd", "redis", "a name much too long for any legend"} {
		line := Line{Name: name, Colour: i, Dash: i}
		for j, workers := range []float64{1, 5, 20, 80, 320} {
			line.Points = append(line.Points, Point{workers, 500 * math.Pow(3, float64(i+j)/1.5)})
		}
		c.Lines = append(c.Lines, line)
	}
	// A logarithmic axis has no place for nothing.
	c.Lines[2].Points = append(c.Lines[2].Points, Point{640, 0})
	return c
}

func TestLines(t *testing.T) { golden(t, "lines.svg", sampleLines().SVG()) }

func TestPanels(t *testing.T) {
	c := Panels{
		Title: "Failover", X: "seconds after the kill", Y: "pairs in 10 ms", EventName: "kill -9",
	}
	for i, name := range []string{"lockd", "etcd"} {
		panel := Panel{Name: name}
		for j := range 70 {
			y := float64(50+5*(j%3)) / float64(1+20*i)
			if j >= 10 && j < 20+20*i {
				y = 0
			}
			panel.Points = append(panel.Points, Point{float64(j-10) / 20, y})
		}
		c.Panels = append(c.Panels, panel)
	}
	golden(t, "panels.svg", c.SVG())
}

func TestBars(t *testing.T) {
	golden(t, "bars.svg", Bars{
		Title: "CPU of a pair", Axis: "µs of CPU per pair", Parts: []string{"client", "node 1", "node 2"},
		Bars: []Bar{
			{"lockd", []float64{12, 13, 12}}, {"redis", []float64{19, 12, 0}},
			{"zookeeper", []float64{140, 1400, 1300}},
		},
	}.SVG())
}

func TestNothingToDraw(t *testing.T) {
	for _, svg := range [][]byte{(Lines{}).SVG(), (Bars{}).SVG(), (Panels{}).SVG()} {
		if !bytes.HasSuffix(svg, []byte("</svg>\n")) || bytes.Contains(svg, []byte("NaN")) {
			t.Errorf("got %s, want an empty picture", svg)
		}
	}
}

func TestLegendFits(t *testing.T) {
	svg := string(sampleLines().SVG())
	if strings.Contains(svg, "too long for any legend") || !strings.Contains(svg, "…") {
		t.Error("a long name is not cut")
	}
	if right := plotRight + 44 + legendChars*charWidth; right > width {
		t.Errorf("a name of %d letters ends at %v of %v", legendChars, right, width)
	}
}

func TestTicks(t *testing.T) {
	tests := []struct {
		axis   Axis
		values []float64
		want   []float64
	}{
		{Axis{}, []float64{0, 47}, []float64{0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50}},
		{Axis{}, []float64{0, 0.9}, []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}},
		{Axis{Scale: Log}, []float64{9, 110}, []float64{10, 20, 50, 100}},
		{Axis{Scale: Log}, []float64{1, 1e5}, []float64{1, 10, 100, 1e3, 1e4, 1e5}},
		{Axis{Scale: Log, Ticks: []float64{1, 20}}, []float64{1, 5}, []float64{1}},
	}
	for _, test := range tests {
		got := newSpan(test.axis, test.values, 0, 100).ticks()
		same := slices.EqualFunc(got, test.want,
			func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
		if !same {
			t.Errorf("ticks of %v: got %v, want %v", test.values, got, test.want)
		}
	}
}

func TestNumber(t *testing.T) {
	tests := map[float64]string{
		0: "0", 0.25: "0.25", 40: "40", 1500: "1.5k", 120000: "120k", 2e6: "2M", 0.00001: "0.00001",
	}
	for v, want := range tests {
		if got := number(v); got != want {
			t.Errorf("number(%v): got %q, want %q", v, got, want)
		}
	}
}
