package admin

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// bodyTime is how long the body of a request may take to come.
	bodyTime = 10 * time.Second
	// profileTime is how long a profile is taken if that is not said, and
	// longestProfile at most as far as its reader is waited for.
	profileTime, longestProfile = 30 * time.Second, time.Hour
)

// patient bounds how long a peer may keep its conn, and what else a request takes, by
// sending or reading slowly: a body has bodyTime, and an answer readTime from when it
// begins. A watch gives each event its own time.
func patient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &patience{ResponseWriter: w, control: http.NewResponseController(w)}
		if r.ContentLength != 0 {
			// What has no deadline has no sender who could be slow.
			_ = p.control.SetReadDeadline(time.Now().Add(bodyTime))
			r.Body = &timedBody{r.Body, p.control}
		}
		if strings.HasPrefix(r.URL.Path, profiles) {
			_ = p.SetWriteDeadline(time.Now().Add(profileLength(r) + readTime))
		}
		defer p.begin() // there may be a header only
		h.ServeHTTP(p, r)
	})
}

// profileLength is for how long what is asked for may be taken.
func profileLength(r *http.Request) time.Duration {
	seconds, err := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
	if err != nil {
		return profileTime
	}
	most := longestProfile.Seconds()
	return max(profileTime, time.Duration(min(seconds, most)*float64(time.Second)))
}

// patience is a writer whose answer has its time from when it begins, unless it was
// given another.
type patience struct {
	http.ResponseWriter
	control *http.ResponseController
	timed   bool
}

func (p *patience) begin() {
	if !p.timed {
		_ = p.SetWriteDeadline(time.Now().Add(readTime)) // as in patient
	}
}

// SetWriteDeadline is what http.ResponseController calls.
func (p *patience) SetWriteDeadline(t time.Time) error {
	p.timed = true
	return p.control.SetWriteDeadline(t)
}

// Unwrap leaves the rest to http.ResponseController.
func (p *patience) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader begins the answer.
func (p *patience) WriteHeader(code int) {
	p.begin()
	p.ResponseWriter.WriteHeader(code)
}

// Write writes a part of the answer.
func (p *patience) Write(b []byte) (int, error) {
	p.begin()
	return p.ResponseWriter.Write(b)
}

// timedBody takes the deadline away when the body has come: who waits for the answer
// has nothing to send.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read reads a part of the body.
func (b *timedBody) Read(p []byte) (int, error) {
	k, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{}) // as in patient
	}
	return k, err
}
