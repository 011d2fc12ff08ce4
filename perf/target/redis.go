package target

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// redisExpiry is the PX of every SET: far longer than any measurement holds.
	redisExpiry = 30 * time.Second
	// A caller that finds a lock held asks again after a pause between these.
	leastPause = 50 * time.Millisecond
	mostPause  = 250 * time.Millisecond
)

// unlockScript deletes a key only while it holds its caller's value.
const unlockScript = `if redis.call("get", KEYS[1]) == ARGV[1] then
	return redis.call("del", KEYS[1])
end
return 0`

// redisCommands is what a Redis client must be able to do.
type redisCommands interface {
	// setNew is SET key value NX PX; false says that the key was there.
	setNew(ctx context.Context, key, value string) (bool, error)
	// deleteEqual runs unlockScript and returns how many keys it deleted.
	deleteEqual(ctx context.Context, key, value string) (int64, error)
	close() error
}

// redisLocker makes locks out of a Redis client.
type redisLocker struct {
	commands redisCommands
	prefix   string        // of this client's values, random
	last     atomic.Uint64 // number of the last value; every caller of Lock adds
}

func newRedisLocker(commands redisCommands) *redisLocker {
	return &redisLocker{commands: commands, prefix: strconv.FormatUint(rand.Uint64(), 16) + "-"}
}

// redisHold is one key with the value that this holder wrote.
type redisHold struct {
	locker     *redisLocker
	key, value string
}

func (l *redisLocker) Lock(ctx context.Context, key string) (Hold, error) {
	hold := &redisHold{locker: l, key: key, value: l.prefix + strconv.FormatUint(l.last.Add(1), 16)}
	for {
		ok, err := l.commands.setNew(ctx, key, hold.value)
		if err != nil {
			return nil, fmt.Errorf("target: lock %s: %w", key, err)
		}
		if ok {
			return hold, nil
		}
		select {
		case <-time.After(leastPause + rand.N(mostPause-leastPause)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (h *redisHold) Unlock(ctx context.Context) error {
	deleted, err := h.locker.commands.deleteEqual(ctx, h.key, h.value)
	if err != nil {
		return fmt.Errorf("target: unlock %s: %w", h.key, err)
	}
	if deleted != 1 {
		return fmt.Errorf("%w: %s", ErrNotHeld, h.key)
	}
	return nil
}

func (l *redisLocker) Close() error { return l.commands.close() }
