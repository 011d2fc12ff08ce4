package target

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"lockd/perf/launch"
)

// redlockTries is how often a caller asks before it gives up: longer than any
// measurement.
const redlockTries = 1 << 20

// redlock takes a key on a majority of independent Redis processes, by redsync
// over go-redis.
type redlock struct {
	clients []*redis.Client
	sync    *redsync.Redsync
}

func openRedlock(ctx context.Context, c *launch.Cluster) (Locker, error) {
	l := &redlock{}
	for _, address := range c.Addresses {
		l.clients = append(l.clients, redis.NewClient(&redis.Options{Addr: address}))
	}
	pools := make([]redsyncredis.Pool, len(l.clients))
	for i, client := range l.clients {
		if err := client.Ping(ctx).Err(); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		pools[i] = goredis.NewPool(client)
	}
	l.sync = redsync.New(pools...)
	return l, nil
}

// redlockHold is a mutex of redsync that is held.
type redlockHold struct{ mutex *redsync.Mutex }

func (l *redlock) Lock(ctx context.Context, key string) (Hold, error) {
	mutex := l.sync.NewMutex(key, redsync.WithExpiry(redisExpiry),
		redsync.WithTries(redlockTries), redsync.WithRetryDelayFunc(redlockPause))
	if err := mutex.LockContext(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("target: lock %s: %w", key, err)
	}
	return redlockHold{mutex}, nil
}

// redlockPause is the pause before another try, as long as that of a single
// Redis.
func redlockPause(int) time.Duration { return leastPause + rand.N(mostPause-leastPause) }

// Unlock implements Hold.
func (h redlockHold) Unlock(ctx context.Context) error {
	ok, err := h.mutex.UnlockContext(ctx)
	if ok {
		return nil
	}
	var taken *redsync.ErrTaken
	if err == nil || errors.Is(err, redsync.ErrLockAlreadyExpired) || errors.As(err, &taken) {
		return fmt.Errorf("%w: %s", ErrNotHeld, h.mutex.Name())
	}
	return fmt.Errorf("target: unlock %s: %w", h.mutex.Name(), err)
}

func (l *redlock) Close() error {
	var errs []error
	for _, client := range l.clients {
		errs = append(errs, client.Close())
	}
	return errors.Join(errs...)
}
