package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/valyala/fastjson"

	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/paxos"
)

// change asks for a change of the cluster:
//
//	POST /v1/cluster/add?node=4&peer=HOST:PORT&client=HOST:PORT
//	POST /v1/cluster/remove?node=4[&undo=true]
//	POST /v1/cluster/replace?node=3[&peer=…&client=…][&force=true]
//	POST /v1/cluster/move?group=7&node=2
//
// 200 says that the change is made; what follows from it takes its time. 409 says
// why it cannot be made now, with Retry-After if that ends by itself, 400 why never,
// 503 that nobody could say. A move that was made before is made. A node that is up
// keeps its disk unless force says that it is to go all the same.
func (h *handler) change(w http.ResponseWriter, r *http.Request) {
	c, err := parseChange(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	force, err := toggle(r, "force")
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if c.Kind == placement.Replace && !force && h.isUp(c.Node) {
		fail(w, http.StatusConflict, fmt.Sprintf("node %d is up, and to replace it gives its disk up "+
			"for ever: stop it first if it is the one that is meant, or ask again with force", c.Node))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*requestTimeout)
	defer cancel()
	switch err := h.opts.Change(ctx, c); {
	case err == nil, c.Kind == placement.Move && errors.Is(err, placement.ErrNoChange):
		write(w, AppendChanged(nil, "", &c))
	case errors.Is(err, placement.ErrSoon):
		w.Header().Set(retryAfter, "1")
		fail(w, http.StatusConflict, err.Error())
	case errors.Is(err, placement.ErrBusy), errors.Is(err, placement.ErrNoChange):
		fail(w, http.StatusConflict, err.Error())
	case errors.Is(err, placement.ErrRefused):
		fail(w, http.StatusBadRequest, err.Error())
	default: // node.ErrNoLeader, node.ErrUncertain, or no answer in time
		fail(w, http.StatusServiceUnavailable, err.Error())
	}
}

// isUp reports whether a node runs, as far as this one can tell.
func (h *handler) isUp(id paxos.NodeID) bool {
	s := h.opts.Status()
	return s != nil && (s.Node == id ||
		slices.Contains(s.Peers, node.PeerStatus{Node: id, Up: true}))
}

// retryAfter is the header that says in how many seconds to ask again.
const retryAfter = "Retry-After"

func parseChange(r *http.Request) (placement.Change, error) {
	c := placement.Change{Peer: r.FormValue("peer"), Client: r.FormValue("client")}
	switch what := r.PathValue("change"); what {
	case "add":
		c.Kind = placement.Add
	case "remove":
		undo, err := toggle(r, "undo")
		if err != nil {
			return c, err
		}
		c.Kind = placement.Remove
		if undo {
			c.Kind = placement.Keep
		}
	case "replace":
		c.Kind = placement.Replace
	case "move":
		group, err := strconv.ParseUint(r.FormValue("group"), 10, 16)
		if err != nil {
			return c, fmt.Errorf("group is %q, must be 0 to 65535", r.FormValue("group"))
		}
		c.Kind, c.Group = placement.Move, paxos.GroupID(group)
	default:
		return c, fmt.Errorf("%q is no change, must be add, remove, replace or move", what)
	}
	id, err := strconv.ParseUint(r.FormValue("node"), 10, 16)
	if err != nil || id == 0 {
		return c, fmt.Errorf("node is %q, must be 1 to 65535", r.FormValue("node"))
	}
	c.Node = paxos.NodeID(id)
	return c, nil
}

// AppendChanged appends a change that was made, and the name of the cluster if that was
// asked for before.
func AppendChanged(dst []byte, cluster string, c *placement.Change) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("change", c.Kind.String())
	o.cluster(cluster)
	o.number("node", uint64(c.Node))
	if c.Kind == placement.Move {
		o.number("group", uint64(c.Group))
	}
	return o.end(dst)
}

// cluster adds the name of a cluster, unless it is empty.
func (o object) cluster(name string) {
	if name != "" {
		o.text("cluster", name)
	}
}

// toggle reads a parameter that is true or false, or left out.
func toggle(r *http.Request, name string) (bool, error) {
	switch value := r.FormValue(name); value {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("%s is %q, must be true or false", name, value)
	}
}

// drain has this node give its leaderships away, or lead again what falls to it:
//
//	POST /v1/cluster/drain[?undo=true]
//
// 200 says that it has begun, 409 that it cannot be undone because the process is
// about to end.
func (h *handler) drain(w http.ResponseWriter, r *http.Request) {
	to := node.DrainAside
	undo, err := toggle(r, "undo")
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if undo {
		to = node.NotDraining
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	switch err := h.opts.Drain(ctx, to); {
	case err == nil:
		write(w, AppendDraining(nil, to, nil))
	case errors.Is(err, node.ErrStopping):
		fail(w, http.StatusConflict, err.Error())
	default: // no answer in time
		fail(w, http.StatusServiceUnavailable, err.Error())
	}
}

// AppendDraining appends how a node was told to drain, and which node of which cluster
// it is, unless by is nil.
func AppendDraining(dst []byte, to node.Draining, by *Progress) []byte {
	o := newObject(new(fastjson.Arena))
	o.truth("draining", to != node.NotDraining)
	if by != nil {
		o.cluster(by.Cluster)
		o.count("node", by.Node)
	}
	return o.end(dst)
}
