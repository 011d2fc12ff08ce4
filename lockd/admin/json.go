package admin

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"lockd/client"
	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/paxos"
)

// object builds one JSON object. It borrows its arena.
type object struct {
	arena *fastjson.Arena
	value *fastjson.Value
}

func newObject(a *fastjson.Arena) object { return object{a, a.NewObject()} }

func (o object) text(key, v string) {
	// What fastjson makes of a string with a control character is no JSON.
	o.value.Set(key, o.arena.NewNumberString(quoted(strings.ToValidUTF8(v, "\ufffd"))))
}

// quoted is a string of JSON. Requires: v is UTF-8.
func quoted(v string) string {
	b := append(make([]byte, 0, len(v)+2), '"')
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = fmt.Appendf(b, "\\u%04x", c)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

func (o object) count(key string, v int) { o.value.Set(key, o.arena.NewNumberInt(v)) }

func (o object) number(key string, v uint64) {
	o.value.Set(key, o.arena.NewNumberString(strconv.FormatUint(v, 10)))
}

func (o object) millis(key string, d time.Duration) {
	o.value.Set(key, o.arena.NewNumberString(strconv.FormatInt(d.Milliseconds(), 10)))
}

// name adds the name of a lock or a client, or a payload. These are bytes and JSON knows
// none, so what is no UTF-8 comes a second time, in base64.
func (o object) name(key, v string) {
	o.text(key, v)
	if !utf8.ValidString(v) {
		o.text(key+"_base64", base64.StdEncoding.EncodeToString([]byte(v)))
	}
}

// permits adds how many permits of a semaphore are held; a lock has none.
func (o object) permits(taken, capacity int) {
	if capacity > 0 {
		o.count("capacity", capacity)
		o.count("taken", taken)
	}
}

// gate adds which of a latch, an event and a barrier a name is, if it is one, and
// its number.
func (o object) gate(kind string, number int) {
	if kind == "" {
		return
	}
	o.text("gate", kind)
	if number > 0 {
		o.count("number", number)
	}
}

// kind adds what a hold or a wait is beyond its mode.
func (o object) kind(k *client.ClaimKind) {
	if k.Permits > 0 {
		o.count("permits", k.Permits)
	}
	if k.Owner != 0 {
		o.number("owner", k.Owner)
		o.count("depth", k.Depth)
	}
}

// data adds what a holder lets others read.
func (o object) data(h *client.Holder) {
	if len(h.Payload) > 0 {
		o.name("payload", string(h.Payload))
	}
	if len(h.Labels) > 0 {
		labels := newObject(o.arena)
		for _, key := range slices.Sorted(maps.Keys(h.Labels)) {
			labels.text(key, h.Labels[key])
		}
		o.value.Set("labels", labels.value)
		o.labelBytes(h.Labels)
	}
	o.holding(truth(h.Kept), truth(h.Detached))
	if h.DataLeftOut {
		o.truth("data_left_out", true)
	}
}

// holding adds that a hold is over and keeps the lock taken, or is detached, if it is so.
func (o object) holding(kept, detached truth) {
	if kept {
		o.truth("kept", true)
	}
	if detached {
		o.truth("detached", true)
	}
}

// labelBytes adds all labels in base64, in the order of their keys, if one is no UTF-8:
// our clients send none such, others may.
func (o object) labelBytes(labels map[string]string) {
	keys := slices.Sorted(maps.Keys(labels))
	if !slices.ContainsFunc(keys, func(key string) bool {
		return !utf8.ValidString(key) || !utf8.ValidString(labels[key])
	}) {
		return
	}
	o.list("labels_base64", len(keys), func(i int) *fastjson.Value {
		l := newObject(o.arena)
		l.text("key", base64.StdEncoding.EncodeToString([]byte(keys[i])))
		l.text("value", base64.StdEncoding.EncodeToString([]byte(labels[keys[i]])))
		return l.value
	})
}

func (o object) truth(key string, v truth) {
	if v {
		o.value.Set(key, o.arena.NewTrue())
	} else {
		o.value.Set(key, o.arena.NewFalse())
	}
}

// truth is a value of JSON, not a switch.
type truth bool

func (o object) list(key string, n int, at func(int) *fastjson.Value) {
	list := o.arena.NewArray()
	for i := range n {
		list.SetArrayItem(i, at(i))
	}
	o.value.Set(key, list)
}

func (o object) end(dst []byte) []byte { return append(o.value.MarshalTo(dst), '\n') }

func appendError(dst []byte, text string) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("error", text)
	return o.end(dst)
}

// appendNode appends a picture of a node as it knows itself.
func appendNode(dst []byte, s *node.Status, opts *Options) []byte {
	o := newObject(new(fastjson.Arena))
	o.number("node", uint64(s.Node))
	o.text("cluster", s.Cluster)
	o.text("build", opts.Build)
	o.truth("ready", truth(s.Ready()))
	if reason := NotReady(s); reason != "" {
		o.text("reason", reason)
	}
	o.truth("born", truth(s.Born))
	o.truth("draining", truth(s.Draining))
	o.truth("disk_stalled", truth(s.Stalled))
	o.faults(opts.Faults)
	o.text("disk", fmt.Sprintf("%016x", uint64(s.Disk)))
	o.millis("uptime_ms", time.Duration(s.Uptime))
	o.number("durable", s.Durable)
	o.number("appended", s.Appended)
	o.count("conns", s.Conns)
	o.list("peers", len(s.Peers), func(i int) *fastjson.Value {
		p := newObject(o.arena)
		p.number("node", uint64(s.Peers[i].Node))
		p.truth("up", truth(s.Peers[i].Up))
		return p.value
	})
	if s.Record != nil {
		o.number("record", s.RecordVersion)
		o.count("moving", s.Moving)
		o.list("nodes", len(s.Record.Nodes), func(i int) *fastjson.Value {
			return listedValue(o.arena, &s.Record.Nodes[i])
		})
		o.list("leaders", len(s.Record.Homes), func(i int) *fastjson.Value {
			return leaderValue(o.arena, s, i)
		})
	}
	o.list("groups", len(s.Groups), func(i int) *fastjson.Value {
		return groupValue(o.arena, &s.Groups[i])
	})
	return o.end(dst)
}

func listedValue(a *fastjson.Arena, x *placement.Node) *fastjson.Value {
	o := newObject(a)
	o.number("node", uint64(x.ID))
	o.text("state", x.State.String())
	o.text("disk", fmt.Sprintf("%016x", uint64(x.Disk)))
	if x.Peer != "" {
		o.text("peer", x.Peer)
	}
	if x.Client != "" {
		o.text("client", x.Client)
	}
	return o.value
}

// leaderValue says who leads a group of the cluster, as far as the node knows, and who
// is to.
func leaderValue(a *fastjson.Arena, s *node.Status, group int) *fastjson.Value {
	o := newObject(a)
	o.count("group", group)
	leader := paxos.NoNode
	if group < len(s.Leaders) {
		leader = s.Leaders[group]
	}
	o.number("leader", uint64(leader))
	o.number("preferred", uint64(s.Record.Homes[group][0]))
	return o.value
}

func groupValue(a *fastjson.Arena, s *node.GroupStatus) *fastjson.Value {
	g := newObject(a)
	g.number("group", uint64(s.Group))
	g.text("role", s.Role.String())
	g.truth("leading", truth(s.Leading))
	g.number("leader", uint64(s.Leader))
	g.number("ballot_round", s.Promised.Round)
	g.number("ballot_node", uint64(s.Promised.Node))
	g.number("chosen", uint64(s.Chosen))
	g.number("applied", uint64(s.Applied))
	g.number("saved", uint64(s.Saved))
	g.number("sessions", uint64(s.Sessions))
	g.number("locks", uint64(s.Locks))
	g.number("waiters", uint64(s.Waiters))
	return g.value
}

// AppendList appends a page of locks. A full page ends with the name to go on
// after.
func AppendList(dst []byte, list []client.ListEntry, limit int) []byte {
	o := newObject(new(fastjson.Arena))
	o.list("locks", len(list), func(i int) *fastjson.Value {
		e := newObject(o.arena)
		e.name("name", list[i].Name)
		e.name("holder", list[i].Client)
		e.number("token", list[i].Token)
		e.text("mode", list[i].Mode.String())
		e.count("holders", list[i].HolderCount)
		e.count("waiters", list[i].WaiterCount)
		e.permits(list[i].Taken, list[i].Capacity)
		e.gate(list[i].Gate.String(), list[i].Number)
		e.millis("held_ms", list[i].Held)
		e.holding(truth(list[i].Kept), truth(list[i].Detached))
		return e.value
	})
	if len(list) > 0 && len(list) == limit {
		o.name("next", list[len(list)-1].Name)
	}
	return o.end(dst)
}

// AppendLock appends the holders and the queue of one lock.
func AppendLock(dst []byte, info *client.LockInfo) []byte { return lockObject(info).end(dst) }

func lockObject(info *client.LockInfo) object {
	o := newObject(new(fastjson.Arena))
	o.name("name", info.Name)
	o.count("holders", info.HolderCount)
	o.count("waiters", info.WaiterCount)
	o.permits(info.Taken, info.Capacity)
	o.gate(info.Gate.String(), info.Number)
	if len(info.Value.Data) > 0 {
		o.lockValue(&info.Value)
	}
	o.list("held_by", len(info.Holders), func(i int) *fastjson.Value {
		h := newObject(o.arena)
		h.name("holder", info.Holders[i].Client)
		if info.Gate == 0 && !info.Holders[i].Kept { // else it is nobody's
			h.number("session", info.Holders[i].Session)
		}
		h.number("token", info.Holders[i].Token)
		h.text("mode", info.Holders[i].Mode.String())
		h.kind(&info.Holders[i].ClaimKind)
		h.text("since", info.Holders[i].Since.UTC().Format(time.RFC3339Nano))
		h.millis("held_ms", info.Holders[i].Held)
		h.millis("lease_left_ms", info.Holders[i].LeaseLeft)
		h.data(&info.Holders[i])
		return h.value
	})
	o.list("queue", len(info.Waiters), func(i int) *fastjson.Value {
		w := newObject(o.arena)
		w.name("waiter", info.Waiters[i].Client)
		w.number("session", info.Waiters[i].Session)
		w.text("mode", info.Waiters[i].Mode.String())
		w.kind(&info.Waiters[i].ClaimKind)
		w.count("weight", int(info.Waiters[i].Weight))
		w.millis("waited_ms", info.Waiters[i].Waited)
		return w.value
	})
	return o
}

// lockValue adds the value of a lock.
func (o object) lockValue(v *client.LockValue) {
	o.name("value", string(v.Data))
	o.number("value_token", v.Token)
	o.truth("value_doubtful", truth(v.Doubtful))
}

// AppendCluster appends what every node says of itself.
func AppendCluster(dst []byte, all []client.NodeStatus) []byte {
	o := newObject(new(fastjson.Arena))
	o.list("nodes", len(all), func(i int) *fastjson.Value {
		s := &all[i]
		n := newObject(o.arena)
		n.number("node", uint64(s.Node))
		n.text("address", s.Address)
		n.truth("up", truth(s.Err == nil))
		if s.Err != nil {
			n.text("error", s.Err.Error())
			return n.value
		}
		n.text("build", s.Build)
		n.truth("draining", truth(s.Draining))
		n.millis("uptime_ms", s.Uptime)
		n.number("durable", s.Durable)
		n.list("groups", len(s.Groups), func(k int) *fastjson.Value {
			return clusterGroupValue(o.arena, &s.Groups[k])
		})
		return n.value
	})
	return o.end(dst)
}

func clusterGroupValue(a *fastjson.Arena, s *client.GroupStatus) *fastjson.Value {
	g := newObject(a)
	g.number("group", uint64(s.Group))
	g.text("role", s.Role.String())
	g.number("leader", uint64(s.Leader))
	g.number("ballot_round", s.Round)
	g.number("ballot_node", uint64(s.BallotNode))
	g.number("chosen", s.Chosen)
	g.number("applied", s.Applied)
	g.number("sessions", uint64(s.Sessions))
	g.number("locks", uint64(s.Locks))
	g.number("waiters", uint64(s.Waiters))
	return g.value
}
