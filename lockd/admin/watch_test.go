package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// watchedLocks yields events to every watch; then an error, or what its context says
// when that ends.
type watchedLocks struct {
	fakeLocks
	events []client.WatchEvent
	broken error
	asked  string
	opts   client.WatchOptions
	begun  chan struct{} // has one entry for each watch that began, if there is room
}

func (f *watchedLocks) Watch(ctx context.Context, name string,
	opts client.WatchOptions) iter.Seq2[client.WatchEvent, error] {
	return func(yield func(client.WatchEvent, error) bool) {
		f.asked, f.opts = name, opts
		for _, e := range f.events {
			if !yield(e, nil) {
				return
			}
		}
		select {
		case f.begun <- struct{}{}:
		default:
		}
		if f.broken == nil {
			<-ctx.Done()
			yield(client.WatchEvent{}, ctx.Err())
			return
		}
		yield(client.WatchEvent{}, f.broken)
	}
}

func (f *watchedLocks) handler() http.Handler {
	return NewHandler(Options{Locks: func(context.Context) (Locks, error) { return f, nil }})
}

// ask sends one request to watch.
func (f *watchedLocks) ask(method, query, body string, header ...string) (int, string, string) {
	r := httptest.NewRequest(method, "/v1/watch?"+query, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.handler().ServeHTTP(w, r)
	return w.Code, w.Header().Get("Content-Type"), w.Body.String()
}

func twoEvents() []client.WatchEvent {
	return []client.WatchEvent{{Name: "a", Version: client.Version{Slot: 7, State: 10}},
		{Name: "a", Version: client.Version{Slot: 8, State: 11}, Holders: 1, Client: "x\ny", Token: 3}}
}

func TestWatchOverHTTP(t *testing.T) {
	f := &watchedLocks{events: twoEvents()}
	code, kind, body := f.ask("GET", "name=a%2Fb&events=2&from=6-a", "")
	lines := strings.Split(body, "\n")
	if code != 200 || kind != "application/x-ndjson" || len(lines) != 3 || f.asked != "a/b" ||
		f.opts.From != (client.Version{Slot: 6, State: 10}) || f.opts.Prefix != client.ExactName {
		t.Fatalf("got %d %s %q, asked %q with %+v", code, kind, body, f.asked, f.opts)
	}
	for i, line := range lines[:2] {
		if want := fmt.Sprintf(`"slot":%d`, 7+i); !json.Valid([]byte(line)) ||
			!strings.Contains(line, want) {
			t.Errorf("got %q, want %s in it", line, want)
		}
	}
	if _, _, body := f.ask("GET", "name=a&events=1", ""); strings.Count(body, "\n") != 1 {
		t.Errorf("one event: got %q", body)
	}
	// The time is over: all that was, and no word of that.
	if code, _, got := f.ask("GET", "name=a&for=20ms", ""); code != 200 ||
		strings.Count(got, "\n") != 2 || strings.Contains(got, "error") {
		t.Errorf("a watch that is over: got %d %q", code, got)
	}
	f.events = nil
	if code, kind, got := f.ask("GET", "name=a&for=1ms", ""); code != 200 || got != "" ||
		kind != "application/x-ndjson" {
		t.Errorf("nothing happened: got %d %s %q", code, kind, got)
	}
}

// Server-sent events carry the version by which a browser goes on when it comes back.
func TestWatchAsServerSentEvents(t *testing.T) {
	f := &watchedLocks{events: twoEvents(), broken: errors.New("gone")}
	code, kind, body := f.ask("GET", "name=a&from=1-1", "", "Accept", "text/event-stream",
		"Last-Event-ID", "6-a")
	parts := strings.Split(body, "\n\n")
	if code != 200 || kind != "text/event-stream" || len(parts) != 4 ||
		f.opts.From != (client.Version{Slot: 6, State: 10}) {
		t.Fatalf("got %d %s %q, asked from %v", code, kind, body, f.opts.From)
	}
	for i, begin := range []string{"id: 7-000000000000000a\ndata: {",
		"id: 8-000000000000000b\ndata: {", "event: error\ndata: {"} {
		if _, data, _ := strings.Cut(parts[i], "data: "); !strings.HasPrefix(parts[i], begin) ||
			!json.Valid([]byte(data)) {
			t.Errorf("got %q, want it to begin with %q and be JSON", parts[i], begin)
		}
	}
	f.opts.From = client.Version{}
	if code, _, _ := f.ask("GET", "name=a&prefix=true&events=1", "", "Last-Event-ID",
		"6-a"); code != 200 || f.opts.From != (client.Version{}) {
		t.Errorf("of a prefix: got %d, from %v, want it begun anew", code, f.opts.From)
	}
}

// What is known of a prefix comes as it was printed, whatever its type is said to be.
func TestWatchOverHTTPGoesOnFromKnown(t *testing.T) {
	f := &watchedLocks{events: twoEvents()}
	_, _, all := f.ask("GET", "prefix=true&events=2", "")
	code, _, _ := f.ask("POST", "name=a&prefix=true&events=2", all, "Content-Type",
		"application/x-www-form-urlencoded")
	want := map[string]client.Version{"a": {Slot: 8, State: 11}}
	if code != 200 || f.opts.Prefix != client.NamePrefix || !maps.Equal(f.opts.Known, want) {
		t.Errorf("got %d, known %v, want %v", code, f.opts.Known, want)
	}
	all = strings.Repeat(all, maxKnownBytes/len(all)+1)
	if code, _, body := f.ask("POST", "prefix=true", all); code != 400 ||
		!strings.Contains(body, "too large") {
		t.Errorf("too much: got %d %s, want 400", code, body)
	}
}

func TestWatchOverHTTPRefuses(t *testing.T) {
	f := &watchedLocks{broken: client.ErrBusy}
	for _, row := range []struct {
		method, query, body string
		code                int
		says                string
	}{
		{"GET", "", "", 400, "name is missing"},
		{"GET", "name=a&from=x", "", 400, "SLOT-STATE"},
		{"GET", "name=a&prefix=true&from=7-a", "", 400, "from is of one lock"},
		{"GET", "name=a&prefix=1", "", 400, "prefix is"},
		{"GET", "name=a&events=0", "", 400, "events is"},
		{"GET", "name=a&for=2h", "", 400, "for is"},
		{"GET", "name=a&for=0s", "", 400, "for is"},
		{"POST", "name=a", "", 400, "a POST is for"},
		{"POST", "prefix=true", "nonsense\n", 400, "line 1"},
		{"GET", "name=a", "", 429, "busy"},
		{"PUT", "name=a", "", 405, ""},
	} {
		code, _, body := f.ask(row.method, row.query, row.body)
		if code != row.code || !strings.Contains(body, row.says) {
			t.Errorf("%s %s: got %d %s, want %d and %q", row.method, row.query, code, body, row.code,
				row.says)
		}
	}
	f.events = twoEvents()
	code, _, body := f.ask("GET", "name=a", "")
	if lines := strings.Split(body, "\n"); code != 200 || len(lines) != 4 ||
		!strings.HasPrefix(lines[2], `{"error":`) {
		t.Errorf("an error after events: got %d %q, want it as the last line", code, body)
	}
}

// TestWatchesAreBounded proves that a node has a bounded number of watches, that an event
// goes out before the watch ends, and that a reader who leaves makes room.
func TestWatchesAreBounded(t *testing.T) {
	f := &watchedLocks{events: twoEvents()[:1], begun: make(chan struct{}, MaxWatches)}
	server := httptest.NewServer(f.handler())
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	get := func(ctx context.Context, query string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/v1/watch?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	for range MaxWatches {
		res := get(ctx, "name=a")
		if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil ||
			!strings.Contains(line, `"slot":7`) {
			t.Fatalf("got %q, %v, want an event while the watch goes on", line, err)
		}
		<-f.begun
	}
	if res := get(t.Context(), "name=a"); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one too many: got %s, want 429", res.Status)
	}
	cancel()
	within, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	for {
		res := get(within, "name=a&events=1")
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode == 200 && strings.Contains(string(body), `"slot":7`) {
			return
		}
	}
}

// timedWriter notes until when it may write.
type timedWriter struct {
	*httptest.ResponseRecorder
	until []time.Time
}

func (w *timedWriter) SetWriteDeadline(t time.Time) error {
	w.until = append(w.until, t)
	return nil
}

// A reader who is slow has time for each event and, however long nothing happened, for
// the end.
func TestReaderOfAWatchHasTime(t *testing.T) {
	f := &watchedLocks{events: twoEvents()}
	w := &timedWriter{ResponseRecorder: httptest.NewRecorder()}
	f.handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/watch?name=a&for=50ms", nil))
	if n := len(w.until); n != 3 || w.until[n-1].Sub(w.until[0]) < 50*time.Millisecond {
		t.Errorf("got deadlines %v, want one for each event and one for the end", w.until)
	}
}

// TestFN5WhatWatchesKnowIsBoundedTogether: each may know a good deal, all of them no more
// than there is room for.
func TestFN5WhatWatchesKnowIsBoundedTogether(t *testing.T) {
	f := &watchedLocks{events: twoEvents(), begun: make(chan struct{}, 1)}
	h := f.handler()
	var body strings.Builder
	for k := range maxKnownRoom/2/knownBytes + 1 { // two of them are too much
		fmt.Fprintf(&body, "{\"name\":\"%x\",\"version\":\"1-1\"}\n", k)
	}
	post := func(ctx context.Context, query, body string) int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/v1/watch?prefix=true"+query, strings.NewReader(body))
		h.ServeHTTP(w, r.WithContext(ctx))
		return w.Code
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- post(ctx, "", body.String()) }()
	select {
	case <-f.begun:
	case code := <-ended:
		t.Fatalf("got %d for the first, want it to go on", code)
	}
	if code := post(ctx, "&events=1", body.String()); code != http.StatusTooManyRequests {
		t.Errorf("got %d, want 429 when there is no room", code)
	}
	if code := post(ctx, "&events=1", ""); code != 200 {
		t.Errorf("got %d for a watch that knows nothing, want 200", code)
	}
	cancel()
	<-ended
	if code := post(t.Context(), "&events=1", body.String()); code != 200 {
		t.Errorf("got %d, want 200 when the other has ended", code)
	}
}
