package fence_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"lockd/client/fence"
	"lockd/client/fence/fencetest"
)

// remote is a shelf behind HTTP: a PUT needs a token of the lock that is named as
// what it writes.
type remote struct {
	*httptest.Server
	shelf *shelf
}

func newRemote(t *testing.T, store fence.Store) *remote {
	r := &remote{shelf: newShelf(nil)}
	serve := func(w http.ResponseWriter, q *http.Request) {
		name := strings.TrimPrefix(q.URL.Path, "/")
		if q.Method == http.MethodPut {
			value, _ := io.ReadAll(q.Body)
			r.shelf.put(name, string(value))
			return
		}
		value, _ := r.shelf.Read(q.Context(), name)
		io.WriteString(w, value)
	}
	r.Server = httptest.NewServer(&fence.Middleware{
		Store: store,
		Lock: func(q *http.Request) string {
			if q.Method == http.MethodGet {
				return ""
			}
			return strings.TrimPrefix(q.URL.Path, "/")
		},
		Next: http.HandlerFunc(serve),
	})
	t.Cleanup(r.Close)
	return r
}

func (r *remote) Write(ctx context.Context, name string, token uint64, value string) error {
	c := http.Client{Transport: &fence.Transport{
		Holds: []fence.Hold{fence.Grant{Lock: name, Value: token}}}}
	q, err := http.NewRequestWithContext(ctx, http.MethodPut, r.URL+"/"+url.PathEscape(name),
		strings.NewReader(value))
	if err != nil {
		return err
	}
	x, err := c.Do(q)
	if err != nil {
		return err
	}
	defer x.Body.Close()
	if err := fence.Refused(x); err != nil || x.StatusCode == http.StatusOK {
		return err
	}
	return fmt.Errorf("got %s", x.Status)
}

func (r *remote) Read(ctx context.Context, name string) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/"+url.PathEscape(name), nil)
	if err != nil {
		return "", err
	}
	x, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer x.Body.Close()
	b, err := io.ReadAll(x.Body)
	return string(b), err
}

func TestMiddleware(t *testing.T) {
	fencetest.Run(t, func(t *testing.T) fencetest.Resource { return newRemote(t, &fence.Memory{}) })
}

// failing is a Store without its disk.
type failing struct{}

func (failing) Guard(context.Context, string, uint64, func(context.Context) error) error {
	return errors.New("the disk is gone")
}

// TestMiddlewareRefusals proves which answer tells what.
func TestMiddlewareRefusals(t *testing.T) {
	var m fence.Memory
	if err := m.Raise("a", 9); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		store  fence.Store
		lines  []string
		status int
	}{
		{&m, nil, http.StatusPreconditionRequired},
		{&m, []string{"9 b"}, http.StatusPreconditionRequired},
		{&m, []string{"nine a"}, http.StatusBadRequest},
		{&m, []string{"9"}, http.StatusBadRequest},
		{&m, []string{"0 a"}, http.StatusBadRequest},
		{&m, []string{"9 %zz"}, http.StatusBadRequest},
		{&m, make([]string, 65), http.StatusBadRequest},
		{&m, []string{"3 b", "8 a"}, http.StatusPreconditionFailed},
		{&m, []string{"3 b", "9 a"}, http.StatusOK},
		{failing{}, []string{"9 a"}, http.StatusServiceUnavailable},
	} {
		served := false
		w := httptest.NewRecorder()
		q := httptest.NewRequest(http.MethodPut, "/a", nil)
		q.Header[fence.Header] = x.lines
		(&fence.Middleware{Store: x.store, Lock: func(*http.Request) string { return "a" },
			Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }),
		}).ServeHTTP(w, q)
		if w.Code != x.status || served != (x.status == http.StatusOK) {
			t.Errorf("%.30q: got %d, served %v, want %d", x.lines, w.Code, served, x.status)
		}
		if got := w.Header().Get(fence.NewestHeader); (got == "9 a") != (w.Code == 412) {
			t.Errorf("%.30q: got newest %q", x.lines, got)
		}
	}
}

// over is a hold that knows that it is none any more.
type over struct{ fence.Grant }

func (over) Valid() bool { return false }

// TestTransport proves that a hold that is over sends nothing, and that the
// request of the caller is left as it was.
func TestTransport(t *testing.T) {
	sent := 0
	base := carrier(func(q *http.Request) (*http.Response, error) {
		sent++
		got, err := fence.Holds(q.Header)
		want := []fence.Grant{{Lock: "a/ü\n", Value: 7}, {Lock: "b", Value: 8}}
		if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: q}, nil
	})
	q := httptest.NewRequest(http.MethodPut, "http://host/", strings.NewReader("x"))
	q.RequestURI = ""
	c := fence.Transport{Base: base, Holds: []fence.Hold{fence.Grant{Lock: "a/ü\n", Value: 7},
		fence.Grant{Lock: "b", Value: 8}}}
	if x, err := c.RoundTrip(q); err != nil || fence.Refused(x) != nil || sent != 1 {
		t.Errorf("got %v, %d sent, want one", err, sent)
	}
	if q.Header.Get(fence.Header) != "" {
		t.Error("the request of the caller was changed")
	}
	c.Holds = []fence.Hold{over{fence.Grant{Lock: "a", Value: 7}}}
	if _, err := c.RoundTrip(q); !errors.Is(err, fence.ErrNotHeld) || sent != 1 {
		t.Errorf("over: got %v, %d sent, want that it is not held", err, sent)
	}
	c.Holds = []fence.Hold{fence.Grant{Lock: "a"}}
	if _, err := c.RoundTrip(q); !errors.Is(err, fence.ErrToken) || sent != 1 {
		t.Errorf("no token: got %v, %d sent, want that it is none", err, sent)
	}
}

type carrier func(*http.Request) (*http.Response, error)

func (c carrier) RoundTrip(q *http.Request) (*http.Response, error) { return c(q) }
