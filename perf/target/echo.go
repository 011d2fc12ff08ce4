package target

import (
	"context"

	"lockd/perf/launch"
)

// echoFrameBytes is about the size of a lock request.
const echoFrameBytes = 64

// echoLocker takes no lock: a pair is two round trips, the least any service
// can cost over this client's connection.
type echoLocker struct{ mux *mux }

func openEcho(ctx context.Context, c *launch.Cluster) (Locker, error) {
	m, err := dialMux(ctx, c.Addresses[0], parseEcho)
	if err != nil {
		return nil, err
	}
	return &echoLocker{mux: m}, nil
}

func parseEcho(b []byte) (int, reply, error) {
	if len(b) < echoFrameBytes {
		return 0, reply{}, nil
	}
	return echoFrameBytes, reply{}, nil
}

func (e *echoLocker) Lock(context.Context, string) (Hold, error) { return e, e.roundTrip() }

// Unlock implements Hold.
func (e *echoLocker) Unlock(context.Context) error { return e.roundTrip() }

func (e *echoLocker) roundTrip() error {
	var frame [echoFrameBytes]byte
	_, err := e.mux.do(func(out []byte) []byte { return append(out, frame[:]...) })
	return err
}

func (e *echoLocker) Close() error { return e.mux.close() }
