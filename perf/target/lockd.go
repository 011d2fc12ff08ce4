package target

import (
	"context"
	"time"

	"lockd/client"
	"lockd/perf/launch"
)

const closeTimeout = 5 * time.Second

// lockdClient is lockd's own client.
type lockdClient struct{ client *client.Client }

func openLockd(ctx context.Context, c *launch.Cluster) (Locker, error) {
	opened, err := client.Dial(ctx, c.Addresses, client.Options{Name: "perf"})
	if err != nil {
		return nil, err
	}
	return &lockdClient{client: opened}, nil
}

func (l *lockdClient) Lock(ctx context.Context, key string) (Hold, error) {
	held, err := l.client.Lock(ctx, key)
	if err != nil {
		return nil, err
	}
	return held, nil
}

func (l *lockdClient) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return l.client.Close(ctx)
}
