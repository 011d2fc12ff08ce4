package target

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"lockd/perf/launch"
)

const (
	etcdDialTimeout = 5 * time.Second
	// etcdLease is the life of a lease that nobody renews, in seconds.
	etcdLease = 60
)

func dialEtcd(c *launch.Cluster) (*clientv3.Client, error) {
	var endpoints []string
	for _, address := range c.Addresses {
		endpoints = append(endpoints, "http://"+address)
	}
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: etcdDialTimeout, Logger: zap.NewNop(),
	})
}

// etcdMutexes locks with the client's own concurrency.Mutex. Two mutexes of one
// session and one key are one holder, so each hold of a key that others may want
// has a session to itself; those sessions are used again. All other keys share
// one.
type etcdMutexes struct {
	client *clientv3.Client
	shared *concurrency.Session
	mu     struct {
		sync.Mutex
		idle []*concurrency.Session
	}
}

func openEtcd(_ context.Context, c *launch.Cluster) (Locker, error) {
	client, err := dialEtcd(c)
	if err != nil {
		return nil, err
	}
	e := &etcdMutexes{client: client}
	if e.shared, err = e.open(); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return e, nil
}

func (e *etcdMutexes) open() (*concurrency.Session, error) {
	return concurrency.NewSession(e.client, concurrency.WithTTL(etcdLease))
}

// session takes the session for a key: the shared one, one that nobody uses, or a
// new one.
func (e *etcdMutexes) session(key string) (*concurrency.Session, error) {
	if strings.HasPrefix(key, FreshPrefix) || strings.HasPrefix(key, HeldPrefix) {
		return e.shared, nil
	}
	for {
		s := e.pop()
		if s == nil {
			return e.open()
		}
		select {
		case <-s.Done(): // its lease ran out
		default:
			return s, nil
		}
	}
}

func (e *etcdMutexes) pop() *concurrency.Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.mu.idle)
	if n == 0 {
		return nil
	}
	s := e.mu.idle[n-1]
	e.mu.idle = e.mu.idle[:n-1]
	return s
}

// push gives a session back that has left nothing behind.
func (e *etcdMutexes) push(s *concurrency.Session) {
	if s == e.shared {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.idle = append(e.mu.idle, s)
}

// drop gives up a session that may have left something behind: its lease runs
// out.
func (e *etcdMutexes) drop(s *concurrency.Session) {
	if s != e.shared {
		s.Orphan()
	}
}

// etcdHold is a mutex that is held, with the session that is its own.
type etcdHold struct {
	owner   *etcdMutexes
	session *concurrency.Session
	mutex   *concurrency.Mutex
}

func (e *etcdMutexes) Lock(ctx context.Context, key string) (Hold, error) {
	session, err := e.session(key)
	if err != nil {
		return nil, fmt.Errorf("target: session: %w", err)
	}
	mutex := concurrency.NewMutex(session, key)
	if err := mutex.Lock(ctx); err != nil {
		// What the session has left behind must not block anybody.
		if ctx.Err() == nil {
			e.drop(session)
			return nil, fmt.Errorf("target: lock %s: %w", key, err)
		}
		e.push(session)
		return nil, ctx.Err()
	}
	return &etcdHold{owner: e, session: session, mutex: mutex}, nil
}

// Unlock implements Hold.
func (h *etcdHold) Unlock(ctx context.Context) error {
	err := h.mutex.Unlock(ctx)
	switch {
	case errors.Is(err, concurrency.ErrLockReleased):
		return fmt.Errorf("%w: %s", ErrNotHeld, h.mutex.Key())
	case err != nil:
		h.owner.drop(h.session)
		return fmt.Errorf("target: unlock %s: %w", h.mutex.Key(), err)
	}
	h.owner.push(h.session)
	return nil
}

// Close leaves the leases to run out: to revoke each takes a write.
func (e *etcdMutexes) Close() error { return e.client.Close() }

// etcdKeys locks with bare comparisons: a key is put under the client's lease
// if it is not there, and deleted if it is still its holder's.
type etcdKeys struct {
	client *clientv3.Client
	lease  clientv3.LeaseID
	prefix string
	last   atomic.Uint64 // number of the last value; every caller of Lock adds
}

func openEtcdKeys(ctx context.Context, c *launch.Cluster) (Locker, error) {
	client, err := dialEtcd(c)
	if err != nil {
		return nil, err
	}
	granted, err := client.Grant(ctx, etcdLease)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	renewals, err := client.KeepAlive(client.Ctx(), granted.ID)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	discard(renewals)
	prefix := strconv.FormatUint(rand.Uint64(), 36) + "-"
	return &etcdKeys{client: client, lease: granted.ID, prefix: prefix}, nil
}

// etcdKey is a key with the value its holder wrote.
type etcdKey struct {
	owner      *etcdKeys
	key, value string
}

func (e *etcdKeys) Lock(ctx context.Context, key string) (Hold, error) {
	hold := &etcdKey{owner: e, key: key, value: e.prefix + strconv.FormatUint(e.last.Add(1), 36)}
	absent := clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
	put := clientv3.OpPut(key, hold.value, clientv3.WithLease(e.lease))
	for {
		answer, err := e.client.Txn(ctx).If(absent).Then(put).Commit()
		if err == nil && answer.Succeeded {
			return hold, nil
		}
		if err == nil {
			err = e.awaitDelete(ctx, key, answer.Header.Revision)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("target: lock %s: %w", key, err)
		}
	}
}

// awaitDelete waits until a key that was there at a revision is gone.
func (e *etcdKeys) awaitDelete(ctx context.Context, key string, revision int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := e.client.Watch(ctx, key, clientv3.WithRev(revision+1), clientv3.WithFilterPut())
	for change := range changes {
		if err := change.Err(); err != nil {
			return err
		}
		if len(change.Events) > 0 {
			return nil
		}
	}
	return ctx.Err()
}

// Unlock implements Hold.
func (h *etcdKey) Unlock(ctx context.Context) error {
	answer, err := h.owner.client.Txn(ctx).
		If(clientv3.Compare(clientv3.Value(h.key), "=", h.value)).
		Then(clientv3.OpDelete(h.key)).Commit()
	if err != nil {
		return fmt.Errorf("target: unlock %s: %w", h.key, err)
	}
	if !answer.Succeeded {
		return fmt.Errorf("%w: %s", ErrNotHeld, h.key)
	}
	return nil
}

// Close lets the lease run out.
func (e *etcdKeys) Close() error { return e.client.Close() }
