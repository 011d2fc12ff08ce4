package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"lockd/client"
)

const (
	// MaxWatches bounds the watches of one node at one time. Each keeps a conn, of which
	// the listener must have more than that, for who asks how the node is; and, of a
	// prefix, memory for each name in use.
	MaxWatches = 64
	// usualWatch is how long a watch goes on unless it is told otherwise, longestWatch
	// at most.
	usualWatch, longestWatch = 10 * time.Minute, time.Hour
	// maxEvents bounds the events after which a watch ends.
	maxEvents = 1_000_000
	// maxKnownBytes bounds what tells what is known of a prefix, and maxKnownRoom what
	// all watches together keep of that.
	maxKnownBytes, maxKnownRoom = 16 << 20, 64 << 20
	// readTime is how long a reader may take to take an event.
	readTime = 30 * time.Second
)

// errWatched is the cause of the end of a watch that went on for as long as it was to.
var errWatched = errors.New("admin: watched for long enough")

// watchRequest is what a request to watch asks for.
type watchRequest struct {
	name   string
	opts   client.WatchOptions
	events int           // after which it ends; zero is never
	length time.Duration // after which it ends
	// room is that for what is known, of which the request has taken so much.
	room  *room
	taken int
}

// watch tells what becomes of a lock, or of all that begin so, as lines of JSON, or as
// server-sent events if that is what is accepted:
//
//	GET  /v1/watch?name=NAME[&from=VERSION][&events=N][&for=LENGTH]
//	GET  /v1/watch?name=PREFIX&prefix=true…
//	POST /v1/watch?name=PREFIX&prefix=true…   known events as lines in the body
//
// It answers when there is an event, or with nothing when the time is over. One event
// from a version on is a long poll.
func (h *handler) watch(w http.ResponseWriter, r *http.Request) {
	q := &watchRequest{room: &h.known}
	defer func() { q.room.give(q.taken) }()
	err := q.read(w, r)
	switch {
	case errors.Is(err, errNoRoom):
		fail(w, http.StatusTooManyRequests, err.Error())
		return
	case err != nil:
		failBody(w, err)
		return
	}
	select {
	case h.seats <- struct{}{}: // after the body, whose sender may be slow
		defer func() { <-h.seats }()
	default:
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("%d watches go on at this node, which is "+
			"its bound: ask another, or later", MaxWatches))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	locks, err := h.opts.Locks(ctx)
	cancel()
	if err != nil {
		failWith(w, err)
		return
	}
	ctx, cancel = context.WithTimeoutCause(r.Context(), q.length, errWatched)
	defer cancel()
	out := newWatchWriter(w, r)
	defer out.allow()
	for e, err := range locks.Watch(ctx, q.name, q.opts) {
		if err != nil {
			out.end(ctx, err)
			return
		}
		if out.event(&e) != nil {
			return // nobody reads it any more
		}
		if q.events--; q.events == 0 {
			return
		}
	}
}

// count takes room for what is known.
func (q *watchRequest) count(bytes int) error {
	if !q.room.take(bytes) {
		return errNoRoom
	}
	q.taken += bytes
	return nil
}

// read reads what is asked for.
func (q *watchRequest) read(w http.ResponseWriter, r *http.Request) error {
	q.name, q.length = r.FormValue("name"), usualWatch
	prefix, err := toggle(r, "prefix")
	if err != nil {
		return err
	}
	if prefix {
		q.opts.Prefix = client.NamePrefix
	} else if err := needName(r); err != nil {
		return err
	}
	if q.events, err = atMost(r, "events", 0, maxEvents); err != nil {
		return err
	}
	if text := r.FormValue("for"); text != "" {
		if q.length, err = time.ParseDuration(text); err != nil || q.length < time.Millisecond ||
			q.length > longestWatch {
			return fmt.Errorf("for is %q, must be 1ms to %v, as 30s", text, longestWatch)
		}
	}
	return q.readKnown(w, r, r.FormValue("from"))
}

// readKnown reads what is known already: of one lock a version, which a browser that
// comes back gives in a header, of a prefix events in the body.
func (q *watchRequest) readKnown(w http.ResponseWriter, r *http.Request, from string) error {
	prefix := q.opts.Prefix == client.NamePrefix
	var err error
	switch last := r.Header.Get("Last-Event-ID"); {
	case prefix && from != "":
		return errors.New("from is of one lock; of a prefix, what is known goes in the body of a POST")
	case r.Method == http.MethodPost && !prefix:
		return errors.New("a POST is for what is known of a prefix; of one lock, from is")
	case r.Method == http.MethodPost:
		if q.opts.Known, err = readKnown(http.MaxBytesReader(w, r.Body, maxKnownBytes),
			q.count); err != nil {
			return fmt.Errorf("the events in the body: %w", err)
		}
	case !prefix && last != "":
		q.opts.From, err = client.ParseVersion(last)
	case from != "":
		q.opts.From, err = client.ParseVersion(from)
	}
	return err
}

// watchWriter writes events as they come.
type watchWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stream  bool // as server-sent events
	begun   bool // the header is written
}

func newWatchWriter(w http.ResponseWriter, r *http.Request) *watchWriter {
	return &watchWriter{w: w, control: http.NewResponseController(w),
		stream: strings.Contains(r.Header.Get("Accept"), "text/event-stream")}
}

// begin writes the header, with the first event.
func (x *watchWriter) begin() {
	if x.begun {
		return
	}
	x.begun = true
	kind := "application/x-ndjson"
	if x.stream {
		kind = "text/event-stream"
	}
	x.w.Header().Set("Content-Type", kind)
	x.w.Header().Set("Cache-Control", "no-store")
}

// event writes one event and has it go out. An error says that nobody reads.
func (x *watchWriter) event(e *client.WatchEvent) error {
	x.begin()
	body := AppendEvent(nil, e, time.Now())
	if x.stream {
		body = fmt.Appendf(nil, "id: %v\ndata: %s\n", e.Version, body)
	}
	return x.send(body)
}

// allow gives the reader time for what is written next, the end included.
func (x *watchWriter) allow() {
	// What has no deadline has no reader who could be slow.
	_ = x.control.SetWriteDeadline(time.Now().Add(readTime))
}

func (x *watchWriter) send(body []byte) error {
	x.allow()
	if _, err := x.w.Write(body); err != nil {
		return err
	}
	return x.control.Flush()
}

// end says why a watch ends: nothing if it is because its time is over, or nobody is
// left to hear it.
func (x *watchWriter) end(ctx context.Context, err error) {
	switch {
	case errors.Is(context.Cause(ctx), errWatched):
		x.begin()
		_, _ = io.WriteString(x.w, "") // the header, if there was no event
	case ctx.Err() != nil:
	case !x.begun:
		failWith(x.w, err)
	default:
		body := appendError(nil, err.Error())
		if x.stream {
			body = fmt.Appendf(nil, "event: error\ndata: %s\n", body)
		}
		_ = x.send(body) // a reader that left has no use for it
	}
}
