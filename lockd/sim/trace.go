package sim

import (
	"fmt"
	"io"
)

// trace is the fingerprint of a run: everything that happens is mixed into it,
// and printed if somebody wants to read it.
type trace struct {
	hash  uint64
	print io.Writer // nil for nobody
}

// note mixes in that something of a kind happened.
func (w *World) note(kind string, numbers ...uint64) {
	h := w.trace.hash
	for i := 0; i < len(kind); i++ {
		h = (h ^ uint64(kind[i])) * 1099511628211
	}
	h = (h ^ uint64(w.agenda.Now())) * 1099511628211
	for _, n := range numbers {
		h = (h ^ n) * 1099511628211
		h ^= h >> 29
	}
	w.trace.hash = h
	if w.trace.print != nil {
		fmt.Fprintf(w.trace.print, "%12.6f %s", float64(w.agenda.Now())/1e9, kind)
		for _, n := range numbers {
			fmt.Fprintf(w.trace.print, " %d", n)
		}
		fmt.Fprintln(w.trace.print)
	}
}

// say prints a line for people; it is not part of the fingerprint.
func (w *World) say(format string, args ...any) {
	if w.trace.print != nil {
		fmt.Fprintf(w.trace.print, "%12.6f %s\n", float64(w.agenda.Now())/1e9,
			fmt.Sprintf(format, args...))
	}
}
