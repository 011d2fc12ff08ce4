package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"lockd/lockd/node"
	"lockd/lockd/placement"
)

// FuzzRequest: whatever is asked of the admin listener is answered with JSON, or
// a page of its own, and never with a failure of the server (I26).
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/v1/locks", "prefix=a&after=b&limit=3", "")
	f.Add("GET", "/v1/lock", "name=a%00b", "")
	f.Add("GET", "/v1/history", "name=a&from=2026-11-28T14:03:07Z&to=x&limit=7", "")
	f.Add("GET", "/v1/watch", "name=a&from=7-a&events=2&for=1s", "")
	f.Add("POST", "/v1/watch", "name=a&prefix=true&from=x", "")
	f.Add("POST", "/v1/cluster/add", "node=4&peer=h:1&client=h:2", "")
	f.Add("POST", "/v1/cluster/remove", "", "node=4")
	f.Add("POST", "/v1/cluster/remove", "undo=true", "node=4")
	f.Add("POST", "/v1/cluster/replace", "node=99999", "node=%zz")
	f.Add("POST", "/v1/cluster/move", "group=7", "node=2")
	f.Add("POST", "/v1/cluster/drain", "undo=true", "undo=x")
	f.Add("GET", "/v1/status", "", "")
	f.Add("PUT", "/metrics", "a=b;c", "")
	f.Fuzz(func(t *testing.T, method, path, query, form string) {
		if _, err := http.NewRequest(method, "http://h/", nil); err != nil {
			return // no request that a listener would hand over
		}
		r := httptest.NewRequestWithContext(context.Background(), "GET", "/", nil)
		r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
		if method == "POST" {
			r = httptest.NewRequest(method, "/", nil)
			r.URL = &url.URL{Path: path, RawQuery: query}
			r.Form, _ = url.ParseQuery(query + "&" + form) // as far as it can be read
		}
		locks := &fakeLocks{}
		asked := 0
		h := NewHandler(Options{
			Status:  picture,
			Failed:  func() error { return nil },
			Samples: func() []Sample { return nil },
			Locks:   func(context.Context) (Locks, error) { return locks, nil },
			Change: func(_ context.Context, c placement.Change) error {
				of := c.Kind >= placement.Add && c.Kind <= placement.Replace
				if asked++; c.Node == 0 || !of && c.Kind != placement.Move && c.Kind != placement.Keep {
					t.Errorf("%s %s: asked for %+v", method, path, c)
				}
				return node.ErrNoLeader
			},
			Drain: func(_ context.Context, to node.Draining) error {
				if asked++; to == node.DrainToStop {
					t.Errorf("%s %s: asked to stop", method, path)
				}
				return node.ErrStopping
			},
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError || asked > 1 {
			t.Errorf("%s %q?%q: got status %d, %d changes", method, path, query, w.Code, asked)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q?%q: got %q, want JSON", method, path, query, w.Body)
		}
	})
}
