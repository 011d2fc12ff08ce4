package client

import (
	"encoding/binary"
	"maps"
	"slices"

	"lockd/netio/wire"
)

// circle reports the circle that a claim would close by waiting for name, as far as
// it leads through holds of owners who all exclude each other.
func (g *dumbGroup) circle(x dumbClaim, name string) []wire.CircleStep {
	type wait struct {
		claim dumbClaim
		name  string
		steps []wire.CircleStep // up to this wait, which has no token yet
	}
	start := wire.CircleStep{Session: x.session, Owner: x.owner, Name: []byte(name)}
	found := []wait{{x, name, []wire.CircleStep{start}}}
	for i := 0; i < len(found); i++ {
		at := found[i]
		for _, h := range g.lock(at.name).holds {
			if h.due != 0 {
				continue
			}
			steps := slices.Clone(at.steps)
			steps[len(steps)-1].Token = h.token
			if x.flowsWith(h) {
				return steps
			}
			for _, next := range slices.Sorted(maps.Keys(g.locks)) {
				for _, y := range g.locks[next].queue {
					known := slices.ContainsFunc(found, func(w wait) bool {
						return w.claim.session == y.session && w.claim.request == y.request
					})
					if y.detects && h.flowsWith(y) && !known {
						found = append(found, wait{y, next, append(slices.Clone(steps),
							wire.CircleStep{Session: y.session, Owner: y.owner, Name: []byte(next)})})
					}
				}
			}
		}
	}
	return nil
}

// flowsWith reports whether two claims of a group are of one owner, or of one session
// without.
func (x *dumbClaim) flowsWith(y dumbClaim) bool {
	return x.owner == y.owner && x.session == y.session
}

func (g *dumbGroup) flow(x dumbClaim) wire.Flow {
	nonce := g.sessions[x.session].nonce
	return wire.Flow{Client: binary.LittleEndian.Uint64(nonce[:8]), Owner: x.owner}
}

// chase answers what owners wait for in the groups that a node leads, or in one. All
// who hold are taken to be in the way.
func (d *dumbCluster) chase(body []byte, of func(number int, g *dumbGroup) bool) wire.Response {
	x, err := wire.DecodeChase(body)
	if err != nil {
		d.fail("%v", err)
	}
	d.chases++
	var all wire.Chased
	for number, g := range d.groups {
		if !of(number, g) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(g.locks)) {
			for _, y := range g.locks[name].queue {
				if !y.detects || !slices.Contains(x.Flows, g.flow(y)) {
					continue
				}
				w := wire.ChasedWait{Flow: g.flow(y), Session: y.session, Request: y.request,
					Group: uint16(number), Weight: y.weight, Client: []byte(g.sessions[y.session].client),
					Name: []byte(name)}
				for _, h := range g.locks[name].holds {
					if h.due == 0 {
						w.Blockers = append(w.Blockers, wire.Blocker{Flow: g.flow(h),
							Session: h.session, Request: h.request, Token: h.token})
					}
				}
				all.Waits = append(all.Waits, w)
			}
		}
	}
	return wire.Response{Status: wire.StatusOK, Payload: wire.AppendChased(nil, &all)}
}

// deadlock refuses who would close a circle, and says which.
func (g *dumbGroup) deadlock(steps []wire.CircleStep) wire.Response {
	for i := range steps {
		if s := g.sessions[steps[i].Session]; s != nil {
			steps[i].Client = []byte(s.client)
		}
	}
	circle := wire.Circle{Count: uint16(len(steps)), Steps: steps}
	return wire.Response{Status: wire.StatusDeadlock, Token: steps[0].Token,
		Payload: wire.AppendCircle(nil, &circle)}
}
