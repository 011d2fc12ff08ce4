package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"lockd/netio/wire"
)

// NameToken is a token of a lock, as one who holds it shows it to others.
type NameToken struct {
	Name  string
	Token uint64
}

// TokenState is where a token stands.
type TokenState struct {
	// Current says that a present hold of the name has the token: one that is not
	// given back, lost, expired or of a session that has ended.
	Current bool
	// Newest is the largest token of a present hold of the name, zero if nobody
	// holds it. A resource that keeps the largest token it has seen may raise it
	// to this.
	Newest uint64
}

// CheckToken asks whether a token is that of a present hold. The answer reflects
// everything that was answered before the call began.
//
// It is true of a moment, and that moment is over when it arrives: between the
// answer and what one does on the strength of it the hold may end and the lock
// be another's. So a question alone guards nothing that must not be written
// twice. A resource that remembers the largest token it has seen and refuses
// smaller ones in the same transaction as the write is safe whatever happens to
// clocks and pauses (package fence does that); the question is for what can
// remember nothing, and for refusing early what is long stale.
func (c *Client) CheckToken(ctx context.Context, name string, token uint64) (TokenState, error) {
	all, err := c.CheckTokens(ctx, []NameToken{{Name: name, Token: token}})
	if err != nil {
		return TokenState{}, err
	}
	return all[0], nil
}

// CheckTokens is CheckToken for many, of any names, with as few requests as they
// fit into. The results stand in the order of the pairs. Each group answers as of
// a moment during the call, which is not the same for all. The error of one
// group is that of the call.
func (c *Client) CheckTokens(ctx context.Context, pairs []NameToken) ([]TokenState, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: check of %d tokens: %w", len(pairs), ended(ctx))
	}
	c.mu.Lock()
	groups, limits := c.mu.core.Groups(), c.mu.core.limits
	c.mu.Unlock()
	byGroup := make([][]int, groups)
	for i := range pairs {
		if err := checkName(pairs[i].Name, &limits); err != nil {
			return nil, fmt.Errorf("check of token %d: %w", pairs[i].Token, err)
		}
		g := wire.GroupOf("", pairs[i].Name, uint16(groups))
		byGroup[g] = append(byGroup[g], i)
	}
	states := make([]TokenState, len(pairs))
	calls := make([]*Call, groups)
	for g, asked := range byGroup {
		calls[g] = c.startChecks(pairs, asked, int(limits.FrameBytes))
	}
	var failures []error
	for g, x := range calls {
		asked := byGroup[g]
		for x != nil {
			c.wait(ctx, x)
			n, err := x.takeStates(states, asked)
			if err != nil {
				failures = append(failures, err)
				break
			}
			asked = asked[n:]
			x = c.startChecks(pairs, asked, int(limits.FrameBytes))
		}
	}
	if failures != nil {
		return nil, errors.Join(failures...)
	}
	return states, nil
}

// startChecks asks one group about the first of its pairs, as many as fit a frame,
// and returns nil if there are none.
func (c *Client) startChecks(pairs []NameToken, asked []int, frameBytes int) *Call {
	x := c.newChecks(pairs, asked, frameBytes)
	if x != nil {
		c.begin(x)
	}
	return x
}

// newChecks is startChecks without the start.
func (c *Client) newChecks(pairs []NameToken, asked []int, frameBytes int) *Call {
	if len(asked) == 0 {
		return nil
	}
	x := &Call{Kind: wire.KindCheckTokens, Timeout: c.opts.RequestTimeout}
	left := frameBytes - wire.HeaderBytes - 2
	for _, i := range asked[:min(len(asked), wire.MaxChecks)] {
		if left -= 10 + len(pairs[i].Name); left < 0 && len(x.Checks) > 0 {
			break
		}
		x.Checks = append(x.Checks, pairs[i])
	}
	c.mu.Lock()
	x.Group = wire.GroupOf("", x.Checks[0].Name, uint16(c.mu.core.Groups()))
	c.mu.Unlock()
	return x
}

// takeStates puts what was answered where it belongs and returns how many that
// are.
func (x *Call) takeStates(states []TokenState, asked []int) (int, error) {
	if x.Err != nil {
		return 0, x.Err
	}
	got, err := wire.DecodeTokenStates(x.Response.Payload)
	if err == nil && (len(got.States) == 0 || len(got.States) > len(x.Checks)) {
		err = fmt.Errorf("%d answers about %d tokens", len(got.States), len(x.Checks))
	}
	if err != nil {
		return 0, fmt.Errorf("%w: check in group %d: %w", ErrProtocol, x.Group, err)
	}
	for i, s := range got.States {
		states[asked[i]] = TokenState{Current: s.Standing == wire.TokenCurrent, Newest: s.Newest}
	}
	return len(got.States), nil
}

// checkName reports a name that no request may have.
func checkName(name string, limits *wire.Limits) error {
	if len(name) > int(limits.NameBytes) {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrNameTooLong, len(name), limits.NameBytes)
	}
	if err := wire.CheckName(name, int(limits.NameBytes)); err != nil {
		return fmt.Errorf("%w: %s", ErrBadName,
			strings.TrimPrefix(err.Error(), wire.ErrName.Error()+": "))
	}
	return nil
}

// appendChecks writes a CheckTokens.
func (c *Core) appendChecks(dst []byte, h wire.Header, x *Call) []byte {
	refs := make([]wire.TokenRef, len(x.Checks))
	for i := range x.Checks {
		refs[i] = wire.TokenRef{Token: x.Checks[i].Token, Name: []byte(x.Checks[i].Name)}
	}
	return wire.AppendCheckTokens(dst, h, refs)
}
