package admin

import "github.com/valyala/fastjson"

// NodeAddresses are where a node is, as host:port. Admin may be empty.
type NodeAddresses struct {
	Node                uint16
	Client, Peer, Admin string
}

func (o object) addresses(key string, nodes []NodeAddresses) {
	o.list(key, len(nodes), func(i int) *fastjson.Value {
		n := newObject(o.arena)
		n.number("node", uint64(nodes[i].Node))
		n.text("client", nodes[i].Client)
		n.text("peer", nodes[i].Peer)
		if nodes[i].Admin != "" {
			n.text("admin", nodes[i].Admin)
		}
		return n.value
	})
}

// AppendDev appends where the nodes of a cluster are that was just made: all client ports
// as LOCKD_ADDR wants them, its name and the directory of its data.
func AppendDev(dst []byte, addr, cluster, data string, nodes []NodeAddresses) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("addr", addr)
	o.text("cluster", cluster)
	o.name("data", data)
	o.addresses("nodes", nodes)
	return o.end(dst)
}

// SettingValue is one setting in force.
type SettingValue struct{ Key, Value string }

// BoundPart is one part of what a node may take.
type BoundPart struct {
	What, Settings string
	Bytes          uint64
}

// Bound is what a node may take of memory or disk at most.
type Bound struct {
	Parts []BoundPart
	// More is what a node of the cluster takes besides that cluster.nodes lacks.
	More uint64
}

// Settled is a configuration that was checked.
type Settled struct {
	Settings     []SettingValue
	Nodes        []NodeAddresses
	Memory, Disk Bound
}

// AppendSettled appends it.
func AppendSettled(dst []byte, s *Settled) []byte {
	o := newObject(new(fastjson.Arena))
	o.list("settings", len(s.Settings), func(i int) *fastjson.Value {
		x := newObject(o.arena)
		x.text("key", s.Settings[i].Key)
		x.name("value", s.Settings[i].Value)
		return x.value
	})
	o.addresses("nodes", s.Nodes)
	o.value.Set("memory", o.bound(&s.Memory))
	o.value.Set("disk", o.bound(&s.Disk))
	return o.end(dst)
}

// bound makes a value of a Bound.
func (o object) bound(b *Bound) *fastjson.Value {
	x, sum := newObject(o.arena), uint64(0)
	x.list("parts", len(b.Parts), func(i int) *fastjson.Value {
		p := newObject(o.arena)
		p.text("what", b.Parts[i].What)
		if b.Parts[i].Settings != "" {
			p.text("settings", b.Parts[i].Settings)
		}
		p.number("bytes", b.Parts[i].Bytes)
		sum += b.Parts[i].Bytes
		return p.value
	})
	x.number("bytes", sum)
	x.number("bytes_per_node_more", b.More)
	return x.value
}
