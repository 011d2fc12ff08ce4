package admin

import (
	"time"

	"github.com/valyala/fastjson"

	"lockd/client"
)

// AppendEvent appends one event of a watch, on a line of its own.
func AppendEvent(dst []byte, e *client.WatchEvent, at time.Time) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("at", at.UTC().Format(time.RFC3339Nano))
	o.text("change", e.Change.String())
	o.name("name", e.Name)
	o.text("version", e.Version.String())
	o.number("slot", e.Version.Slot)
	o.count("holders", e.Holders)
	o.count("waiters", e.Waiters)
	o.permits(e.Taken, e.Capacity)
	if !e.Free() {
		o.name("holder", e.Client)
		o.number("session", e.Session)
		o.number("token", e.Token)
		o.text("mode", e.Mode.String())
		o.millis("held_ms", e.Held)
		o.holding(truth(e.Kept), truth(e.Detached))
		if e.Stands {
			o.truth("stands", true)
		}
	}
	return o.end(dst)
}

// AppendWhy appends what a request waits for. What is not known is left out.
func AppendWhy(dst []byte, w *client.WhyInfo) []byte {
	o := lockObject(&w.LockInfo)
	o.count("position", w.Position)
	o.count("samples", w.Samples)
	if w.Samples > 0 {
		o.millis("usual_hold_ms", w.Usual)
	}
	if w.Estimate >= 0 {
		o.millis("estimate_ms", w.Estimate)
	}
	return o.end(dst)
}

// AppendTop appends the most contended names.
func AppendTop(dst []byte, top []client.TopEntry) []byte {
	o := newObject(new(fastjson.Arena))
	o.list("locks", len(top), func(i int) *fastjson.Value {
		e := newObject(o.arena)
		e.name("name", top[i].Name)
		e.count("score", top[i].Score)
		e.number("waits", top[i].Waits)
		e.number("refusals", top[i].Refusals)
		if top[i].Usual >= 0 {
			e.millis("usual_hold_ms", top[i].Usual)
		}
		e.number("node", uint64(top[i].Node))
		return e.value
	})
	return o.end(dst)
}
