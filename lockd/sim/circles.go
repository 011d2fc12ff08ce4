package sim

import (
	"cmp"
	"fmt"
	"slices"

	lockclient "lockd/client"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// crossing says what clients are all to do.
type crossing uint8

const (
	crossNot      crossing = iota
	crossOpens             // look as if they waited for each other, and do not
	crossNames             // wait for each other's names
	crossUpgrades          // or, as far as they can, to convert what both read
)

// coreFlow is the low byte of the client of a session of a coreClient.
const coreFlow = 0xc0

// cross has two clients who hold a name each wait for that of the other, with the word
// that they give nothing back: a circle, mostly over two groups. If there are none, it
// asks for a name, so that there may be soon.
func (c *coreClient) cross() {
	converts := c.w.opts.Converts && (c.w.crossing == crossUpgrades ||
		c.w.crossing == crossNot && c.dice.permille(500))
	if converts && c.crossByUpgrade() {
		return
	}
	for _, a := range c.calls {
		for _, e := range c.w.cores {
			if e == c || !e.able() || len(e.calls) >= maxCalls || e.still > c.w.agenda.Now() ||
				!a.crosses() && !a.crossesAll() {
				continue
			}
			for _, b := range e.calls {
				if (b.crosses() || b.crossesAll()) && a.Name != b.Name && !converts {
					if c.crossLate(a, e, b) || c.w.crossing == crossOpens {
						return
					}
					c.detect(b.Name, a.For)
					e.detect(a.Name, b.For)
					e.carryOut()
					return
				}
			}
		}
	}
	k := &coreCall{Call: lockclient.Call{Kind: wire.KindAcquire, Mode: wire.ModeEX,
		Name: c.lockName(), Flags: wire.FlagWait}}
	reads := slices.ContainsFunc(c.calls, func(k *coreCall) bool {
		return k.crosses() && k.Mode == wire.ModePR
	})
	if converts && !reads {
		k.Mode = wire.ModePR
		k.Name = cmp.Or(c.readElsewhere(), k.Name)
	} else if !converts && c.w.opts.Several && c.dice.permille(300) { // for an owner
		k.Kind, k.For = wire.KindAcquireAll, 1+uint64(c.dice.IntN(2))
		k.Wants = k.Wants.Append(wire.Want{Mode: wire.ModeEX, Name: []byte(k.Name)})
	}
	c.start(k)
}

// opening is a circle that never stands, although all of it does at some time: while one
// client waits for what another holds, that gives it back, and a third takes it. Then
// the other waits for the first.
type opening struct {
	by    *coreClient
	gives *coreCall
	wants string
}

// crossLate has the client wait for what another holds, behind a third, so that the circle
// may open at one place before it closes at the other. It reports whether it does.
func (c *coreClient) crossLate(a *coreCall, by *coreClient, b *coreCall) bool {
	w, to := c.w, c.w.groupOf(b.Name)
	i := slices.IndexFunc(w.clients, func(x *client) bool {
		m := x.groups[to]
		return m.session != 0 && len(m.calls) < maxCalls && x.pausedUntil <= w.agenda.Now()
	})
	if !w.faulty(FaultClog|FaultLossy) && w.crossing == crossNot || to == w.groupOf(a.Name) ||
		i < 0 || w.crossing != crossOpens && c.dice.permille(400) {
		return false
	}
	third := w.clients[i].groups[to]
	third.enterEX(b.Name, 1, wire.FlagWait)
	third.pump()
	a.stays, b.stays = w.agenda.Now()+4*second, w.agenda.Now()+4*second
	c.opening = &opening{by, b, a.Name}
	c.still, by.still = w.agenda.Now()+3*second, w.agenda.Now()+3*second
	w.agenda.After(w.round(), func() {
		if c.able() && !c.promised() && slices.Contains(c.calls, a) && len(c.calls) < maxCalls {
			c.detectAs(b.Name, a.For, 0) // the victim, if there were a circle
			c.carryOut()
		}
	})
	return true
}

// openCircle has what the client asks of all nodes about the other, having seen that it is
// in the way, arrive late: when the other has given that back, and waits for the client.
func (c *coreClient) openCircle(body []byte) {
	x, err := wire.DecodeChase(body)
	o := c.opening
	if o == nil || err != nil || x.Scope != wire.ChaseNode || !slices.ContainsFunc(x.Flows,
		func(f wire.Flow) bool { return f.Client == coreFlow|uint64(o.by.id)<<8 }) {
		return
	}
	w := c.w
	c.opening, c.still, o.by.still = nil, 0, 0
	held := func() bool {
		return o.by.able() && !o.by.promised() && slices.Contains(o.by.calls, o.gives) &&
			o.gives.State() == lockclient.StateHeld && !o.gives.released
	}
	if !held() {
		return
	}
	w.covered["circle opened while looked for"]++
	c.muted = w.agenda.Now() + min(3*w.round(), Time(w.opts.Lease)*millisecond/3)
	w.agenda.After(0, func() {
		if !held() {
			return
		}
		o.gives.then = func(x *lockclient.Call) {
			w.agenda.After(0, func() {
				if x.Err == nil && o.by.able() && len(o.by.calls) < maxCalls {
					o.by.detectAs(o.wants, o.gives.For, 1)
					o.by.carryOut()
				}
			})
		}
		o.by.free(o.gives)
		o.by.carryOut()
	})
}

// crossByUpgrade has two clients who read the same wait for each other: this one to
// convert its hold, the other for a name that this one holds too. It reports whether it
// found such.
func (c *coreClient) crossByUpgrade() bool {
	for _, a := range c.calls {
		for _, more := range c.calls {
			if !a.crosses() || a.Mode != wire.ModePR || !more.crosses() || more.Name == a.Name {
				continue
			}
			for _, e := range c.w.cores {
				if e != c && e.able() && e.still <= c.w.agenda.Now() && len(e.calls) < maxCalls &&
					e.holdsName(a.Name) && !e.holdsName(more.Name) {
					c.upgrade(a)
					e.detect(more.Name, 0)
					e.carryOut()
					return true
				}
			}
		}
	}
	return false
}

func (c *coreClient) holdsName(name string) bool {
	return slices.ContainsFunc(c.calls, func(k *coreCall) bool {
		return k.crosses() && k.Name == name
	})
}

// readElsewhere is a name that another client reads, empty if there is none.
func (c *coreClient) readElsewhere() string {
	for _, e := range c.w.cores {
		for _, k := range e.calls {
			if e != c && k.crosses() && k.Mode == wire.ModePR {
				return k.Name
			}
		}
	}
	return ""
}

// crossOnly waits for others, or gives back what may be in the way of that.
func (c *coreClient) crossOnly() {
	switch {
	case c.promised():
	case len(c.calls) < maxCalls && c.dice.permille(600):
		c.cross()
	default:
		c.release()
	}
}

// crossAll has clients wait for each other until one has been told a circle over several
// groups, or for a while if none comes about, while nothing is wrong and nobody gives
// up, and then so again by conversions. Then no circle is to be left.
func (w *World) crossAll() {
	if w.failure != nil || !w.opts.Owners || w.opts.SafetyOnly || w.opts.Groups < 2 ||
		w.opts.Names < 2 || !w.calm() || !w.whole() {
		return
	}
	able := 0
	for _, c := range w.cores {
		if !c.stranded() && c.core.Groups() > 0 && len(c.conns) > 0 {
			able++
		}
	}
	if able < 2 {
		return
	}
	w.crossInVain()
	w.crossUntilTold(crossNames)
	if w.opts.Converts {
		w.crossUntilTold(crossUpgrades)
	}
}

// crossInVain has clients be in what looks like circles, a few times: nobody is to be told.
func (w *World) crossInVain() {
	opened := w.covered["circle opened while looked for"]
	w.crossing = crossOpens
	for until := w.agenda.Now() + 10*second; w.failure == nil && w.agenda.Now() < until &&
		w.covered["circle opened while looked for"] < opened+3; {
		stop := w.agenda.Now() + 20*millisecond
		for w.failure == nil && w.agenda.Next(stop) {
		}
	}
	w.crossing = crossNot
}

func (w *World) crossUntilTold(how crossing) {
	before := w.covered["circle over groups told"]
	w.crossing = how
	for until := w.agenda.Now() + 20*second; w.failure == nil && w.agenda.Now() < until &&
		w.covered["circle over groups told"] == before; {
		stop := w.agenda.Now() + 20*millisecond
		for w.failure == nil && w.agenda.Next(stop) {
		}
	}
	w.await("I17: every circle over groups told", 20*second, w.circles)
	w.crossing = crossNot
}

// crosses reports whether a call is a hold of the session that nobody gives back.
func (k *coreCall) crosses() bool {
	return k.State() == lockclient.StateHeld && !k.released && k.Kind == wire.KindAcquire &&
		k.Flags&wire.FlagDetached == 0
}

// crossesAll reports the same of a hold of several names, of an owner or of nobody.
func (k *coreCall) crossesAll() bool {
	return k.State() == lockclient.StateHeld && !k.released && k.Kind == wire.KindAcquireAll
}

// detect waits for a name, perhaps with others of its group, with the word, of an owner if
// not zero.
func (c *coreClient) detect(name string, owner uint64) {
	c.detectAs(name, owner, uint8(c.dice.IntN(2)))
}

// detectAs is detect with a weight: the victim of a circle is who has the least.
func (c *coreClient) detectAs(name string, owner uint64, weight uint8) {
	k := &coreCall{Call: lockclient.Call{Kind: wire.KindAcquire, Mode: wire.ModeEX, Name: name,
		Weight: weight, Flags: wire.FlagWait | wire.FlagDetect}}
	if owner != 0 || c.w.opts.Several && c.dice.permille(500) {
		k.For = owner
		all := []string{name}
		for _, n := range c.w.names[c.w.groupOf(name)] {
			if n != name && c.dice.permille(300) {
				all = append(all, n)
			}
		}
		slices.Sort(all)
		k.Kind, k.Name = wire.KindAcquireAll, all[0]
		for _, n := range all {
			mode := wire.ModeEX
			if n != name && c.dice.permille(500) { // may let others pass
				mode = []wire.Mode{wire.ModePR, wire.ModeCW, wire.ModeCR}[c.dice.IntN(3)]
			}
			k.Wants = k.Wants.Append(wire.Want{Mode: mode, Name: []byte(n)})
		}
	}
	c.start(k)
}

// upgrade waits to convert a hold to exclusive, with the word.
func (c *coreClient) upgrade(h *coreCall) {
	c.start(&coreCall{Call: lockclient.Call{Kind: wire.KindConvert, Hold: &h.Call, Name: h.Name,
		Mode: wire.ModeEX, Flags: wire.FlagWait | wire.FlagDetect}, of: h})
	c.rebelieve(h)
}

// promised reports whether the client has given its word that it gives nothing back.
func (c *coreClient) promised() bool {
	for _, k := range c.calls {
		if k.State() == lockclient.StateOpen && k.Flags&wire.FlagDetect != 0 {
			return true
		}
	}
	return false
}

// span is a length of time.
type span struct{ from, to Time }

// told judges a circle over several groups that a client was told: there was a moment at
// which all of it stood in the logs.
func (w *World) circleTold(c *coreClient, x *lockclient.Call, d *lockclient.DeadlockError) {
	groups := map[uint16]bool{}
	for _, s := range d.Steps {
		groups[w.groupOf(s.Name)] = true
	}
	if len(groups) < 2 || len(d.Steps) != d.Count {
		return // refused at once, which the model has judged
	}
	first, asked := &d.Steps[0], x.Kind != wire.KindAcquireAll && d.Steps[0].Name == x.Name
	x.Wants.Each(func(_ int, n wire.Want) bool {
		asked = asked || string(n.Name) == first.Name
		return !asked
	})
	if first.Session != x.Session || !asked || d.Name != first.Name {
		w.failf("%s waits for %q in session %d and is told a circle that begins with %+v", c.name(),
			x.Name, x.Session, *first)
		return
	}
	w.covered["circle over groups told"]++
	w.covered["circle over groups told to "+x.Kind.String()]++
	if x.For != 0 {
		w.covered["circle over groups told for an owner"]++
	}
	common := []span{{0, w.agenda.Now()}}
	for i := range d.Steps {
		stood := w.stood(&d.Steps[i], &d.Steps[(i+1)%len(d.Steps)])
		if common = meet(common, stood); len(common) == 0 {
			w.failf("I17: %s is told a circle that never stood: step %d of %+v", c.name(), i, d.Steps)
			return
		}
	}
}

// stood returns when a step of a circle was as it is told.
func (w *World) stood(s, next *lockclient.DeadlockStep) (all []span) {
	g := w.groupOf(s.Name)
	client := w.clientOf(w.groupOf(next.Name), next.Session)
	history := w.models[g].History(s.Name)
	for i := range history {
		v := &history[i]
		stands := false
		for k := range v.Detects {
			x := &v.Detects[k]
			stands = stands || uint64(x.Session) == s.Session && uint64(x.Owner) == s.Owner &&
				waitsFor(v, k, s, next, client)
		}
		to := w.agenda.Now()
		if i+1 < len(history) {
			to = w.firstApplied[g][history[i+1].Slot]
		}
		if stands {
			all = append(all, span{w.firstApplied[g][v.Slot], to})
		}
	}
	return all
}

// waitsFor reports whether the k-th wait for a lock waits as a step of a circle is told,
// for the next, which is of that client.
func waitsFor(v *check.Version, k int, s, next *lockclient.DeadlockStep, client uint64) bool {
	x := &v.Detects[k]
	if s.Token == 0 {
		return slices.ContainsFunc(v.Detects[:k], func(y check.Whose) bool {
			return uint64(y.Session) == next.Session && uint64(y.Owner) == next.Owner &&
				(next.Name == s.Name || !y.Lets(x))
		})
	}
	for i, t := range v.Tokens {
		h := &v.Whose[i]
		if uint64(t) == s.Token && uint64(h.Owner) == next.Owner && uint64(h.Client) == client &&
			h.Bars(x) {
			return true
		}
	}
	return false
}

func (w *World) groupOf(name string) uint16 {
	return wire.GroupOf("", []byte(name), uint16(w.opts.Groups))
}

// clientOf is whose a session is.
func (w *World) clientOf(group uint16, session uint64) uint64 {
	if s := w.models[group].Session(lockfsm.SessionID(session)); s != nil {
		return uint64(s.Nonce.Client())
	}
	return 0
}

// meet returns when both were so.
func meet(a, b []span) (all []span) {
	for _, x := range a {
		for _, y := range b {
			if z := (span{max(x.from, y.from), min(x.to, y.to)}); z.from < z.to {
				all = append(all, z)
			}
		}
	}
	return all
}

// waitNode is a node of the graph of waits: an owner of a client, if it names no group;
// the grant of a request, if it names no lock; else the turn of a request at a lock.
type waitNode struct {
	client, owner    uint64
	group            uint16
	session, request uint64
	name             string
}

// circles looks for a circle over the groups as they are now, of clients who look for
// such. An owner gives something back when its requests are granted; a request is
// granted when it has its turns; and a turn comes when who holds gives back, when who
// stands before is granted, and if that lets it pass, when that has its turn.
func (w *World) circles() string {
	waits := map[waitNode][]waitNode{}
	edge := func(from, to waitNode) { waits[from] = append(waits[from], to) }
	for group, m := range w.models {
		grant := func(x *check.Whose) waitNode {
			return waitNode{client: uint64(x.Client), group: uint16(group) + 1, session: uint64(x.Session),
				request: uint64(x.Request)}
		}
		m.Names(func(name string, v *check.Version) {
			turn := func(x *check.Whose) waitNode {
				at := grant(x)
				at.name = name
				return at
			}
			for i := range v.Detects {
				x := &v.Detects[i]
				if byte(x.Client) != coreFlow {
					continue
				}
				edge(waitNode{client: uint64(x.Client), owner: uint64(x.Owner)}, grant(x))
				edge(grant(x), turn(x))
				for k := range v.Whose {
					if h := &v.Whose[k]; h.Bars(x) {
						edge(turn(x), waitNode{client: uint64(h.Client), owner: uint64(h.Owner)})
					}
				}
				for k := range i {
					if y := &v.Detects[k]; y.Lets(x) {
						edge(turn(x), turn(y))
					} else {
						edge(turn(x), grant(y))
					}
				}
			}
		})
	}
	for f := range waits { // order: any one is enough
		if leads(waits, f, f, map[waitNode]bool{}) {
			return fmt.Sprintf("client %x waits in a circle", f.client)
		}
	}
	return ""
}

func leads(waits map[waitNode][]waitNode, from, to waitNode, seen map[waitNode]bool) bool {
	for _, next := range waits[from] {
		if next == to {
			return true
		}
		if !seen[next] {
			seen[next] = true
			if leads(waits, next, to, seen) {
				return true
			}
		}
	}
	return false
}

// noteTime remembers when a slot was first applied.
func (w *World) noteTime(group uint16, slot uint64) {
	if w.firstApplied == nil {
		w.firstApplied = make([][]Time, w.opts.Groups)
	}
	for uint64(len(w.firstApplied[group])) <= slot {
		w.firstApplied[group] = append(w.firstApplied[group], w.agenda.Now())
	}
}
