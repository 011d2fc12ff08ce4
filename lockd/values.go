package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// span is a flag for a length of time between two bounds, and zero if that has a
// meaning of its own.
type span struct {
	to          *time.Duration
	least, most time.Duration
	zero        zeroMeans
}

// zeroMeans says whether zero is allowed below the least.
type zeroMeans uint8

const (
	zeroIsWrong zeroMeans = iota
	zeroIsNone
)

// declareSpan declares a flag for a length of time with its bounds; most zero is no
// bound. A negative default shows as none.
func declareSpan(flags *flag.FlagSet, s span, name string, value time.Duration, usage string) {
	*s.to = value
	flags.Var(&s, name, usage)
}

// String makes it a flag.Value.
func (s *span) String() string {
	if s.to == nil || *s.to < 0 {
		return ""
	}
	return spanText(*s.to)
}

// Set makes it a flag.Value.
func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return fmt.Errorf("a unit is missing: write %ss, %sms or %sm", text, text, text)
		}
		return errors.New("must be a length of time such as 500ms, 10s or 1h30m")
	}
	if d == 0 && s.zero == zeroIsNone {
		*s.to = 0
		return nil
	}
	switch {
	case d < s.least && s.most == 0:
		return fmt.Errorf("must be %s or more", spanText(s.least))
	case d < s.least || s.most > 0 && d > s.most:
		return fmt.Errorf("must be %s to %s", spanText(s.least), spanText(s.most))
	}
	*s.to = d
	return nil
}

// spanText writes a length without units of zero at its end: 1h, not 1h0m0s.
func spanText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// number is a flag for a whole number between two bounds.
type number struct {
	to          *int
	least, most int
}

// declareNumber declares a flag for a whole number with its bounds.
func declareNumber(flags *flag.FlagSet, n number, name string, value int, usage string) {
	*n.to = value
	flags.Var(&n, name, usage)
}

// String makes it a flag.Value. A default below the least shows as none.
func (n *number) String() string {
	if n.to == nil || *n.to < n.least {
		return ""
	}
	return strconv.Itoa(*n.to)
}

// Set makes it a flag.Value.
func (n *number) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < n.least || v > n.most {
		return fmt.Errorf("must be a whole number, %d to %d", n.least, n.most)
	}
	*n.to = v
	return nil
}

// choice is a flag that takes one of a few words.
type choice struct {
	to    *string
	words []string
}

// declareChoice declares a flag that takes one of a few words.
func declareChoice(flags *flag.FlagSet, c choice, name, value, usage string) {
	*c.to = value
	flags.Var(&c, name, usage)
}

// String makes it a flag.Value.
func (c *choice) String() string {
	if c.to == nil {
		return ""
	}
	return *c.to
}

// Set makes it a flag.Value.
func (c *choice) Set(text string) error {
	for _, word := range c.words {
		if text == word {
			*c.to = text
			return nil
		}
	}
	return fmt.Errorf("must be %s", orList(c.words))
}

// orList is "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// betterValueError says what is wrong with the value of a flag as the house does,
// where the flag package says that it does not parse.
func betterValueError(text string) (string, bool) {
	rest, ok := strings.CutPrefix(text, "invalid value ")
	value, err := strconv.QuotedPrefix(rest)
	if !ok || err != nil {
		return "", false
	}
	name, problem, ok := strings.Cut(strings.TrimPrefix(rest[len(value):], " for flag -"), ": ")
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%s is %s: %s", dashed(name), value, problem), true
}

// dashed is a flag as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
