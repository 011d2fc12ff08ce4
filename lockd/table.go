package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table is rows of text under a header. On a terminal columns are aligned; in a
// pipe they are separated by tabs, one row a line, so that cut and awk read
// them.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// print writes the table.
func (t *table) print(sh *shell) error {
	if !isTerminal(sh.out) {
		for _, row := range append([][]string{t.header}, t.rows...) {
			if _, err := fmt.Fprintln(sh.out, strings.Join(row, "\t")); err != nil {
				return err
			}
		}
		return nil
	}
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	bold, plain := "\x1b[1m", "\x1b[0m"
	if sh.getenv("NO_COLOR") != "" || sh.getenv("TERM") == "dumb" {
		bold, plain = "", ""
	}
	_, err := fmt.Fprintln(sh.out, bold+aligned(t.header, widths)+plain)
	for _, row := range t.rows {
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(sh.out, aligned(row, widths))
	}
	return err
}

func aligned(row []string, widths []int) string {
	var b strings.Builder
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
	}
	return b.String()
}

// printable quotes a text that would confuse a terminal or a reader of columns:
// names are bytes of somebody else's choice.
func printable(text string) string {
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}

// isTerminal says whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && !os.SameFile(info, nullDevice())
}

// nullDevice describes the one character device that is no terminal and to
// which output often goes.
func nullDevice() os.FileInfo {
	info, err := os.Stat(os.DevNull)
	if err != nil {
		return nil
	}
	return info
}

// getenv looks a variable up in the environment of the shell.
func (sh *shell) getenv(name string) string {
	for i := len(sh.env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(sh.env[i], name+"="); ok {
			return value
		}
	}
	return ""
}
