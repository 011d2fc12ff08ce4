package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/valyala/fastjson"

	"lockd/lockd/placement"
	"lockd/paxos"
)

// change asks for a change of the cluster:
//
//	POST /v1/cluster/add?node=4&peer=HOST:PORT&client=HOST:PORT
//	POST /v1/cluster/remove?node=4
//	POST /v1/cluster/replace?node=3[&peer=…&client=…]
//
// 200 says that the change is made; what follows from it takes its time. 409 says
// why it cannot be made now, 400 why never, 503 that nobody could say.
func (h *handler) change(w http.ResponseWriter, r *http.Request) {
	c, err := parseChange(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*requestTimeout)
	defer cancel()
	switch err := h.opts.Change(ctx, c); {
	case err == nil:
		write(w, appendChanged(nil, &c))
	case errors.Is(err, placement.ErrBusy), errors.Is(err, placement.ErrNoChange):
		fail(w, http.StatusConflict, err.Error())
	case errors.Is(err, placement.ErrRefused):
		fail(w, http.StatusBadRequest, err.Error())
	default: // node.ErrNoLeader, node.ErrUncertain, or no answer in time
		fail(w, http.StatusServiceUnavailable, err.Error())
	}
}

func parseChange(r *http.Request) (placement.Change, error) {
	c := placement.Change{Peer: r.FormValue("peer"), Client: r.FormValue("client")}
	switch what := r.PathValue("change"); what {
	case "add":
		c.Kind = placement.Add
	case "remove":
		c.Kind = placement.Remove
	case "replace":
		c.Kind = placement.Replace
	default:
		return c, fmt.Errorf("%q is no change, must be add, remove or replace", what)
	}
	id, err := strconv.ParseUint(r.FormValue("node"), 10, 16)
	if err != nil || id == 0 {
		return c, fmt.Errorf("node is %q, must be 1 to 65535", r.FormValue("node"))
	}
	c.Node = paxos.NodeID(id)
	return c, nil
}

func appendChanged(dst []byte, c *placement.Change) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("change", c.Kind.String())
	o.number("node", uint64(c.Node))
	return o.end(dst)
}
