package admin

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/valyala/fastjson"

	"lockd/client"
)

// ErrNoEvent is wrapped by what is said of a line that is no event.
var ErrNoEvent = errors.New("admin: no event")

// maxEventBytes bounds a line of an event: names may come twice, one of them escaped.
const maxEventBytes = 64 << 10

// eventBegin is how AppendEvent begins, which is nowhere else in a line: in a text every
// quotation mark has a backslash before it.
const eventBegin = `{"at":`

// ReadKnown reads events as AppendEvent wrote them, one a line, and returns of each
// name the version of the last. A line that is not whole, as who was stopped while it
// wrote leaves it, does not count: neither at the end nor, where somebody wrote on, before
// the event that it then has on its line. What it told is told anew.
func ReadKnown(r io.Reader) (map[string]client.Version, error) {
	return readKnown(r, func(int) error { return nil })
}

// knownBytes is what a name that is known takes beside itself: places in two maps, ours
// and the client's.
const knownBytes = 128

// readKnown does it, and has each name counted first with what it takes.
func readKnown(r io.Reader, count func(bytes int) error) (map[string]client.Version, error) {
	known := make(map[string]client.Version)
	lines := bufio.NewReaderSize(r, maxEventBytes)
	for k := 1; ; k++ {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return known, nil
		}
		if err != nil {
			return nil, fmt.Errorf("admin: line %d of events: %w", k, err)
		}
		name, v, err := parseEvent(line)
		if at := bytes.LastIndex(line, []byte(eventBegin)); err != nil && at > 0 {
			name, v, err = parseEvent(line[at:])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", k, err)
		}
		if _, ok := known[name]; !ok {
			if err := count(len(name) + knownBytes); err != nil {
				return nil, err
			}
		}
		known[name] = v
	}
}

// errNoRoom says that the watches of this node know as much as they may.
var errNoRoom = fmt.Errorf("what the watches at this node know takes all of the %d MiB that "+
	"there are for it: ask another, or later, or with less", maxKnownRoom>>20)

// room is memory that requests share: what all watches know, what all answers say.
type room struct {
	taken atomic.Int64
	most  int64
}

// take takes some of it, and reports whether there was so much.
func (x *room) take(bytes int) bool {
	if x.taken.Add(int64(bytes)) > x.most {
		x.give(bytes)
		return false
	}
	return true
}

func (x *room) give(bytes int) { x.taken.Add(-int64(bytes)) }

// parseEvent returns the name and the version of an event.
func parseEvent(line []byte) (string, client.Version, error) {
	x, err := fastjson.ParseBytes(line)
	if err != nil {
		return "", client.Version{}, fmt.Errorf("%w: %w", ErrNoEvent, err)
	}
	name := x.GetStringBytes("name")
	if coded := x.GetStringBytes("name_base64"); coded != nil {
		if name, err = base64.StdEncoding.DecodeString(string(coded)); err != nil {
			return "", client.Version{}, fmt.Errorf("%w: name: %w", ErrNoEvent, err)
		}
	}
	if name == nil {
		return "", client.Version{}, fmt.Errorf("%w: it has no name", ErrNoEvent)
	}
	v, err := client.ParseVersion(string(x.GetStringBytes("version")))
	if err != nil {
		return "", v, fmt.Errorf("%w: %w", ErrNoEvent, err)
	}
	return string(name), v, nil
}
