package admin

import (
	"time"

	"github.com/valyala/fastjson"

	"lockd/client"
)

// AppendHold appends a detached hold, and until when nobody else can be granted its
// lock.
func AppendHold(dst []byte, d client.DetachedHold, until time.Time) []byte {
	o := newObject(new(fastjson.Arena))
	o.name("name", d.Name)
	o.number("token", d.Token)
	o.number("session", d.Session)
	o.text("until", until.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano))
	return o.end(dst)
}

// AppendLeader appends who leads an election, nobody if it is the zero Leader.
func AppendLeader(dst []byte, l *client.Leader, now time.Time) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("time", now.UTC().Format(time.RFC3339Nano))
	if l.Token == 0 {
		o.value.Set("leader", o.arena.NewNull())
		return o.end(dst)
	}
	o.name("leader", l.Client)
	o.number("token", l.Token)
	o.name("value", string(l.Value))
	o.text("since", l.Since.UTC().Format(time.RFC3339Nano))
	return o.end(dst)
}

// BenchRow is how long one kind of call took.
type BenchRow struct {
	What          string
	Count         int
	P50, P99, Max time.Duration
}

// AppendBench appends what lockd bench has measured.
func AppendBench(dst []byte, workers int, took time.Duration, rows []BenchRow) []byte {
	o := newObject(new(fastjson.Arena))
	o.count("workers", workers)
	o.number("duration_us", uint64(took.Microseconds()))
	for _, r := range rows {
		x := newObject(o.arena)
		x.count("count", r.Count)
		x.number("p50_us", uint64(r.P50.Microseconds()))
		x.number("p99_us", uint64(r.P99.Microseconds()))
		x.number("max_us", uint64(r.Max.Microseconds()))
		o.value.Set(r.What, x.value)
	}
	return o.end(dst)
}
