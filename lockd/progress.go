package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress says at a terminal how far what is waited for has come, once a second if that
// has changed. Elsewhere it says nothing.
type progress struct {
	to      io.Writer
	watched bool
	next    time.Time // when it may say something again
	last    string
}

// progressEvery is how often progress is told at most, and how long nothing is.
const progressEvery = time.Second

func newProgress(sh *shell) *progress {
	return &progress{to: sh.err, watched: isTerminal(sh.err), next: time.Now().Add(progressEvery)}
}

// due says whether something would be said now.
func (p *progress) due(now time.Time) bool { return p.watched && !now.Before(p.next) }

// say tells how it stands.
func (p *progress) say(text string) {
	now := time.Now()
	if !p.due(now) || text == p.last {
		return
	}
	p.last, p.next = text, now.Add(progressEvery)
	fmt.Fprintf(p.to, "lockd: waiting: %s\n", strings.TrimSuffix(text, ","))
}
