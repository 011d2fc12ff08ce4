package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

func TestMomentsOfThePast(t *testing.T) {
	zone := time.FixedZone("there", 3600)
	now := time.Date(2026, 11, 28, 9, 30, 0, 500, zone)
	const second = time.Second - time.Millisecond
	for _, row := range []struct {
		text string
		want time.Time
		wide time.Duration
	}{
		{"08:03:07", time.Date(2026, 11, 28, 8, 3, 7, 0, zone), second},
		{"14:03:07", time.Date(2026, 11, 27, 14, 3, 7, 0, zone), second},
		{"08:03:07.25", time.Date(2026, 11, 28, 8, 3, 7, 250e6, zone), 0},
		{"08:03:07.0", time.Date(2026, 11, 28, 8, 3, 7, 0, zone), 0},
		{"14:03", time.Date(2026, 11, 27, 14, 3, 0, 0, zone), second},
		{"2026-03-01 23:00:01", time.Date(2026, 3, 1, 23, 0, 1, 0, zone), second},
		{"2026-03-01T23:00:01", time.Date(2026, 3, 1, 23, 0, 1, 0, zone), second},
		{"2026-03-01", time.Date(2026, 3, 1, 0, 0, 0, 0, zone), second},
		{"2026-03-01T23:00:01Z", time.Date(2026, 3, 1, 23, 0, 1, 0, time.UTC), second},
		{"2026-03-01T23:00:01.5+02:00", time.Date(2026, 3, 1, 21, 0, 1, 500e6, time.UTC), 0},
	} {
		first, last, err := parseMoment(row.text, now)
		if err != nil || !first.Equal(row.want) || last.Sub(first) != row.wide {
			t.Errorf("%s: got %s to %s, %v, want %s and %s", row.text, first, last, err, row.want, row.wide)
		}
	}
	for _, text := range []string{"", "yesterday", "25:00:00", "14", "2026-13-01", "14:03:07Z"} {
		if first, _, err := parseMoment(text, now); err == nil {
			t.Errorf("%q: got %s, want an error", text, first)
		}
	}
}

func TestHistoryQuestions(t *testing.T) {
	now := time.Date(2026, 11, 28, 9, 30, 0, 0, time.UTC)
	q := pastQuestion{since: 2 * time.Hour, rows: 7}
	o, err := q.options(now)
	if err != nil || !o.From.Equal(now.Add(-2*time.Hour)) || !o.To.IsZero() || o.Limit != 7 {
		t.Errorf("since: got %+v, %v", o, err)
	}
	q = pastQuestion{at: "08:00:00"}
	o, err = q.options(now)
	if err != nil || o.To.Sub(o.From) != time.Second-time.Millisecond || o.From.Hour() != 8 {
		t.Errorf("at: got %+v, %v", o, err)
	}
	for _, q := range []pastQuestion{{at: "08:00", since: 1}, {at: "08:00", from: "07:00"},
		{since: 1, from: "07:00"}, {from: "08:00", to: "07:00"}, {to: "x"}} {
		if o, err := q.options(now); exitCode(err) != exitUsage {
			t.Errorf("%+v: got %+v, %v, want exit code %d", q, o, err, exitUsage)
		}
	}
}

// A history is printed with who, when and how, and what is not known is said beside it.
func TestHistoryIsPrinted(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 11, 28, 14, 3, s, 0, time.Local) }
	h := &client.History{Name: "a", Since: at(0), Unknown: []client.Period{{To: at(0)},
		{From: at(2), To: at(3)}}, Silent: []client.NodeError{{Node: 3, Err: errors.New("down")}},
		Holds: []client.PastHold{
			{Client: "me", Token: 9, Mode: client.Exclusive, Session: 4, Start: at(50)},
			{Client: "ci", Token: 8, Mode: client.Shared, Session: 5, Start: at(10), End: at(20),
				StartAbout: -1, EndAbout: client.About(1500 * time.Millisecond), How: client.EndForced,
				Who: "ops", Reason: "stuck"},
			{Token: 7, Kept: true, Permits: 2, Start: at(4), End: at(5), How: client.EndFreed},
			{Client: "ci", Token: 7, Owner: 77, Mode: client.Exclusive, Session: 5, Start: at(3), End: at(4),
				How: client.EndConverted, To: client.Shared, Stays: true},
		}}
	var out, problems bytes.Buffer
	sh := &shell{out: &out, err: &problems}
	if err := printPast(sh, h, &client.HistoryOptions{Limit: 50}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"me\texclusive\t9\t2026-11-28 14:03:50.000\t-\t", "\tholds\t4\n",
		"ci\tshared\t8\t≤2026-11-28 14:03:10.000\t2026-11-28 14:03:20.000 ~1.5s\t10s\t",
		"\tforced by ops: stuck\t5\n",
		"nobody (stays taken)\t2 permits\t7\t2026-11-28 14:03:04.000\t2026-11-28 14:03:05.000\t",
		"\t1s\tfreed\t-\n",
		"ci\texclusive, owner 77\t7\t", "\tconverted to shared, stays taken\t5\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%swant in it %q", out.String(), want)
		}
	}
	for _, want := range []string{"reaches back to 2026-11-28 14:03:00.000",
		"between 2026-11-28 14:03:02", "node 3 may know more, and did not say: down"} {
		if !strings.Contains(problems.String(), want) {
			t.Errorf("got on standard error %q, want in it %q", problems.String(), want)
		}
	}
	out.Reset()
	none := &client.History{Name: "a", Complete: true, Since: at(0)}
	o := &client.HistoryOptions{From: at(7), To: at(8)}
	if err := printPast(sh, none, o); err != nil ||
		out.String() != "nobody held \"a\" from 2026-11-28 14:03:07.000 to 2026-11-28 14:03:08.000\n" {
		t.Errorf("nobody: got %q, %v", out.String(), err)
	}
	for _, h := range []*client.History{
		{Name: "a", Complete: true, Since: at(0), Unknown: []client.Period{{From: at(9), To: at(10)}}},
		{Name: "a", Complete: true, Since: at(0), Current: errors.New("down")},
	} {
		out.Reset()
		if err := printPast(sh, h, o); err != nil ||
			!strings.HasPrefix(out.String(), "nobody is known to have held \"a\" from ") {
			t.Errorf("%+v: got %q, %v", h, out.String(), err)
		}
	}
	for _, h := range []*client.History{
		{Name: "a", Unknown: []client.Period{{From: at(7), To: at(8)}}},
		{Name: "a", Since: at(9), Unknown: []client.Period{{From: at(7), To: at(8)}}},
	} {
		if err := printPast(sh, h, o); exitCode(err) != exitFailure {
			t.Errorf("%+v: got %v, want exit code %d", h, err, exitFailure)
		}
	}
}
