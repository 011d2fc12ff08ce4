package client

import (
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
			if h.owner == 0 {
				continue
			}
			steps := slices.Clone(at.steps)
			steps[len(steps)-1].Token = h.token
			if x.entered(h) {
				return steps
			}
			for _, next := range slices.Sorted(maps.Keys(g.locks)) {
				for _, y := range g.locks[next].queue {
					known := slices.ContainsFunc(found, func(w wait) bool {
						return w.claim.session == y.session && w.claim.request == y.request
					})
					if y.detects && h.entered(y) && !known {
						found = append(found, wait{y, next, append(slices.Clone(steps),
							wire.CircleStep{Session: y.session, Owner: y.owner, Name: []byte(next)})})
					}
				}
			}
		}
	}
	return nil
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
