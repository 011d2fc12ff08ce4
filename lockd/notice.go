package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"lockd/client"
)

// notice says, once, what a verb waits for that is not granted a lock: a wait may
// last for ever, and a terminal that shows nothing looks like one that hangs. The
// zero value says nothing.
type notice struct {
	// after is how long a wait lasts before it is explained.
	after time.Duration
	// ask returns what to say, empty if nothing. It waits for nodes, no longer than
	// its context.
	ask func(context.Context) string
	to  io.Writer
}

// noticeAfter is how long a person at a terminal waits without a word.
const noticeAfter = time.Second

// noticeAnswer is how long it may take to find out what a wait is for.
const noticeAnswer = 2 * time.Second

// noLeader is what keeps a lock from being granted if it is nobody who holds it.
const noLeader = "no leader of its group answers: a majority of its nodes may be missing " +
	"(lockd cluster status)"

// awaited is what a verb waits for, and what kind of thing that is: a lock, an election,
// a latch and so on.
type awaited struct {
	kind  string
	names []string
}

// newNotice returns the notice of a wait. At a terminal it tells who is in
// the way. Elsewhere that is nobody's concern, and it tells only if nobody answered
// for as long as an answer may take.
func newNotice(sh *shell, c *client.Client, what awaited, timeout time.Duration) notice {
	n := notice{after: timeout, to: sh.err}
	watched := isTerminal(sh.err)
	if watched {
		n.after = min(noticeAfter, timeout)
	}
	n.ask = func(ctx context.Context) string {
		text, silent, err := inTheWay(ctx, c, what.names)
		switch {
		case errors.Is(err, client.ErrClosed), errors.Is(err, context.Canceled):
			return ""
		case errors.Is(err, client.ErrBusy):
			return fmt.Sprintf("%s %q: %v", what.kind, silent, oneLine{err})
		case err != nil:
			return fmt.Sprintf("%s %q: %s: %v", what.kind, silent, noLeader, oneLine{err})
		case !watched:
			return ""
		}
		return text
	}
	return n
}

// newSilence returns the notice of a verb that waits for news and has got none: it tells,
// by itself, if nobody answers a question that it asks meanwhile.
func newSilence(sh *shell, what string, timeout time.Duration,
	question func(context.Context) error) notice {
	n := notice{after: timeout, to: sh.err}
	n.ask = func(ctx context.Context) string {
		err := question(ctx)
		if errors.Is(err, client.ErrUnavailable) {
			n.print(fmt.Sprintf("%s: %s: %v", what, noLeader, oneLine{err}))
		}
		return ""
	}
	return n
}

// begin has the text come by the returned channel, if there is anything to say, until
// stop is called.
func (n *notice) begin() (text <-chan string, stop func()) {
	if n.ask == nil {
		return nil, func() {}
	}
	found := make(chan string, 1)
	return found, n.start(found)
}

func (n *notice) print(text string) { fmt.Fprintf(n.to, "lockd: waiting: %s\n", text) }

// inTheWay says who holds the first of the locks that another client than ours
// holds, or what one waits for where nobody holds anything. The error says why nothing
// is known of one, which is silent.
func inTheWay(ctx context.Context, c *client.Client, names []string) (text, silent string,
	err error) {
	ours := clientName()
	for _, name := range names {
		w, err := c.Why(ctx, name)
		switch {
		case errors.Is(err, client.ErrUnsupported): // nothing is known
		case err != nil:
			return "", name, err
		case w.Gate != 0 && text == "":
			text = gateWait(w)
		case len(w.Holders) > 0 && w.Holders[0].Client != ours && text == "":
			held := client.HeldError{Name: name, Info: &w.LockInfo}
			text = held.Error()
		}
	}
	return text, "", nil
}
