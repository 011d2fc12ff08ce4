package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
)

func historyVerb() verb {
	return verb{
		name:  "history",
		args:  "NAME",
		brief: "show who held a lock, when, with which token, and how it ended",
		help: `
Newest first: holds that stand, then those that ended. With --at only who held it then;
a moment in whole seconds is that second. A moment is 14:03:07, which is the last that
was, 2006-01-02 15:04:05, or as in RFC 3339; times are read and shown in the zone of
this machine. Each node writes down what ended, by its own clock, and all are asked:
times are exact to about 300 ms. "~5s" behind one says that it may have been so much
later, because the node was not up to date then, or log time stood still; "≤" that it
may have been earlier. What no node knows of the time that was asked for is said on
standard error; if that is all of it, the exit code is 1. A session that was let go
with its conn (release on disconnect) expired.`,
		begin: func(flags *flag.FlagSet) action {
			var q pastQuestion
			var cluster clusterFlags
			var out format
			cluster.declare(flags)
			out.declare(flags)
			q.declare(flags)
			return func(sh *shell, args []string) error {
				if err := needArgs(args, "NAME"); err != nil {
					return err
				}
				opts, err := q.options(time.Now())
				if err != nil {
					return err
				}
				ctx := context.Background()
				c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
				if err != nil {
					return err
				}
				defer closeClient(c)
				h, err := c.History(ctx, args[0], opts)
				if errors.Is(err, client.ErrNoHistory) {
					return failf(exitFailure, "%v", err)
				}
				if err != nil {
					return clientFailure(err)
				}
				if out == "json" {
					_, err := sh.out.Write(admin.AppendHistory(nil, h))
					return err
				}
				return printPast(sh, h, &opts)
			}
		},
	}
}

// pastQuestion are the flags of lockd history.
type pastQuestion struct {
	at, from, to string
	since        time.Duration
	rows         int
}

func (q *pastQuestion) declare(flags *flag.FlagSet) {
	flags.StringVar(&q.at, "at", "", "who held it at this `moment`")
	flags.StringVar(&q.from, "from", "", "leave out what ended before this `moment`")
	flags.StringVar(&q.to, "to", "", "leave out what began after this `moment`")
	declareSpan(flags, span{to: &q.since, least: time.Millisecond, zero: zeroIsNone}, "since", 0,
		"leave out what ended this `long` ago or longer")
	declareNumber(flags, number{to: &q.rows, least: 1, most: 100_000}, "n", 50,
		"show at most so `many` holds")
}

// options is what the flags ask for.
func (q *pastQuestion) options(now time.Time) (client.HistoryOptions, error) {
	o := client.HistoryOptions{Limit: q.rows}
	switch {
	case q.at != "" && (q.from != "" || q.to != "" || q.since != 0):
		return o, failf(exitUsage, "history: --at stands alone, without --from, --to and --since")
	case q.since != 0 && q.from != "":
		return o, failf(exitUsage, "history: --since and --from exclude each other")
	case q.since != 0:
		o.From = now.Add(-q.since)
	}
	for _, x := range []struct {
		flag, text string
		begin, end *time.Time
	}{{"--at", q.at, &o.From, &o.To}, {"--from", q.from, &o.From, nil}, {"--to", q.to, nil, &o.To}} {
		if x.text == "" {
			continue
		}
		first, last, err := parseMoment(x.text, now)
		if err != nil {
			return o, failf(exitUsage, "history: %s: %v", x.flag, err)
		}
		if x.begin != nil {
			*x.begin = first
		}
		if x.end != nil {
			*x.end = last
		}
	}
	if !o.To.IsZero() && o.From.After(o.To) {
		return o, failf(exitUsage, "history: it would begin at %s and end before, at %s",
			momentText(o.From), momentText(o.To))
	}
	return o, nil
}

// parseMoment reads a moment, of which whole seconds have a first and a last one.
func parseMoment(text string, now time.Time) (first, last time.Time, err error) {
	at, err := time.Parse(time.RFC3339, text)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05",
		"2006-01-02 15:04", "2006-01-02"} {
		if err != nil {
			at, err = time.ParseInLocation(layout, text, now.Location())
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if err == nil {
			break
		}
		var of time.Time
		if of, err = time.Parse(layout, text); err == nil {
			y, m, d := now.Date()
			clock := func(day int) time.Time {
				return time.Date(y, m, day, of.Hour(), of.Minute(), of.Second(), of.Nanosecond(),
					now.Location())
			}
			if at = clock(d); at.After(now) {
				at = clock(d - 1)
			}
		}
	}
	if err != nil {
		return at, at, fmt.Errorf("%q is no moment: write 14:03:07, 2006-01-02 15:04:05 or "+
			"2006-01-02T15:04:05Z", text)
	}
	last = at
	if at.Nanosecond() == 0 && !strings.Contains(text, ".") {
		last = at.Add(time.Second - time.Millisecond)
	}
	return at, last, nil
}

func momentText(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000") }

// printPast prints a history, and what is not known of it.
func printPast(sh *shell, h *client.History, o *client.HistoryOptions) error {
	for _, line := range unknownLines(h, o) {
		fmt.Fprintln(sh.err, "lockd: "+line)
	}
	if len(h.Holds) == 0 {
		if len(h.Unknown) > 0 && h.Since.IsZero() || coversAll(h, o) {
			return failf(exitFailure, "lock %q: nothing is known of that time", h.Name)
		}
		held := "nobody held"
		if len(h.Unknown) > 0 || h.Current != nil {
			held = "nobody is known to have held"
		}
		_, err := fmt.Fprintf(sh.out, "%s %s%s\n", held, strconv.Quote(h.Name), whenText(h, o))
		return err
	}
	return pastTable(h).print(sh)
}

// coversAll reports whether nothing is known of all the time that was asked for.
func coversAll(h *client.History, o *client.HistoryOptions) bool {
	if len(h.Unknown) != 1 {
		return false
	}
	u := h.Unknown[0]
	return !u.From.After(o.From) && !o.To.IsZero() && !u.To.Before(o.To)
}

// whenText says for what time nobody held a lock.
func whenText(h *client.History, o *client.HistoryOptions) string {
	from := o.From
	if from.IsZero() && !h.Complete {
		from = h.Since
	}
	text := ""
	if !from.IsZero() {
		text = " from " + momentText(from)
	}
	if !o.To.IsZero() {
		text += " to " + momentText(o.To)
	}
	return text
}

// unknownLines says what is not known.
func unknownLines(h *client.History, o *client.HistoryOptions) []string {
	var lines []string
	if h.Current != nil {
		lines = append(lines, fmt.Sprintf("who holds %q now is not known: %v", h.Name, h.Current))
	}
	for _, u := range h.Unknown {
		switch {
		case h.Since.IsZero():
			lines = append(lines, fmt.Sprintf("no node knows who held %q", h.Name))
		case !u.To.After(h.Since) && !h.Complete:
			lines = append(lines, fmt.Sprintf("the history reaches back to %s, not further",
				momentText(h.Since)))
		default:
			lines = append(lines, fmt.Sprintf("what ended between %s and %s is not known",
				momentText(u.From), momentText(u.To)))
		}
	}
	if len(h.Unknown) > 0 {
		for _, n := range h.Silent {
			lines = append(lines, fmt.Sprintf("node %d may know more, and did not say: %v", n.Node, n.Err))
		}
	}
	if h.More {
		lines = append(lines, fmt.Sprintf("older holds are left out after %d; -n shows more", o.Limit))
	}
	return lines
}

func pastTable(h *client.History) *table {
	t := &table{header: []string{"HOLDER", "MODE", "TOKEN", "FROM", "TO", "HELD", "END", "SESSION"}}
	for i := range h.Holds {
		p := &h.Holds[i]
		who := holderCell{client: p.Client, kept: p.Kept, detached: p.Detached}
		mode := kindName(p.Mode, &client.ClaimKind{Permits: p.Permits})
		if p.Owner != 0 {
			mode += ", owner " + strconv.FormatUint(p.Owner, 10)
		}
		session, to, held := sessionText(p.Session), "-", time.Since(p.Start)
		if p.Kept {
			session = "-"
		}
		if !p.Stands() {
			to, held = aboutText(p.End, p.EndAbout), p.End.Sub(p.Start)
		}
		t.add(who.String(), mode, strconv.FormatUint(p.Token, 10), aboutText(p.Start, p.StartAbout),
			to, age(max(0, held)), endText(p), session)
	}
	return t
}

// aboutText is a time with how far it may be off.
func aboutText(at time.Time, a client.About) string {
	switch {
	case a < 0:
		return "≤" + momentText(at)
	case a > 0:
		return momentText(at) + " ~" + age(time.Duration(a))
	default:
		return momentText(at)
	}
}

// endText says how a hold ended.
func endText(p *client.PastHold) string {
	text := p.How.String()
	switch p.How {
	case client.Standing:
		text = "holds"
		if p.Kept {
			text = "stays taken"
		}
	case client.EndConverted:
		text = "converted to " + modeName(p.To)
	case client.EndForced:
		text = fmt.Sprintf("forced by %s: %s", p.Who, p.Reason)
	}
	if p.Stays {
		text += ", stays taken"
	}
	return text
}
