package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/lockd/node"
	"lockd/lockd/placement"
)

// pipes is a listener whose conns are in memory, so that time is that of the test.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// request links to the server and sends text.
func (p *pipes) request(t *testing.T, text string) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	p.conns <- far
	if _, err := io.WriteString(near, text); err != nil {
		t.Fatal(err)
	}
	return near
}

// answer reads one answer.
func answer(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Minute))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// underPatience runs a test with a server whose time is its own.
func underPatience(t *testing.T, h http.Handler, test func(t *testing.T, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		s := &httptest.Server{Listener: p, Config: &http.Server{Handler: h}}
		s.Start()
		defer s.Config.Close()
		test(t, p)
	})
}

const bodyThatStops = "POST /v1/%s HTTP/1.1\r\nHost: x\r\n" +
	"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n{"

// TestFN5BodiesThatStopKeepNoSeats: bodies of which nothing comes keep neither the seats
// of the watches nor their conns.
func TestFN5BodiesThatStopKeepNoSeats(t *testing.T) {
	f := &watchedLocks{events: twoEvents()}
	underPatience(t, f.handler(), func(t *testing.T, p *pipes) {
		var slow []net.Conn
		for range MaxWatches {
			slow = append(slow, p.request(t, fmt.Sprintf(bodyThatStops, "watch?name=a&prefix=true")))
		}
		ask := func() int {
			c := p.request(t, "GET /v1/watch?name=a&events=1 HTTP/1.1\r\nHost: x\r\n\r\n")
			defer c.Close()
			return answer(t, c).StatusCode
		}
		synctest.Wait()
		if code := ask(); code != 200 {
			t.Fatalf("got %d, want 200 beside bodies that have not come", code)
		}
		time.Sleep(bodyTime + time.Second)
		if res := answer(t, slow[0]); res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("got %d, want 408", res.StatusCode)
		}
		for _, c := range slow[1:] {
			c.Close()
		}
		synctest.Wait()
		if code := ask(); code != 200 {
			t.Errorf("got %d, want 200 when the time of the bodies is over", code)
		}
	})
}

// A body that came in time leaves the watch no deadline but its own.
func TestWatchOutlivesTheTimeOfItsBody(t *testing.T) {
	f := &watchedLocks{events: twoEvents()[:1]}
	underPatience(t, f.handler(), func(t *testing.T, p *pipes) {
		c := p.request(t, "POST /v1/watch?name=a&prefix=true&for=2m HTTP/1.1\r\nHost: x\r\n"+
			"Content-Length: 1\r\n\r\n{")
		begun := time.Now()
		body, err := io.ReadAll(answer(t, c).Body)
		if took := time.Since(begun); err != nil || took != 2*time.Minute ||
			!strings.Contains(string(body), `"slot":7`) {
			t.Errorf("got %q, %v after %v, want one event and the end after 2m", body, err, took)
		}
	})
}

// TestFN5SlowPeersKeepNoConn: who sends no body or reads no answer is let go.
func TestFN5SlowPeersKeepNoConn(t *testing.T) {
	h := NewHandler(Options{
		Locks:   func(context.Context) (Locks, error) { return &fakeLocks{}, nil },
		Status:  func() *node.Status { return nil },
		Samples: func() []Sample { return nil },
		Change:  func(context.Context, placement.Change) error { return nil },
	})
	for path, within := range map[string]time.Duration{
		"POST /v1/cluster/remove?node=4": bodyTime + readTime,
		"POST /v1/faults/disk":           bodyTime + readTime,
		"POST /v1/status":                bodyTime + readTime,
		"GET /metrics":                   readTime,
		"GET /v1/lock":                   readTime,
		"GET /":                          readTime,
		"GET /debug/pprof/cmdline":       profileTime + readTime,
	} {
		underPatience(t, h, func(t *testing.T, p *pipes) {
			text := path + " HTTP/1.1\r\nHost: x\r\n\r\n"
			if rest, posts := strings.CutPrefix(path, "POST /v1/"); posts {
				text = fmt.Sprintf(bodyThatStops, rest)
			}
			c := p.request(t, text)
			time.Sleep(within + time.Second)
			// A conn that stands would take more of the body, or more requests.
			_ = c.SetDeadline(time.Now().Add(time.Second))
			if _, err := c.Write([]byte("x")); err != io.ErrClosedPipe {
				t.Errorf("%s: got %v after %v, want the conn closed", path, err, within)
			}
		})
	}
}
