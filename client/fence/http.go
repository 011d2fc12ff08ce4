package fence

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// The headers. Header says, once for each hold, a token and a name, the name
// escaped as in a path: "Lockd-Token: 88123 orders%2F42". NewestHeader says in a
// refusal which token was seen.
const (
	Header       = "Lockd-Token"
	NewestHeader = "Lockd-Newest-Token"
)

// maxHolds bounds the holds that one request may show.
const maxHolds = 64

// SetHolds writes what a request shows, in place of what it showed before.
// ErrNotHeld if a hold says itself that it is over.
func SetHolds(h http.Header, holds ...Hold) error {
	h.Del(Header)
	for _, hold := range holds {
		if err := check(hold.Name(), hold.Token()); err != nil {
			return err
		}
		if err := valid(hold); err != nil {
			return err
		}
		h.Add(Header, strconv.FormatUint(hold.Token(), 10)+" "+url.PathEscape(hold.Name()))
	}
	return nil
}

// Holds reads what a request shows. ErrToken if that makes no sense.
func Holds(h http.Header) ([]Grant, error) {
	lines := h.Values(Header)
	if len(lines) > maxHolds {
		return nil, fmt.Errorf("%w: %d holds in one request, limit %d", ErrToken, len(lines), maxHolds)
	}
	var all []Grant
	for _, line := range lines {
		number, escaped, _ := strings.Cut(line, " ")
		token, err := strconv.ParseUint(number, 10, 64)
		name, bad := url.PathUnescape(escaped)
		if err = errors.Join(err, bad); err == nil {
			err = check(name, token)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: header %s: %q", ErrToken, Header, line)
		}
		all = append(all, Grant{Lock: name, Value: token})
	}
	return all, nil
}

// Transport adds the holds to every request. A request is not sent, and fails
// with ErrNotHeld, if a hold says itself that it is over. That spares a round
// trip; what makes it safe is the other side.
type Transport struct {
	Holds []Hold
	// Base sends. Default http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip sends a copy of the request that shows the holds.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	r = r.Clone(r.Context())
	if err := SetHolds(r.Header, t.Holds...); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return base.RoundTrip(r)
}

// Refused returns the *StaleError of a response that a Middleware wrote, nil for
// any other. The body is left alone.
func Refused(r *http.Response) error {
	if r.StatusCode != http.StatusPreconditionFailed {
		return nil
	}
	number, escaped, _ := strings.Cut(r.Header.Get(NewestHeader), " ")
	newest, err := strconv.ParseUint(number, 10, 64)
	name, bad := url.PathUnescape(escaped)
	if err != nil || bad != nil || newest == 0 {
		return nil
	}
	stale := &StaleError{Name: name, Newest: newest}
	if r.Request != nil {
		holds, _ := Holds(r.Request.Header)
		for _, g := range holds {
			if g.Lock == name {
				stale.Token = g.Value
			}
		}
	}
	return stale
}

// Middleware lets requests through to Next for those who show a token that is
// not stale. All fields are required.
type Middleware struct {
	// Store remembers. For handlers of one process that forget when it does, a
	// Memory; if several processes, or a restart, serve the same things, a SQL.
	Store Store
	// Lock returns the name of the lock that guards what a request is about,
	// empty for a request that needs none, like one that only reads. It is the
	// resource that knows this: a name that the request itself chose would be
	// worth nothing.
	Lock func(r *http.Request) string
	// Next serves. The context of its request may end because somebody comes with
	// a larger token; then it must return.
	Next http.Handler
}

// ServeHTTP answers 428 to a request that shows no token of the lock, 400 to one
// whose header makes no sense, 412 with NewestHeader to a stale one, and 503 if
// the Store fails; what Next has then begun to answer cannot be taken back.
func (m *Middleware) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := m.Lock(r)
	if name == "" {
		m.Next.ServeHTTP(w, r)
		return
	}
	holds, err := Holds(r.Header)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var token uint64
	for _, g := range holds {
		if g.Lock == name {
			token = g.Value
		}
	}
	if token == 0 {
		http.Error(w, fmt.Sprintf("fence: show a token of %q in the header %s", name, Header),
			http.StatusPreconditionRequired)
		return
	}
	served := false
	err = m.Store.Guard(r.Context(), name, token, func(ctx context.Context) error {
		served = true
		m.Next.ServeHTTP(w, r.WithContext(ctx))
		return nil
	})
	var stale *StaleError
	switch {
	case err == nil || served:
	case errors.As(err, &stale):
		w.Header().Set(NewestHeader,
			strconv.FormatUint(stale.Newest, 10)+" "+url.PathEscape(name))
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
