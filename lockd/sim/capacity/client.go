package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	lockclient "lockd/client"
	"lockd/lockd/node"
	"lockd/netio/wire"
)

// client is one process of clients: the client of production, stepped by the
// world, with workers that lock and unlock fresh names without a pause. It
// demands that no call fails and that no hold is lost.
type client struct {
	w     *World
	id    int
	cores *cores
	core  *lockclient.Core
	conns []*conn // open ones
	ready lockclient.Ready
	// arrived is what waits to be looked at; planned that it will be.
	arrived []arrival
	planned bool
	tick    int // raised when the next tick is planned anew
	workers map[*lockclient.Call]*worker
	kept    []*lockclient.Call
	// rival asks for what others keep, and must be told that it is held.
	rival *lockclient.Call
	names uint64
}

// worker locks and unlocks, again and again.
type worker struct {
	call  lockclient.Call
	since Time
}

// arrival is what came on a conn.
type arrival struct {
	from *conn
	b    []byte
}

// conn joins a client and a node.
type conn struct {
	id     node.ConnID
	key    lockclient.ConnID
	client *client
	site   *site
	open   bool
	// latest are when the last bytes arrive, at the node and at the client.
	latest [2]Time
	read   uint64 // the turn of the node in which it was last read
}

func newClient(w *World, id int, cores *cores) *client {
	c := &client{w: w, id: id, cores: cores, workers: make(map[*lockclient.Call]*worker)}
	cfg := lockclient.CoreConfig{
		Name: fmt.Sprint("client ", id), Lease: time.Duration(w.opts.Lease),
		Drift: 0.01, Margin: 20 * time.Millisecond, MaxInFlight: 1 << 16,
		DialTimeout: 5 * time.Second, Nonce: wire.Nonce{0xca, byte(id), byte(id >> 8)},
		Seed: w.agenda.dice.Uint64(),
	}
	for i := range w.opts.Nodes {
		cfg.Endpoints = append(cfg.Endpoints, strconv.Itoa(i+1))
	}
	c.core = lockclient.NewCore(cfg, c.now())
	return c
}

func (c *client) now() lockclient.Instant { return lockclient.Instant(c.w.agenda.Now() + second) }

// reach dials; everything else follows from that.
func (c *client) reach() {
	c.core.Reach(c.now())
	c.carryOut()
}

// begin lets workers work and takes locks to be kept.
func (c *client) begin(workers, keeps int) {
	for i := range keeps {
		k := &lockclient.Call{Kind: wire.KindAcquire, Mode: wire.ModeEX, Flags: wire.FlagWait,
			Name: keptName(c.id, i)}
		c.kept = append(c.kept, k)
		c.core.Start(k)
	}
	for range workers {
		k := &worker{}
		c.workers[&k.call] = k
		c.lock(k)
	}
	c.carryOut()
}

func keptName(client, i int) string { return fmt.Sprintf("kept/%d/%d", client, i) }

// lock has a worker begin with a fresh name.
func (c *client) lock(k *worker) {
	c.names++
	k.call.Kind, k.call.Mode, k.call.Flags = wire.KindAcquire, wire.ModeEX, wire.FlagWait
	k.call.Name = "pair/" + strconv.Itoa(c.id) + "/" + strconv.FormatUint(c.names, 36)
	k.since = c.w.agenda.Now()
	c.core.Start(&k.call)
}

// contest asks for a lock that another client keeps, now and then.
func (c *client) contest() {
	c.w.agenda.After(c.w.agenda.around(20*millisecond), func() {
		of := c.w.clients[(c.id+1)%len(c.w.clients)]
		if c.rival == nil && len(of.kept) > 0 {
			k := of.kept[c.w.agenda.dice.IntN(len(of.kept))]
			if k.State() == lockclient.StateHeld {
				c.rival = &lockclient.Call{Kind: wire.KindAcquire, Mode: wire.ModeEX, Name: k.Name}
				c.core.Start(c.rival)
				c.carryOut()
			}
		}
		c.contest()
	})
}

// arrive takes bytes of a node; they are looked at when a core is free, together
// with all that has come by then.
func (c *client) arrive(from *conn, b []byte) {
	c.arrived = append(c.arrived, arrival{from, b})
	if !c.planned {
		c.planned = true
		c.plan()
	}
}

func (c *client) plan() {
	var taken []arrival
	c.cores.run(func() Time {
		taken, c.arrived = c.arrived, nil
		answers := 0
		for i := range taken {
			for b := taken[i].b; len(b) > 0; answers++ {
				b = b[int(binary.LittleEndian.Uint32(b))+4:]
			}
		}
		return Time(answers) * c.w.opts.Costs.Answer
	}, func() {
		for i := range taken {
			c.hear(&taken[i])
		}
		c.carryOut()
		if c.planned = len(c.arrived) > 0; c.planned {
			c.plan()
		}
	})
}

func (c *client) hear(a *arrival) {
	if !a.from.open {
		return
	}
	used, err := c.core.Receive(c.now(), a.from.key, a.b)
	if err != nil || used != len(a.b) {
		c.w.failf("client %d takes %d of %d bytes of node %d: %v", c.id, used, len(a.b),
			a.from.site.id, err)
	}
}

// carryOut does what the Core wants done, and plans the next tick.
func (c *client) carryOut() {
	for again := true; again; {
		c.core.Take(&c.ready)
		again = len(c.ready.Dials)+len(c.ready.Closes)+len(c.ready.Writes)+len(c.ready.Done) > 0
		for _, d := range c.ready.Dials {
			c.dial(d)
		}
		for _, key := range c.ready.Closes {
			c.close(key)
		}
		// What has ended begins anew before anything is written, as workers do
		// that are woken together.
		for _, x := range c.ready.Done {
			c.done(x)
		}
		for _, key := range c.ready.Writes {
			c.write(key)
		}
		for _, l := range c.ready.Lost {
			c.w.failf("client %d lost %q: %v", c.id, l.Call.Name, l.Err)
		}
	}
	c.planTick()
}

// done looks at a call that has ended.
func (c *client) done(x *lockclient.Call) {
	if x == c.rival {
		c.rival = nil
		if !errors.Is(x.Err, lockclient.ErrHeld) {
			c.w.failf("client %d asks for %q, which is kept: %v", c.id, x.Name, x.Err)
		}
		c.w.contests++
		return
	}
	if x.Err != nil {
		c.w.failf("client %d: %v %q: %v", c.id, x.Kind, x.Name, x.Err)
		return
	}
	k := c.workers[x]
	switch {
	case k == nil: // one to be kept
	case x.State() == lockclient.StateHeld:
		x.Kind = wire.KindRelease
		c.core.Start(x)
	default:
		c.w.pair(k.since)
		c.lock(k)
	}
}

// intact says what is wrong with the locks that were to be kept.
func (c *client) intact() error {
	for _, k := range c.kept {
		if k.State() != lockclient.StateHeld || c.core.ValidUntil(k) <= c.now() {
			return fmt.Errorf("client %d does not hold %q any more", c.id, k.Name)
		}
	}
	return nil
}

func (c *client) dial(d lockclient.NewConn) {
	id, err := strconv.Atoi(d.Address)
	if err != nil || c.w.site(uint16(id)).node == nil {
		c.w.failf("client %d dials %q", c.id, d.Address)
		return
	}
	s := c.w.site(uint16(id))
	c.w.lastConn++
	made := &conn{id: c.w.lastConn, key: d.Conn, client: c, site: s, open: true}
	s.conns[made.id] = made
	c.conns = append(c.conns, made)
	c.w.agenda.After(2*c.w.opts.Costs.Latency, func() {
		if made.open {
			c.core.Connected(c.now(), d.Conn)
			c.carryOut()
		}
	})
}

func (c *client) conn(key lockclient.ConnID) *conn {
	for _, x := range c.conns {
		if x.key == key {
			return x
		}
	}
	return nil
}

// close ends a conn; what it carries to the node still arrives.
func (c *client) close(key lockclient.ConnID) {
	x := c.conn(key)
	if x == nil {
		return
	}
	x.open = false
	c.conns = slices.DeleteFunc(c.conns, func(o *conn) bool { return o == x })
	c.w.agenda.At(max(x.latest[0], c.w.agenda.Now())+c.w.opts.Costs.Latency, func() {
		delete(x.site.conns, x.id)
		x.site.inbox.ConnClosed(x.id)
		x.site.turn()
	})
}

func (c *client) write(key lockclient.ConnID) {
	b, x := c.core.Output(key, nil), c.conn(key)
	if len(b) == 0 || x == nil {
		return
	}
	x.carry(0, c.w.agenda.Now(), func() { x.site.request(x, b) })
}

// carry brings bytes to one end of the conn, in order.
func (x *conn) carry(end int, from Time, arrive func()) {
	a := &x.client.w.agenda
	x.latest[end] = max(x.latest[end], from+a.around(x.client.w.opts.Costs.Latency))
	a.At(x.latest[end], arrive)
}

// answer sends what the node said, from the moment its card is free.
func (x *conn) answer(from Time, b []byte) {
	x.carry(1, from, func() { x.client.arrive(x, b) })
}

// greet answers a hello.
func (x *conn) greet() {
	welcome := x.site.node.Welcome(wire.Version)
	x.answer(x.site.w.agenda.Now(), wire.AppendWelcome(nil, wire.Header{}, &welcome))
}

// planTick has the Core ticked when it wants to be.
func (c *client) planTick() {
	c.tick++
	tick, next := c.tick, c.core.Next()
	if next == 1<<63-1 {
		return
	}
	wait := min(max(Time(next-c.now()), 0)+microsecond, second)
	c.w.agenda.After(wait, func() {
		if c.tick != tick {
			return
		}
		if c.core.Next() <= c.now() {
			c.core.Tick(c.now())
		}
		c.carryOut()
	})
}
