package target

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"lockd/perf/launch"
)

// goRedisCommands is the client most programs use: a pool of conns, one request
// at a time on each.
type goRedisCommands struct {
	client *redis.Client
	sha    string
}

// goRedisQuiet drops what the client would log: what fails is in the report.
type goRedisQuiet struct{}

// Printf implements the client's logger.
func (goRedisQuiet) Printf(context.Context, string, ...any) {}

func openGoRedis(ctx context.Context, c *launch.Cluster) (Locker, error) {
	opened := redis.NewClient(&redis.Options{Addr: c.Addresses[0]})
	sha, err := opened.ScriptLoad(ctx, unlockScript).Result()
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return newRedisLocker(&goRedisCommands{client: opened, sha: sha}), nil
}

func (g *goRedisCommands) setNew(ctx context.Context, key, value string) (bool, error) {
	err := g.client.SetArgs(ctx, key, value, redis.SetArgs{Mode: "NX", TTL: redisExpiry}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

func (g *goRedisCommands) deleteEqual(ctx context.Context, key, value string) (int64, error) {
	return g.client.EvalSha(ctx, g.sha, []string{key}, value).Int64()
}

func (g *goRedisCommands) close() error { return g.client.Close() }
