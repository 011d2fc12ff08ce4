package netio

import (
	"fmt"
	"strings"
	"sync"
)

// keptErrors is the number of lines gnet logs when its loops end.
const keptErrors = 4

// logger takes gnet's log lines: errors and warnings go to logf, the rest
// nowhere. It keeps the last errors, because gnet logs step by step why its loops
// end and then returns nil. Safe for concurrent use.
type logger struct {
	logf func(format string, args ...any)

	mu struct {
		sync.Mutex
		errors []string // the last keptErrors
	}
}

// Debugf drops the line.
func (l *logger) Debugf(string, ...any) {}

// Infof drops the line.
func (l *logger) Infof(string, ...any) {}

// Warnf passes the line on.
func (l *logger) Warnf(format string, args ...any) {
	if l.logf != nil {
		l.logf("netio: gnet: "+format, args...)
	}
}

// Errorf passes the line on and keeps it.
func (l *logger) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	if len(l.mu.errors) == keptErrors {
		l.mu.errors = append(l.mu.errors[:0], l.mu.errors[1:]...)
	}
	l.mu.errors = append(l.mu.errors, text)
	l.mu.Unlock()
	l.Warnf("%s", text)
}

// Fatalf panics: gnet expects it not to return.
func (l *logger) Fatalf(format string, args ...any) {
	panic("netio: gnet: " + fmt.Sprintf(format, args...))
}

// last returns the last error lines.
func (l *logger) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.mu.errors, "; ")
}
