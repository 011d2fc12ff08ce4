package mutants

import (
	"errors"
	"fmt"
	"strings"
)

// Mutant is one rule taken out, and the test that has to notice.
type Mutant struct {
	Row   string
	Rule  string
	Edits []Edit
	// Package and Test are what must fail; Tags are its build tags.
	Package, Test, Tags string
}

// Edit is one change of a file.
type Edit struct {
	// File is relative to the root of the module; Place names the function.
	File, Place string
	// Old stands in the file once; New takes its place.
	Old, New string
}

// ErrList means that a list of mutants does not parse.
var ErrList = errors.New("mutants: bad list")

// Parse reads a list.
func Parse(text string) ([]Mutant, error) {
	var all []Mutant
	for n, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		m, err := parseOne(paragraph)
		if err != nil {
			return nil, fmt.Errorf("%w: paragraph %d: %w", ErrList, n+1, err)
		}
		all = append(all, m)
	}
	return all, nil
}

func parseOne(paragraph string) (m Mutant, err error) {
	for _, line := range strings.Split(paragraph, "\n") {
		last := len(m.Edits) - 1
		switch {
		case strings.HasPrefix(line, "-") && last >= 0:
			m.Edits[last].Old += line[1:] + "\n"
			continue
		case strings.HasPrefix(line, "+") && last >= 0:
			m.Edits[last].New += line[1:] + "\n"
			continue
		}
		key, value, _ := strings.Cut(line, ": ")
		first, rest, _ := strings.Cut(value, " ")
		switch key {
		case "row":
			m.Row = value
		case "rule":
			m.Rule = value
		case "file":
			m.Edits = append(m.Edits, Edit{File: first, Place: rest})
		case "test":
			m.Package, m.Test = first, rest
		case "tags":
			m.Tags = value
		default:
			return m, fmt.Errorf("line %q is none of the kinds there are", line)
		}
	}
	complete := m.Row != "" && m.Rule != "" && m.Test != "" && len(m.Edits) > 0
	for _, e := range m.Edits {
		complete = complete && e.Old != "" && e.Old != e.New
	}
	if !complete {
		return m, fmt.Errorf("row, rule, file, old lines or test are missing in %q", paragraph)
	}
	return m, nil
}
