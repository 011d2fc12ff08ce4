package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockd/client"
	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/paxos"
)

// fakeLocks answers questions about locks from two variables.
type fakeLocks struct {
	err   error
	asked string
}

func (f *fakeLocks) Get(_ context.Context, name string) (*client.LockInfo, error) {
	f.asked = name
	return &client.LockInfo{Name: name, HolderCount: 1,
		Holders: []client.Holder{{Client: "me", Token: 7}}}, f.err
}

func (f *fakeLocks) List(_ context.Context, prefix string,
	o client.ListOptions) ([]client.ListEntry, error) {
	f.asked = fmt.Sprintf("%s %s %d", prefix, o.After, o.Limit)
	return []client.ListEntry{{Name: "a\xff", Token: 1 << 60}, {Name: "b"}}, f.err
}

func (f *fakeLocks) History(_ context.Context, name string,
	o client.HistoryOptions) (*client.History, error) {
	f.asked = fmt.Sprintf("%s at %d from %d to %d limit %d", name, o.At.Unix(), o.From.Unix(),
		o.To.Unix(), o.Limit)
	return &client.History{Name: name, Holds: []client.PastHold{{Client: "me", Token: 7}}}, f.err
}

func (f *fakeLocks) Why(_ context.Context, name string) (*client.WhyInfo, error) {
	f.asked = "why " + name
	return &client.WhyInfo{Position: 2, Samples: 3, Usual: time.Second, Estimate: -1,
		LockInfo: client.LockInfo{Name: name}}, f.err
}

func (f *fakeLocks) Top(_ context.Context, limit int) ([]client.TopEntry, error) {
	f.asked = fmt.Sprint("top ", limit)
	return []client.TopEntry{{Name: "a\xff", Score: 9, Usual: -1}}, f.err
}

func (f *fakeLocks) Watch(_ context.Context, name string,
	_ client.WatchOptions) iter.Seq2[client.WatchEvent, error] {
	f.asked = name
	return func(yield func(client.WatchEvent, error) bool) {
		yield(client.WatchEvent{}, client.ErrClosed)
	}
}

func TestHistoryOverHTTP(t *testing.T) {
	s := &site{status: picture()}
	zero := time.Time{}.Unix()
	code, body := s.get("/v1/history?name=a%2Fb&at=2026-11-28T14:03:07Z&limit=3")
	if want := fmt.Sprintf("a/b at 1795874587 from %d to %d limit 3", zero, zero); code != 200 ||
		s.locks.asked != want || !strings.Contains(body, `"token":7`) {
		t.Errorf("got %d %s, asked %q, want %q", code, body, s.locks.asked, want)
	}
	for _, query := range []string{"", "name=a&at=yesterday", "name=a&from=14:03:07",
		"name=a&limit=0"} {
		if code, body := s.get("/v1/history?" + query); code != 400 {
			t.Errorf("%q: got %d %s, want 400", query, code, body)
		}
	}
	s.locks.err = client.ErrNoHistory
	if code, body := s.get("/v1/history?name=a"); code != 404 {
		t.Errorf("no history: got %d %s, want 404", code, body)
	}
}

// TestWaitingOverHTTP proves that it is told over HTTP what a request would wait for and
// which names are waited for most, what is asked wrongly, and what the nodes cannot say.
func TestWaitingOverHTTP(t *testing.T) {
	for _, row := range []struct {
		path  string
		err   error
		code  int
		asked string
		want  []string
	}{
		{path: "why?name=a%2Fb", code: 200, asked: "why a/b",
			want: []string{`"name":"a/b"`, `"position":2`, `"usual_hold_ms":1000`}},
		{path: "why", code: 400, want: []string{"name is missing"}},
		{path: "why?name=a", err: client.ErrNameTooLong, code: 400, asked: "why a"},
		{path: "why?name=a", err: client.ErrBusy, code: 429, asked: "why a"},
		{path: "why?name=a", err: client.ErrUnavailable, code: 503, asked: "why a"},
		{path: "top", code: 200, asked: "top 20", want: []string{`"name_base64":"Yf8="`, `"score":9`}},
		{path: "top?limit=10000", code: 200, asked: "top 10000"},
		{path: "top?limit=10001", code: 400, want: []string{"must be 1 to 10000"}},
		{path: "top?limit=0", code: 400}, {path: "top?limit=x", code: 400},
		{path: "top", err: client.ErrUnavailable, code: 503, asked: "top 20"},
	} {
		s := &site{status: picture(), locks: fakeLocks{err: row.err}}
		code, body := s.get("/v1/" + row.path)
		if code != row.code || s.locks.asked != row.asked || !json.Valid([]byte(body)) {
			t.Errorf("%s, %v: got %d %s, asked %q, want %d, %q", row.path, row.err, code, body,
				s.locks.asked, row.code, row.asked)
		}
		for _, want := range row.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: got %s, want %s in it", row.path, body, want)
			}
		}
	}
}

// picture is a node that can serve.
func picture() *node.Status {
	return &node.Status{Node: 1, Cluster: "c", Born: true,
		Groups: []node.GroupStatus{{Group: 0, Leader: 1, Leading: true, Full: 0.25},
			{Group: 1, Leader: 2, Full: 0.125}},
		Peers: []node.PeerStatus{{Node: 2, Up: true}}}
}

type site struct {
	status *node.Status
	failed error
	locks  fakeLocks
}

func (s *site) get(path string) (int, string) {
	h := NewHandler(Options{
		Status:  func() *node.Status { return s.status },
		Failed:  func() error { return s.failed },
		Samples: func() []Sample { return []Sample{{Name: "peer_up", Help: "x.", Peer: "2"}} },
		Locks:   func(context.Context) (Locks, error) { return &s.locks, nil },
		Build:   "v1",
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func TestReadyOnlyWhenItCanServe(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*site)
		code   int
		want   string
	}{
		{"serving", func(*site) {}, 200, "ready"},
		{"starting", func(s *site) { s.status = nil }, 503, "starting"},
		{"unborn", func(s *site) {
			s.status.Born, s.status.Waiting = false, append(s.status.Waiting, 3)
		}, 503, "waiting for nodes [3]"},
		{"leaderless", func(s *site) { s.status.Groups[1].Leader = 0 }, 503,
			"1 of 2 groups have no known leader"},
		{"stalled", func(s *site) { s.status.Stalled = true }, 503, "disk does not move"},
		{"draining", func(s *site) { s.status.Draining = true }, 503, "draining"},
		{"stopping", func(s *site) { s.status.Draining, s.status.Stopping = true, true }, 503,
			"stopping"},
		{"failed", func(s *site) { s.failed = errors.New("disk on fire") }, 503, "disk on fire"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &site{status: picture()}
			row.change(s)
			code, body := s.get("/readyz")
			if code != row.code || !strings.Contains(body, row.want) {
				t.Errorf("got %d %q, want %d %q", code, body, row.code, row.want)
			}
			code, _ = s.get("/healthz")
			if healthy := s.failed == nil; (code == 200) != healthy {
				t.Errorf("/healthz: got %d, failed is %v", code, s.failed)
			}
		})
	}
}

func TestLocksAreAskedForAsWritten(t *testing.T) {
	s := &site{status: picture()}
	code, body := s.get("/v1/locks?prefix=a%2F&after=a%2Fb&limit=2")
	if want := "a/ a/b 2"; code != 200 || s.locks.asked != want {
		t.Errorf("got %d, asked %q, want 200, %q", code, s.locks.asked, want)
	}
	var page struct {
		Locks []struct {
			Name       string `json:"name"`
			NameBase64 []byte `json:"name_base64"`
			Token      uint64 `json:"token"`
		} `json:"locks"`
		Next string `json:"next"`
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if len(page.Locks) != 2 || string(page.Locks[0].NameBase64) != "a\xff" ||
		page.Locks[0].Token != 1<<60 || page.Next != "b" {
		t.Errorf("got %+v, want two locks, the first with its bytes, and next b", page)
	}
	for _, limit := range []string{"0", "-1", "x", "1000000"} {
		if code, body := s.get("/v1/locks?limit=" + limit); code != 400 {
			t.Errorf("limit %s: got %d %q, want 400", limit, code, body)
		}
	}
}

func TestErrorsOfTheClusterHaveAStatus(t *testing.T) {
	for _, row := range []struct {
		err  error
		code int
	}{
		{nil, 200}, {client.ErrNotFound, 404}, {client.ErrNameTooLong, 400}, {client.ErrBusy, 429},
		{client.ErrUnavailable, 503}, {client.ErrProtocol, 502},
	} {
		s := &site{status: picture(), locks: fakeLocks{err: row.err}}
		code, body := s.get("/v1/lock?name=x")
		if code != row.code || !json.Valid([]byte(body)) {
			t.Errorf("%v: got %d %s, want %d and JSON", row.err, code, body, row.code)
		}
	}
}

// TestChangeIsAsked proves what of a request becomes a change, what its status
// is, and that no page of another site can have a browser ask for one.
func TestChangeIsAsked(t *testing.T) {
	add := placement.Change{Kind: placement.Add, Node: 4, Peer: "d:1", Client: "d:2"}
	for _, row := range []struct {
		path, site string
		err        error
		code       int
		want       placement.Change
	}{
		{path: "add?node=4&peer=d:1&client=d:2", code: 200, want: add},
		{path: "add?node=4&peer=d:1&client=d:2", site: "same-origin", code: 200, want: add},
		{path: "add?node=4&peer=d:1&client=d:2", site: "cross-site", code: 403},
		{path: "remove?node=4", err: placement.ErrBusy, code: 409,
			want: placement.Change{Kind: placement.Remove, Node: 4}},
		{path: "replace?node=4", err: placement.ErrSoon, code: 409,
			want: placement.Change{Kind: placement.Replace, Node: 4}},
		{path: "replace?node=4", err: placement.ErrRefused, code: 400,
			want: placement.Change{Kind: placement.Replace, Node: 4}},
		{path: "replace?node=4", err: node.ErrNoLeader, code: 503,
			want: placement.Change{Kind: placement.Replace, Node: 4}},
		{path: "replace?node=3", code: 409}, {path: "replace?node=1", code: 409},
		{path: "replace?node=3&force=true", code: 200,
			want: placement.Change{Kind: placement.Replace, Node: 3}},
		{path: "replace?node=4&force=1", code: 400},
		{path: "move?node=2&group=7", code: 200,
			want: placement.Change{Kind: placement.Move, Node: 2, Group: 7}},
		{path: "move?node=2&group=7", err: placement.ErrNoChange, code: 200,
			want: placement.Change{Kind: placement.Move, Node: 2, Group: 7}},
		{path: "move?node=2&group=0", err: placement.ErrRefused, code: 400,
			want: placement.Change{Kind: placement.Move, Node: 2}},
		{path: "move?node=2&group=0", site: "cross-site", code: 403},
		{path: "remove?node=4", err: placement.ErrNoChange, code: 409,
			want: placement.Change{Kind: placement.Remove, Node: 4}},
		{path: "remove?node=4&undo=true", code: 200,
			want: placement.Change{Kind: placement.Keep, Node: 4}},
		{path: "remove?node=4&undo=1", code: 400},
		{path: "move?node=2", code: 400}, {path: "move?node=2&group=65536", code: 400},
		{path: "move?group=2", code: 400}, {path: "move?node=2&group=x", code: 400},
		{path: "remove?node=0", code: 400}, {path: "remove?node=x", code: 400},
		{path: "remove", code: 400}, {path: "rename?node=4", code: 400},
	} {
		var asked placement.Change
		h := NewHandler(Options{Change: func(_ context.Context, c placement.Change) error {
			asked = c
			return row.err
		}, Status: func() *node.Status {
			return &node.Status{Node: 1, Peers: []node.PeerStatus{{Node: 3, Up: true}, {Node: 4}}}
		}})
		r := httptest.NewRequest("POST", "/v1/cluster/"+row.path, nil)
		if row.site != "" {
			r.Header.Set("Sec-Fetch-Site", row.site)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != row.code || asked != row.want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s from %q: got %d, asked %+v, want %d, %+v", row.path, row.site,
				w.Code, asked, row.code, row.want)
		}
		soon := errors.Is(row.err, placement.ErrSoon)
		if got := w.Header().Get(retryAfter); (got != "") != soon {
			t.Errorf("%s: got Retry-After %q for %v", row.path, got, row.err)
		}
	}
}

// TestDrainIsAsked proves what of a request reaches the node, what its status is, and
// that no page of another site can have a browser ask for it.
func TestDrainIsAsked(t *testing.T) {
	const nothing = node.DrainToStop // no request asks for that
	for _, row := range []struct {
		method, query, site string
		err                 error
		code                int
		want                node.Draining
	}{
		{query: "", code: 200, want: node.DrainAside},
		{query: "?undo=false", code: 200, want: node.DrainAside},
		{query: "?undo=true", code: 200, want: node.NotDraining},
		{query: "?undo=1", code: 400, want: nothing},
		{query: "", site: "cross-site", code: 403, want: nothing},
		{query: "", method: "GET", code: 405, want: nothing},
		{query: "?undo=true", err: node.ErrStopping, code: 409, want: node.NotDraining},
		{query: "", err: context.DeadlineExceeded, code: 503, want: node.DrainAside},
	} {
		asked := nothing
		h := NewHandler(Options{Drain: func(_ context.Context, to node.Draining) error {
			asked = to
			return row.err
		}})
		r := httptest.NewRequest(cmp.Or(row.method, "POST"), "/v1/cluster/drain"+row.query, nil)
		if row.site != "" {
			r.Header.Set("Sec-Fetch-Site", row.site)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != row.code || asked != row.want ||
			w.Code == 200 != strings.Contains(w.Body.String(), `"draining":`) {
			t.Errorf("%s %q from %q: got %d %s, asked %d, want %d, %d", row.method, row.query, row.site,
				w.Code, w.Body, asked, row.code, row.want)
		}
	}
}

// TestLeadersOfGroups proves that a node says who leads and who is to lead each group of
// the cluster, also of those that it does not keep or knows nothing of.
func TestLeadersOfGroups(t *testing.T) {
	s := picture()
	s.Leaders = []paxos.NodeID{1, 3}
	s.Record = &placement.Record{Homes: [][]paxos.NodeID{{1, 2}, {3, 1}, {2, 3}}}
	want := `"leaders":[{"group":0,"leader":1,"preferred":1},{"group":1,"leader":3,"preferred":3},` +
		`{"group":2,"leader":0,"preferred":2}]`
	if got := string(appendNode(nil, s, &Options{Build: "v"})); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
}

func TestMetricsHaveNamesAndPeers(t *testing.T) {
	s := &site{status: picture()}
	_, body := s.get("/metrics")
	for _, want := range []string{`lockd_build_info{version="v1"} 1`, `lockd_peer_up{peer="2"} 0`,
		"lockd_groups 2", "lockd_groups_leading 1", "lockd_ready 1", "# TYPE lockd_turns_total counter",
		"lockd_fullest_group 0.25"} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	s.status = nil
	if code, _ := s.get("/metrics"); code != 200 {
		t.Errorf("before the first picture: got %d, want 200", code)
	}
}

// TestBytesInJSON proves that nothing is lost of what is no text.
func TestBytesInJSON(t *testing.T) {
	b := AppendLock(nil, &client.LockInfo{Name: "x", Holders: []client.Holder{{Client: "c\xff",
		Payload: []byte("p\xff"), Labels: map[string]string{"a": "b", "k\xff": "v\xfe"}}},
		Value: client.LockValue{Data: []byte("w\xff"), Token: 1}})
	var got struct {
		Value []byte `json:"value_base64"`
		Held  []struct {
			Client  []byte                        `json:"holder_base64"`
			Payload []byte                        `json:"payload_base64"`
			Labels  map[string]string             `json:"labels"`
			Bytes   []struct{ Key, Value []byte } `json:"labels_base64"`
		} `json:"held_by"`
	}
	if err := json.Unmarshal(b, &got); err != nil || len(got.Held) != 1 {
		t.Fatalf("got %v of %s", err, b)
	}
	h := &got.Held[0]
	if string(got.Value) != "w\xff" {
		t.Errorf("got value %q, want every byte", got.Value)
	}
	if string(h.Client) != "c\xff" || string(h.Payload) != "p\xff" || h.Labels["a"] != "b" ||
		len(h.Bytes) != 2 || string(h.Bytes[1].Key) != "k\xff" || string(h.Bytes[1].Value) != "v\xfe" {
		t.Errorf("got %+v, want every byte", h)
	}
}

func TestJSONOfTheCommandLine(t *testing.T) {
	now := time.Now()
	for name, b := range map[string][]byte{
		"node": appendNode(nil, picture(), &Options{Build: "v"}),
		"lock": AppendLock(nil, &client.LockInfo{Name: "x\n\"", Holders: []client.Holder{{Since: now}},
			Waiters: []client.Waiter{{Client: "\xff"}}}),
		"semaphore": AppendLock(nil, &client.LockInfo{Name: "gpu", Capacity: 8, Taken: 6,
			Holders: []client.Holder{{ClaimKind: client.ClaimKind{Permits: 6, Depth: 1}}},
			Waiters: []client.Waiter{{ClaimKind: client.ClaimKind{Owner: 1 << 63, Depth: 2}}}}),
		"latch": AppendLock(nil, &client.LockInfo{Name: "jobs", Gate: client.GateLatch, Number: 3}),
		"gates": AppendList(nil, []client.ListEntry{{Name: "jobs", Gate: client.GateEvent}}, 9),
		"list":  AppendList(nil, []client.ListEntry{{Name: "gpu", Capacity: 8}}, 1),
		"cluster": AppendCluster(nil, []client.NodeStatus{{Node: 1, Err: errors.New("a \"b\"")},
			{Node: 2, Groups: make([]client.GroupStatus, 2)}}),
	} {
		if !json.Valid(b) {
			t.Errorf("%s: no JSON: %s", name, b)
		}
	}
}

// TestPagesAreFound proves that the root names pages that are there, and that nothing else
// takes its place.
func TestPagesAreFound(t *testing.T) {
	s := site{status: picture()}
	needsName := map[string]bool{"/v1/lock": true, "/v1/why": true, "/v1/history": true,
		"/v1/watch": true}
	code, page := s.get("/")
	if code != 200 {
		t.Fatalf("got status %d, want 200", code)
	}
	for line := range strings.SplitSeq(page, "\n") {
		path, _, _ := strings.Cut(line, "?")
		if !strings.HasPrefix(path, "/") {
			continue
		}
		want := 200
		if needsName[path] {
			want = 400
		}
		if code, _ := s.get(path); code != want {
			t.Errorf("%s: got status %d, want %d", path, code, want)
		}
	}
	if code, _ := s.get("/nothing"); code != 404 {
		t.Errorf("/nothing: got status %d, want 404", code)
	}
	s.locks.err = client.ErrNotFound
	if _, body := s.get("/v1/lock?name=a%00"); !strings.Contains(body, "nobody holds it or waits") ||
		strings.Contains(body, "client:") {
		t.Errorf("a lock that is not known: got %s", body)
	}
}
