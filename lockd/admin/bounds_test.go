package admin

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"lockd/client"
	"lockd/lockd/node"
	"lockd/lockd/placement"
)

// A request that reads has no body: who waits for an answer would else not see that its
// peer has gone, and a watch would keep its seat for as long as it was asked for.
func TestFN5WhatReadsHasNoBody(t *testing.T) {
	f := &watchedLocks{events: twoEvents()}
	underPatience(t, f.handler(), func(t *testing.T, p *pipes) {
		for _, path := range []string{watchPath + "?name=a&for=1h", "/v1/lock?name=a", "/metrics"} {
			for _, rest := range []string{"Content-Length: 1\r\n\r\nx",
				"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"} {
				c := p.request(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\n"+rest)
				if code := answer(t, c).StatusCode; code != http.StatusBadRequest {
					t.Errorf("%s: got %d, want 400", path, code)
				}
				c.Close()
			}
		}
	})
}

// changes keeps what was asked for.
type changes struct{ asked []placement.Change }

func (c *changes) handler() http.Handler {
	return NewHandler(Options{
		Status: func() *node.Status { return nil },
		Change: func(_ context.Context, x placement.Change) error {
			c.asked = append(c.asked, x)
			return nil
		},
		Drain: func(context.Context, node.Draining) error {
			c.asked = append(c.asked, placement.Change{})
			return nil
		},
	})
}

// A body takes neither memory nor disk beyond what parameters may have.
func TestFN5FormsAreBounded(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var parts bytes.Buffer
	m := multipart.NewWriter(&parts)
	p, err := m.CreateFormFile("x", "x")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = p.Write(make([]byte, 40<<20)) // to memory
	_ = m.Close()                        // to memory
	const form = "application/x-www-form-urlencoded"
	for _, x := range []struct {
		query, kind, body string
		code              int
	}{
		{"?group=1&node=1", m.FormDataContentType(), parts.String(), 200},
		{"?group=1&node=1", "", "", 200},
		{"", form, "group=1&node=1", 200},
		{"", form, "group=1&node=1&x=" + strings.Repeat("x", maxFormBytes), 400},
	} {
		var c changes
		r := httptest.NewRequest("POST", "/v1/cluster/move"+x.query, strings.NewReader(x.body))
		r.Header.Set("Content-Type", x.kind)
		w := httptest.NewRecorder()
		c.handler().ServeHTTP(w, r)
		if w.Code != x.code || (len(c.asked) == 1) != (x.code == 200) {
			t.Errorf("%q, a body of %d bytes: got %d and %v asked, want %d", x.query, len(x.body),
				w.Code, c.asked, x.code)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("%q, a body of %d bytes: got %d files, %v", x.query, len(x.body), len(files), err)
		}
	}
}

// A page whose name was made to lead here cannot command the node, for its browser says
// by which name it came.
func TestNamesThatWereReboundAreRefused(t *testing.T) {
	for _, x := range []struct {
		host, origin string
		code         int
	}{
		{"evil.example:7602", "http://evil.example:7602", 403},
		{"evil.example", "http://evil.example", 403},
		{"127.0.0.1:7602", "http://evil.example:7602", 403},
		{"127.0.0.1:7602", "http://127.0.0.1:7602", 200},
		{"[::1]:7602", "http://[::1]:7602", 200},
		{"localhost:7602", "http://localhost:7602", 200},
		{"node1.internal:7602", "", 200}, // no browser
	} {
		var c changes
		r := httptest.NewRequest("POST", "http://"+x.host+"/v1/cluster/drain", nil)
		if x.origin != "" {
			r.Header.Set("Origin", x.origin)
		}
		w := httptest.NewRecorder()
		c.handler().ServeHTTP(w, r)
		if w.Code != x.code || (len(c.asked) == 1) != (x.code == 200) {
			t.Errorf("%s from %q: got %d and %d commands, want %d", x.host, x.origin, w.Code,
				len(c.asked), x.code)
		}
	}
}

// manyLocks has locks with long names.
type manyLocks struct {
	fakeLocks
	names []string
	stuck chan struct{} // nil, or List waits for it to be closed
}

func newManyLocks(count, length int) *manyLocks {
	m := &manyLocks{}
	for i := range count {
		m.names = append(m.names, fmt.Sprintf("%06d", i)+strings.Repeat("\x01", length-6))
	}
	return m
}

func (m *manyLocks) List(ctx context.Context, _ string, o client.ListOptions) (
	list []client.ListEntry, err error) {
	if m.stuck != nil {
		select {
		case <-m.stuck:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	for _, name := range m.names {
		if name > o.After && len(list) < o.Limit {
			list = append(list, client.ListEntry{Name: name, Token: 7})
		}
	}
	return list, nil
}

func (m *manyLocks) handler() http.Handler {
	return NewHandler(Options{Locks: func(context.Context) (Locks, error) { return m, nil }})
}

// A page of long names is full before it has as many as were asked for, and all pages
// have all names.
func TestPagesHaveABoundInBytes(t *testing.T) {
	for _, x := range []struct{ count, length, limit, pages int }{
		{1000, 24, 10_000, 1}, {1000, 24, 1000, 2}, {1000, 24, 600, 2}, {5000, 512, 10_000, 3},
	} {
		m := newManyLocks(x.count, x.length)
		h, after, got, pages := m.handler(), "", 0, 0
		for more := true; more; pages++ {
			r := httptest.NewRequest("GET", "/v1/locks", nil)
			r.URL.RawQuery = fmt.Sprintf("limit=%d&after=", x.limit) +
				strings.ReplaceAll(after, "\x01", "%01")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 || w.Body.Len() > 7*maxPageBytes {
				t.Fatalf("%+v: got %d and %d bytes", x, w.Code, w.Body.Len())
			}
			here := bytes.Count(w.Body.Bytes(), []byte(`"token"`))
			got += here
			if more = bytes.Contains(w.Body.Bytes(), []byte(`"next"`)); more && here > 0 {
				after = m.names[got-1]
			}
		}
		if got != x.count || pages != x.pages {
			t.Errorf("%+v: got %d locks on %d pages", x, got, pages)
		}
	}
}

// stuckWriter is a peer who reads nothing until it is closed.
type stuckWriter struct {
	*httptest.ResponseRecorder
	reads chan struct{}
}

func (w *stuckWriter) Write(b []byte) (int, error) {
	<-w.reads
	return w.ResponseRecorder.Write(b)
}

// TestFN5AnswersAreBoundedTogether: what slow peers leave unread, and what is being made
// for others, has a bound.
func TestFN5AnswersAreBoundedTogether(t *testing.T) {
	m := newManyLocks(2100, 512)
	h := m.handler()
	ask := func(w http.ResponseWriter) {
		h.ServeHTTP(w, httptest.NewRequest("GET", "/v1/locks?limit=2000", nil))
	}
	synctest.Test(t, func(t *testing.T) {
		h = m.handler()
		size := httptest.NewRecorder()
		ask(size)
		slow := make([]*stuckWriter, maxToldRoom/size.Body.Len()+1)
		reads := make(chan struct{})
		for i := range slow {
			slow[i] = &stuckWriter{httptest.NewRecorder(), reads}
			go ask(slow[i])
			synctest.Wait()
		}
		close(reads)
		synctest.Wait()
		for i, w := range slow {
			want := 200
			if i == len(slow)-1 {
				want = http.StatusTooManyRequests
			}
			if w.Code != want {
				t.Errorf("peer %d of %d who read nothing: got %d, want %d", i+1, len(slow), w.Code, want)
			}
		}
		m.names, m.stuck = m.names[:1], make(chan struct{})
		waits := make([]*httptest.ResponseRecorder, maxAsking+1)
		for i := range waits {
			waits[i] = httptest.NewRecorder()
			go ask(waits[i])
			synctest.Wait()
		}
		close(m.stuck)
		synctest.Wait()
		for i, w := range waits {
			if w.Code != 200 {
				t.Errorf("question %d while others wait: got %d, want 200 once they were answered", i+1,
					w.Code)
			}
		}
		m.stuck = make(chan struct{})
		for i := range waits {
			waits[i] = httptest.NewRecorder()
			go ask(waits[i])
		}
		synctest.Wait()
		late := httptest.NewRecorder()
		if ask(late); late.Code != http.StatusServiceUnavailable {
			t.Errorf("a question that has no turn: got %d, want 503", late.Code)
		}
	})
}
