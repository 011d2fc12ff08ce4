package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/valyala/fastjson"

	"lockd/client"
)

// AppendHistory appends who held a lock.
func AppendHistory(dst []byte, h *client.History) []byte {
	o := newObject(new(fastjson.Arena))
	o.name("name", h.Name)
	o.list("holds", len(h.Holds), func(i int) *fastjson.Value {
		e := newObject(o.arena)
		e.past(&h.Holds[i])
		return e.value
	})
	if h.More {
		o.truth("more", true)
	}
	o.truth("complete", truth(h.Complete))
	if !h.Since.IsZero() {
		o.moment("known_since", h.Since)
	}
	o.list("unknown", len(h.Unknown), func(i int) *fastjson.Value {
		e := newObject(o.arena)
		if from := h.Unknown[i].From; !from.IsZero() {
			e.moment("from", from)
		}
		e.moment("to", h.Unknown[i].To)
		return e.value
	})
	o.list("silent", len(h.Silent), func(i int) *fastjson.Value {
		e := newObject(o.arena)
		e.number("node", uint64(h.Silent[i].Node))
		e.text("error", h.Silent[i].Err.Error())
		return e.value
	})
	if h.Current != nil {
		o.text("current_error", h.Current.Error())
	}
	return o.end(dst)
}

// moment adds a time.
func (o object) moment(key string, t time.Time) {
	o.text(key, t.UTC().Format(time.RFC3339Nano))
}

// past adds what is known of one hold.
func (o object) past(p *client.PastHold) {
	o.name("holder", p.Client)
	if !p.Kept {
		o.number("session", p.Session)
	}
	o.number("token", p.Token)
	o.text("mode", p.Mode.String())
	if p.Permits > 0 {
		o.count("permits", p.Permits)
	}
	if p.Owner != 0 {
		o.number("owner", p.Owner)
	}
	o.holding(truth(p.Kept), truth(p.Detached))
	o.moment("from", p.Start)
	o.about("from", p.StartAbout)
	if p.Moved {
		o.truth("moved", true)
	}
	if !p.Stands() {
		o.moment("to", p.End)
		o.about("to", p.EndAbout)
		o.millis("held_ms", p.End.Sub(p.Start))
	}
	o.text("end", p.How.String())
	if p.How == client.EndConverted {
		o.text("to_mode", p.To.String())
	}
	if p.How == client.EndForced {
		o.name("forced_by", p.Who)
		o.name("reason", p.Reason)
	}
	if p.Stays {
		o.truth("stays", true)
	}
}

// about adds how far a time may be off, if it may.
func (o object) about(key string, a client.About) {
	switch {
	case a < 0:
		o.truth(key+"_or_earlier", true)
	case a > 0:
		o.millis(key+"_or_later_ms", time.Duration(a))
	}
}

// historyOptions reads what is asked for: name, at, from, to and limit.
func historyOptions(r *http.Request) (client.HistoryOptions, error) {
	var o client.HistoryOptions
	if err := needName(r); err != nil {
		return o, err
	}
	for _, x := range []struct {
		key string
		to  *time.Time
	}{{"at", &o.At}, {"from", &o.From}, {"to", &o.To}} {
		text := r.FormValue(x.key)
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return o, fmt.Errorf("%s is %q, must be a time as in RFC 3339, 2006-01-02T15:04:05Z", x.key,
				text)
		}
		*x.to = at
	}
	var err error
	o.Limit, err = atMost(r, "limit", 0, maxPage)
	return o, err
}
