package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"strings"

	"lockd/client"
	"lockd/lockd/node"
	"lockd/lockd/placement"
)

// Locks answers questions about locks. *client.Client does.
type Locks interface {
	Standing
	Waiting
}

// Standing answers how locks stand, stood, and come to stand.
type Standing interface {
	// Get describes one lock; client.ErrNotFound when nobody has to do with it.
	Get(ctx context.Context, name string) (*client.LockInfo, error)
	// List describes a page of locks in the order of their names.
	List(ctx context.Context, prefix string, opts client.ListOptions) ([]client.ListEntry, error)
	// History says who held a lock; client.ErrNoHistory when no node keeps one.
	History(ctx context.Context, name string, opts client.HistoryOptions) (*client.History, error)
	// Watch yields what becomes of a lock, or of all that begin so, until ctx ends.
	Watch(ctx context.Context, name string,
		opts client.WatchOptions) iter.Seq2[client.WatchEvent, error]
}

// Waiting answers what is waited for.
type Waiting interface {
	// Why says what a request for a lock would wait for if it came now.
	Why(ctx context.Context, name string) (*client.WhyInfo, error)
	// Top returns the names waited for most, at most so many, most contended first.
	Top(ctx context.Context, limit int) ([]client.TopEntry, error)
}

// Options say what the handler looks at. Every function may be called from any
// goroutine.
type Options struct {
	// Status returns the newest picture of the node, nil before the first.
	Status func() *node.Status
	// Failed returns what stopped the node, nil while it runs.
	Failed func() error
	// Samples returns the values of /metrics.
	Samples func() []Sample
	// Locks returns what /v1/locks, lock, why, top, history and watch ask.
	Locks func(ctx context.Context) (Locks, error)
	// Change asks for a change of the cluster and returns what became of it.
	Change func(ctx context.Context, c placement.Change) error
	// Drain tells the node how to drain: node.DrainAside or node.NotDraining.
	Drain func(ctx context.Context, to node.Draining) error
	// Faults does faults to the node on request; nil if it takes none.
	Faults *Faults
	// Build is the version of the program.
	Build string
}

// profiles is where those of the program are.
const profiles = "/debug/pprof/"

const watchPath = "/v1/watch"

// NewHandler returns the handler of the admin listener.
func NewHandler(o Options) http.Handler {
	h := &handler{opts: o, seats: make(chan struct{}, MaxWatches),
		known: room{most: maxKnownRoom}, told: room{most: maxToldRoom},
		asking: make(chan struct{}, maxAsking)}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", newMetrics(o))
	mux.HandleFunc("GET /healthz", h.health)
	mux.HandleFunc("GET /readyz", h.ready)
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /v1/status", h.status)
	mux.HandleFunc("GET /v1/locks", h.locks)
	mux.HandleFunc("GET /v1/lock", h.lock)
	mux.HandleFunc("GET /v1/why", h.why)
	mux.HandleFunc("GET /v1/top", h.top)
	mux.HandleFunc("GET /v1/history", h.history)
	mux.HandleFunc("GET "+watchPath, h.watch)
	mux.HandleFunc("POST "+watchPath, h.watch)
	mux.HandleFunc("POST /v1/cluster/{change}", h.change)
	mux.HandleFunc("POST /v1/cluster/drain", h.drain)
	mux.HandleFunc("POST /v1/faults/{kind}", h.fault)
	mux.HandleFunc(profiles, pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return patient(ownSite(plain(mux)))
}

// index names the pages to who looks for them.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "the admin port of a lockd node\n\n"+
		"/metrics\n/healthz\n/readyz\n/v1/status\n/v1/locks?prefix=&after=&limit=\n/v1/lock?name=\n"+
		"/v1/why?name=\n/v1/top?limit=\n"+
		"/v1/history?name=&at=&from=&to=&limit=\n/v1/watch?name=&prefix=&from=&events=&for=\n"+
		"/debug/pprof/\n"+
		"POST /v1/cluster/add, remove, replace, move, drain\n")
}

// ownSite refuses what a browser sends on behalf of another site: there is no
// password that such a page would lack. A page whose own name was made to lead here looks
// like one of this site, so a browser has to come by address, or as localhost.
func ownSite(h http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	deny := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusForbidden, "the request comes from the page of another site")
	})
	guard.SetDenyHandler(deny)
	guarded := guard.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.Header.Get("Origin") != "" && named(r.Host) {
			deny(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// named reports whether a host, with its port or without, is given by a name that
// somebody else may point anywhere.
func named(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err != nil && host != "localhost"
}

// maxFormBytes bounds the body of a request that may have its parameters there.
const maxFormBytes = 64 << 10

// plain reads the parameters of a request, so that nobody reads them from a body of
// any length, of which a part may go to files. The body of a watch is no form.
func plain(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posted := r.Method == http.MethodPost
		switch {
		case posted && r.URL.Path == watchPath:
			r.Form = r.URL.Query()
		case !posted && r.ContentLength != 0:
			// Nobody would read it, and so see that the peer has gone.
			fail(w, http.StatusBadRequest, fmt.Sprintf("a %s has no body", r.Method))
			return
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
			if err := r.ParseForm(); err != nil {
				failBody(w, err)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// failBody answers a request whose body could not be read.
func failBody(w http.ResponseWriter, err error) {
	code := http.StatusBadRequest
	if errors.Is(err, os.ErrDeadlineExceeded) {
		code, err = http.StatusRequestTimeout, fmt.Errorf("the body did not come within %v", bodyTime)
	}
	fail(w, code, err.Error())
}

type handler struct {
	opts Options
	// seats has one entry for each watch that goes on.
	seats chan struct{}
	known room // for what those know that go on
	// asking has one entry for each answer about locks that is being made, told is room
	// for those that are being read.
	asking chan struct{}
	told   room
}

func (h *handler) health(w http.ResponseWriter, _ *http.Request) {
	if err := h.opts.Failed(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	if err := h.opts.Failed(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if reason := NotReady(h.opts.Status()); reason != "" {
		http.Error(w, reason, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// NotReady says why a node cannot serve, empty if it can.
func NotReady(s *node.Status) string {
	switch {
	case s == nil:
		return "the node is starting"
	case s.Stopping:
		return "the node is stopping"
	case s.Draining:
		return "the node is draining: lockd cluster drain --undo ends that"
	case !s.Born && len(s.Waiting) > 0:
		return fmt.Sprintf("the cluster is not born yet: waiting for nodes %v", s.Waiting)
	case !s.Born:
		return "the cluster is not born yet: waiting for every node to record the roster"
	case s.Stalled:
		return "the disk does not move"
	case s.Ready():
		return ""
	}
	leaderless := 0
	for i := range s.Groups {
		if s.Groups[i].Leader == 0 {
			leaderless++
		}
	}
	return fmt.Sprintf("%d of %d groups have no known leader", leaderless, len(s.Groups))
}

func (h *handler) status(w http.ResponseWriter, _ *http.Request) {
	s := h.opts.Status()
	if s == nil {
		fail(w, http.StatusServiceUnavailable, "the node is starting")
		return
	}
	write(w, appendNode(nil, s, &h.opts))
}

func fail(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(appendError(nil, text)) // a reader that left has no use for it
}

func write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a reader that left has no use for it
}
