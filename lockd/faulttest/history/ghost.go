package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// A ghost is a hold that nobody was told of, but that somebody met: a refusal or
// a look names a token that no definite grant has. It must be of an uncertain
// acquire that began before, one for each ghost. Which one is not known. So the
// least is taken for granted: a ghost may have been granted since the first of
// them began, and may end at any moment after; where they differ in what they
// asked for, it is what fits best.
type ghost struct {
	token uint64
	seen  int64 // the end of the first operation that met it
}

// ghosts returns the operations that a history has to have besides, to explain
// the tokens that it does not. The error matches ErrViolation: there are more
// ghosts than uncertain acquires.
func ghosts(all []*Operation, granted map[uint64]int) ([]*attempt, error) {
	met := make(map[uint64]int64)
	meet := func(token uint64, at int64) {
		if granted[token] > 0 || token == 0 {
			return
		}
		if first, ok := met[token]; !ok || at < first {
			met[token] = at
		}
	}
	var asked []*Operation
	for _, o := range all {
		switch {
		case o.Kind == Acquire && o.Outcome == Uncertain:
			asked = append(asked, o)
		case o.Kind == Acquire && o.Outcome == Refused:
			meet(o.Token, o.Ended)
		case o.Kind == Look && o.Outcome == Granted:
			for _, token := range o.Holders {
				meet(token, o.Ended)
			}
		}
	}
	if len(met) == 0 {
		return nil, nil
	}
	slices.SortFunc(asked, func(a, b *Operation) int { return cmp.Compare(a.Began, b.Began) })
	var found []ghost
	for _, token := range slices.Sorted(maps.Keys(met)) {
		found = append(found, ghost{token, met[token]})
	}
	slices.SortStableFunc(found, func(a, b ghost) int { return cmp.Compare(a.seen, b.seen) })
	var added []*attempt
	for i, g := range found {
		if i >= len(asked) || asked[i].Began > g.seen {
			return nil, fmt.Errorf("%w: token %d is met at %.6f, and there is no uncertain acquire "+
				"left that began before", ErrViolation, g.token, float64(g.seen)/1e9)
		}
		added = append(added, g.operations(asked)...)
	}
	return added, nil
}

// operations returns the grant and the end of a ghost.
func (g ghost) operations(asked []*Operation) []*attempt {
	grant := &attempt{strongest: Shared, Operation: &Operation{Began: asked[0].Began, Ended: g.seen,
		Kind: Acquire, Name: asked[0].Name, Token: g.token, Permits: ^uint32(0), Outcome: Granted}}
	for _, o := range asked {
		if o.Began > g.seen {
			break
		}
		grant.Permits = min(grant.Permits, permits(o))
		grant.most = max(grant.most, permits(o))
		if o.Mode == Shared {
			grant.Mode = Shared
		} else {
			grant.strongest = Exclusive
		}
	}
	return []*attempt{grant, {Operation: &Operation{Began: grant.Began, Ended: Open, Kind: Expire,
		Name: grant.Name, Token: g.token}}}
}
