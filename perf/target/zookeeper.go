package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"lockd/perf/launch"
)

const (
	zkSession = 10 * time.Second
	zkRoot    = "/perf"
)

// zkQuiet drops what the client would log.
type zkQuiet struct{}

// Printf implements the client's logger.
func (zkQuiet) Printf(string, ...any) {}

// zkConn is one session, shared by all workers.
type zkConn struct{ conn *zk.Conn }

func dialZooKeeper(ctx context.Context, c *launch.Cluster) (zkConn, error) {
	conn, events, err := zk.Connect(c.Addresses, zkSession, zk.WithLogger(zkQuiet{}))
	if err != nil {
		return zkConn{}, err
	}
	z := zkConn{conn}
	for conn.State() != zk.StateHasSession {
		select {
		case <-events:
		case <-ctx.Done():
			conn.Close()
			return zkConn{}, ctx.Err()
		}
	}
	discard(events)
	if err := z.ensure(zkRoot); err != nil {
		conn.Close()
		return zkConn{}, err
	}
	return z, nil
}

// ensure creates a lasting node if it is not there.
func (z zkConn) ensure(path string) error {
	_, err := z.conn.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
	if err != nil && !errors.Is(err, zk.ErrNodeExists) {
		return fmt.Errorf("target: create %s: %w", path, err)
	}
	return nil
}

// Close ends the session.
func (z zkConn) Close() error {
	z.conn.Close()
	return nil
}

// remove deletes a node that a hold owns.
func (z zkConn) remove(path string) error {
	err := z.conn.Delete(path, -1)
	if errors.Is(err, zk.ErrNoNode) {
		return fmt.Errorf("%w: %s", ErrNotHeld, path)
	}
	if err != nil {
		return fmt.Errorf("target: unlock %s: %w", path, err)
	}
	return nil
}

// zkName makes a node's name of a key.
func zkName(key string) string { return zkRoot + "/" + strings.ReplaceAll(key, "/", ".") }

// zkRecipe locks as ZooKeeper's manual tells: an ephemeral sequential node below
// the lock's own, and a watch of the one before it.
type zkRecipe struct {
	zkConn
	mu struct {
		sync.Mutex
		idle  []string // nodes of locks that nobody uses now
		known map[string]bool
	}
}

func openZooKeeper(ctx context.Context, c *launch.Cluster) (Locker, error) {
	z, err := dialZooKeeper(ctx, c)
	if err != nil {
		return nil, err
	}
	r := &zkRecipe{zkConn: z}
	r.mu.known = map[string]bool{}
	return r, nil
}

// zkHold is the node of a holder. parent is the lock's, if it is free again
// after the unlock.
type zkHold struct {
	owner        *zkRecipe
	path, parent string
}

func (r *zkRecipe) Lock(ctx context.Context, key string) (Hold, error) {
	parent, own, err := r.parent(key)
	if err != nil {
		return nil, err
	}
	hold := &zkHold{owner: r, parent: own}
	hold.path, err = r.conn.CreateProtectedEphemeralSequential(parent+"/lock-", nil,
		zk.WorldACL(zk.PermAll))
	if err != nil {
		return nil, fmt.Errorf("target: lock %s: %w", key, err)
	}
	if err := r.awaitTurn(ctx, parent, hold.path); err != nil {
		// An error here means that the end of the session removes it.
		_ = r.conn.Delete(hold.path, -1)
		return nil, err
	}
	return hold, nil
}

// parent returns the node of a lock, which is there when it returns. A fresh key
// gets one that exists already, if one is free: own is then what to free later.
func (r *zkRecipe) parent(key string) (path, own string, err error) {
	path, isNew := zkName(key), true
	r.mu.Lock()
	switch n := len(r.mu.idle); {
	case !strings.HasPrefix(key, FreshPrefix):
		isNew = !r.mu.known[path]
	case n > 0:
		path, isNew = r.mu.idle[n-1], false
		own = path
		r.mu.idle = r.mu.idle[:n-1]
	default:
		own = path
	}
	r.mu.Unlock()
	if !isNew {
		return path, own, nil
	}
	if err := r.ensure(path); err != nil {
		return "", "", err
	}
	if own == "" {
		r.mu.Lock()
		r.mu.known[path] = true
		r.mu.Unlock()
	}
	return path, own, nil
}

// awaitTurn waits until a node is the first below its parent.
func (r *zkRecipe) awaitTurn(ctx context.Context, parent, path string) error {
	number := path[strings.LastIndexByte(path, '-')+1:]
	for {
		names, _, err := r.conn.Children(parent)
		if err != nil {
			return fmt.Errorf("target: lock %s: %w", parent, err)
		}
		before := zkBefore(names, number)
		if before == "" {
			return nil
		}
		there, _, gone, err := r.conn.ExistsW(parent + "/" + before)
		if err != nil {
			return fmt.Errorf("target: lock %s: %w", parent, err)
		}
		if !there {
			continue
		}
		select {
		case event := <-gone:
			if event.Err != nil {
				return event.Err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// zkBefore finds the node that stands right before a number; "" if none does.
// Numbers are the ends of the names, of equal length.
func zkBefore(names []string, number string) string {
	last := func(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }
	names = slices.DeleteFunc(names, func(name string) bool { return last(name) >= number })
	if len(names) == 0 {
		return ""
	}
	return slices.MaxFunc(names, func(a, b string) int { return strings.Compare(last(a), last(b)) })
}

// Unlock implements Hold.
func (h *zkHold) Unlock(context.Context) error {
	if err := h.owner.remove(h.path); err != nil {
		return err
	}
	if h.parent != "" {
		h.owner.mu.Lock()
		h.owner.mu.idle = append(h.owner.mu.idle, h.parent)
		h.owner.mu.Unlock()
	}
	return nil
}

// zkNodes locks with one ephemeral node a key: whoever creates it has the lock,
// and all who wait wake when it goes.
type zkNodes struct{ zkConn }

func openZooKeeperNodes(ctx context.Context, c *launch.Cluster) (Locker, error) {
	z, err := dialZooKeeper(ctx, c)
	if err != nil {
		return nil, err
	}
	return zkNodes{z}, nil
}

// zkNode is a node that its holder created.
type zkNode struct {
	owner zkConn
	path  string
}

func (z zkNodes) Lock(ctx context.Context, key string) (Hold, error) {
	path := zkName(key)
	for {
		_, err := z.conn.Create(path, nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		if err == nil {
			return zkNode{z.zkConn, path}, nil
		}
		if !errors.Is(err, zk.ErrNodeExists) {
			return nil, fmt.Errorf("target: lock %s: %w", key, err)
		}
		there, _, gone, err := z.conn.ExistsW(path)
		if err != nil {
			return nil, fmt.Errorf("target: lock %s: %w", key, err)
		}
		if !there {
			continue
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Unlock implements Hold.
func (n zkNode) Unlock(context.Context) error { return n.owner.remove(n.path) }
