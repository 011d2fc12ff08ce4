package verify

import (
	"context"
	"errors"
	"strconv"

	"lockd/client"
	"lockd/lockd/verify/check"
)

// This file has what workers ask and write.

// get asks who holds a lock, and what its value is.
func (w *worker) get(ctx context.Context, name string) {
	w.pace(ctx)
	if ctx.Err() != nil {
		return
	}
	i := w.record.begin(check.Operation{Kind: check.Get, Name: name, Client: w.client,
		Worker: w.number})
	info, err := w.c.Get(ctx, name)
	if errors.Is(err, client.ErrNotFound) {
		info, err = &client.LockInfo{}, nil
	}
	if err != nil {
		w.failed(i, err)
		return
	}
	if info.HolderCount != len(info.Holders) {
		return // not all are listed, which says little
	}
	o := w.record.end(i, check.Done)
	for k := range info.Holders {
		h := &info.Holders[k]
		to := check.Holder{Token: h.Token, Mode: modeOf(h.Mode), Permits: uint32(h.Permits)}
		if h.Owner != 0 {
			to.Depth = uint32(h.Depth)
		}
		if info.Capacity > 0 {
			to.Mode = check.Exclusive // of permits it means nothing
		}
		o.Holders = append(o.Holders, to)
	}
	if w.run.reads(name) {
		o.Reads = &check.Value{Data: string(info.Value.Data), Token: info.Value.Token}
	}
}

// test asks for the token of a hold that is, or was.
func (w *worker) test(ctx context.Context, k *held) {
	w.pace(ctx)
	if ctx.Err() != nil {
		return
	}
	i := w.record.begin(check.Operation{Kind: check.Test, Name: k.acquired.Name,
		Token: k.acquired.Token, Client: w.client, Worker: w.number})
	state, err := w.c.CheckToken(ctx, k.acquired.Name, k.acquired.Token)
	if err != nil {
		w.failed(i, err)
		return
	}
	o := w.record.end(i, check.Done)
	o.Current, o.Newest = state.Current, state.Newest
}

// write leaves a value that nobody else leaves.
func (w *worker) write(ctx context.Context, k *held) {
	w.pace(ctx)
	w.writes++
	value := strconv.Itoa(w.number) + "." + strconv.Itoa(w.writes)
	i := w.record.begin(check.Operation{Kind: check.Write, Name: k.acquired.Name, Value: value,
		Token: k.acquired.Token, Client: w.client, Worker: w.number})
	if err := k.h.SetValue(context.WithoutCancel(ctx), []byte(value)); err != nil {
		w.failed(i, err)
		return
	}
	w.record.end(i, check.Done)
}

// force ends the newest hold of a lock that anybody was told of, which may be over. That no
// hold has the token any more is the answer to a question.
func (w *worker) force(ctx context.Context, name string) {
	w.pace(ctx)
	token := w.run.newest[name].Load()
	if token == 0 || ctx.Err() != nil {
		return
	}
	i := w.record.begin(check.Operation{Kind: check.Force, Name: name, Token: token,
		Client: w.client, Worker: w.number})
	err := w.c.ForceRelease(ctx, name, token, "lockd verify")
	var stale *client.StaleTokenError
	switch {
	case err == nil:
		w.record.end(i, check.Done)
	case errors.As(err, &stale):
		o := w.record.end(i, check.Done)
		o.Kind, o.Newest = check.Test, stale.Present
	default:
		w.failed(i, err)
	}
}
