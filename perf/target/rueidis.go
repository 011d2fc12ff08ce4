package target

import (
	"context"

	"github.com/redis/rueidis"

	"lockd/perf/launch"
)

// waitTimeoutMillis bounds a WAIT; a copy on the same machine never needs it.
const waitTimeoutMillis = 1000

// rueidisCommands is the client that pipelines the requests of all callers by
// itself.
type rueidisCommands struct {
	client rueidis.Client
	sha    string
	copies int64 // that must have received a write before it counts; 0 for none
}

func openRueidis(ctx context.Context, c *launch.Cluster) (Locker, error) {
	return dialRueidis(ctx, c, 0)
}

func openRueidisWait(ctx context.Context, c *launch.Cluster) (Locker, error) {
	return dialRueidis(ctx, c, 1)
}

func dialRueidis(ctx context.Context, c *launch.Cluster, copies int64) (Locker, error) {
	opened, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:       c.Addresses[:1],
		DisableCache:      true,
		ForceSingleClient: true,
	})
	if err != nil {
		return nil, err
	}
	load := opened.B().ScriptLoad().Script(unlockScript).Build()
	sha, err := opened.Do(ctx, load).ToString()
	if err != nil {
		opened.Close()
		return nil, err
	}
	return newRedisLocker(&rueidisCommands{client: opened, sha: sha, copies: copies}), nil
}

func (r *rueidisCommands) setNew(ctx context.Context, key, value string) (bool, error) {
	set := r.client.B().Set().Key(key).Value(value).Nx().
		PxMilliseconds(redisExpiry.Milliseconds()).Build()
	err := r.do(ctx, set).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return err == nil, err
}

func (r *rueidisCommands) deleteEqual(ctx context.Context, key, value string) (int64, error) {
	return r.do(ctx, r.client.B().Evalsha().Sha1(r.sha).Numkeys(1).Key(key).Arg(value).Build()).
		AsInt64()
}

// do runs a command and, if copies must have it, waits for them.
func (r *rueidisCommands) do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	if r.copies == 0 {
		return r.client.Do(ctx, command)
	}
	wait := r.client.B().Wait().Numreplicas(r.copies).Timeout(waitTimeoutMillis).Build()
	results := r.client.DoMulti(ctx, command, wait)
	if err := results[1].Error(); err != nil {
		return results[1]
	}
	return results[0]
}

func (r *rueidisCommands) close() error {
	r.client.Close()
	return nil
}
