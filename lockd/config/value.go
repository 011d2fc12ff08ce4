package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockd/lockfsm"
)

// set stores a value written as text. The error says what is wrong with it and
// what is allowed, without naming key or place.
func (s *setting) set(c *Config, text string) error {
	switch s.kind {
	case kindText, kindPath, kindAddress, kindChoice:
		if err := s.checkText(text); err != nil {
			return err
		}
		*s.at(c).(*string) = text
		return nil
	default:
		n, err := s.number(text)
		if err != nil {
			return err
		}
		s.store(c, n)
		return nil
	}
}

func (s *setting) checkText(text string) error {
	switch {
	case len(s.choices) > 0 && slices.Contains(s.choices, text):
		return nil
	case s.kind == kindChoice:
		return fmt.Errorf("%q is not one of %s", text, s.allowed())
	case s.kind == kindAddress:
		return checkAddress(text)
	case int64(len(text)) < s.min || int64(len(text)) > s.max:
		return fmt.Errorf("%q is %d bytes long, must be %s", text, len(text), s.allowed())
	}
	return nil
}

// checkAddress accepts host:port with a numeric port. An empty host means every
// interface, which only a listener can use; nodes check for themselves.
func checkAddress(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is not an address, must be host:port as in 127.0.0.1:7600", text)
	}
	return nil
}

// number reads a count, a size or a length of time and checks its range.
func (s *setting) number(text string) (int64, error) {
	var n int64
	var err error
	switch s.kind {
	case kindBytes:
		n, err = parseBytes(text)
	case kindDuration:
		var d time.Duration
		d, err = time.ParseDuration(text)
		n = int64(d)
	default:
		n, err = strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not %s, must be %s", text, s.kind.example(), s.allowed())
	}
	if n < s.min || n > s.max {
		return 0, fmt.Errorf("%s is out of range, must be %s", text, s.allowed())
	}
	return n, nil
}

func (k kind) example() string {
	switch k {
	case kindBytes:
		return `a size such as "64MiB"`
	case kindDuration:
		return `a length of time such as "200ms" or "10s"`
	default:
		return "a whole number"
	}
}

func (s *setting) store(c *Config, n int64) {
	switch p := s.at(c).(type) {
	case *int:
		*p = int(n)
	case *int64:
		*p = n
	case *uint16:
		*p = uint16(n)
	case *uint32:
		*p = uint32(n)
	case *time.Duration:
		*p = time.Duration(n)
	case *lockfsm.Millis:
		*p = lockfsm.Millis(n / ms)
	default:
		panic(fmt.Sprintf("config: setting %s points to a %T", s.key, p))
	}
}

// format writes the value as a file would.
func (s *setting) format(c *Config) string {
	switch p := s.at(c).(type) {
	case *string:
		return *p
	case *int:
		return s.formatNumber(int64(*p))
	case *int64:
		return s.formatNumber(*p)
	case *uint16:
		return s.formatNumber(int64(*p))
	case *uint32:
		return s.formatNumber(int64(*p))
	case *time.Duration:
		return s.formatNumber(int64(*p))
	case *lockfsm.Millis:
		return s.formatNumber(int64(*p) * ms)
	default:
		panic(fmt.Sprintf("config: setting %s points to a %T", s.key, p))
	}
}

func (s *setting) formatNumber(n int64) string {
	switch s.kind {
	case kindBytes:
		return formatBytes(n)
	case kindDuration:
		return formatDuration(time.Duration(n))
	default:
		return strconv.FormatInt(n, 10)
	}
}

// allowed says what a value may be.
func (s *setting) allowed() string {
	switch {
	case s.kind == kindChoice:
		return strings.Join(s.choices, ", ")
	case s.kind == kindAddress && len(s.choices) > 0:
		return "host:port, or " + strings.Join(s.choices, ", ")
	case s.kind == kindAddress:
		return "host:port"
	case s.kind == kindText || s.kind == kindPath:
		return fmt.Sprintf("%d to %d bytes", s.min, s.max)
	default:
		return s.formatNumber(s.min) + " to " + s.formatNumber(s.max)
	}
}

// units are the sizes a number of bytes may be written in, largest first.
func units() []struct {
	name  string
	bytes int64
} {
	return []struct {
		name  string
		bytes int64
	}{{"TiB", 1 << 40}, {"GiB", gib}, {"MiB", mib}, {"KiB", kib}, {"B", 1}}
}

func parseBytes(text string) (int64, error) {
	factor := int64(1)
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			text, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > (1<<62)/factor {
		return 0, fmt.Errorf("%d × %d bytes", n, factor)
	}
	return n * factor, nil
}

func formatBytes(n int64) string {
	for _, u := range units() {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// formatDuration drops the zero minutes and seconds of time.Duration's form.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
