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

// AppendGate appends what a verb at a latch or a barrier has to tell: a number with a
// name.
func AppendGate(dst []byte, name, key string, number uint64) []byte {
	o := newObject(new(fastjson.Arena))
	o.name("name", name)
	o.number(key, number)
	return o.end(dst)
}

// AppendValue appends the value of a lock that has one.
func AppendValue(dst []byte, info *client.LockInfo) []byte {
	o := newObject(new(fastjson.Arena))
	o.name("name", info.Name)
	o.lockValue(&info.Value)
	return o.end(dst)
}

// AppendToken appends how a token of a lock stands.
func AppendToken(dst []byte, name string, token uint64, s *client.TokenState) []byte {
	o := newObject(new(fastjson.Arena))
	o.name("name", name)
	o.number("token", token)
	o.truth("current", truth(s.Current))
	o.number("newest", s.Newest)
	return o.end(dst)
}

// Version is what a binary is and speaks.
type Version struct {
	Build, Go, OS, Arch string
	// Client and Peer are the newest protocols it speaks.
	Client, Peer uint16
}

// AppendVersion appends what a binary is.
func AppendVersion(dst []byte, v *Version) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("build", v.Build)
	o.text("go", v.Go)
	o.text("os", v.OS)
	o.text("arch", v.Arch)
	o.number("client_protocol", uint64(v.Client))
	o.number("peer_protocol", uint64(v.Peer))
	return o.end(dst)
}
