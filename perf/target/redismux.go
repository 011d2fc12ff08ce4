package target

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"lockd/perf/launch"
)

// redisMux speaks just enough of Redis's protocol for a lock, over one shared
// connection: what an ordinary multiplexing client gets out of Redis.
type redisMux struct {
	mux *mux
	sha string
}

func openRedisMux(ctx context.Context, c *launch.Cluster) (Locker, error) {
	m, err := dialMux(ctx, c.Addresses[0], parseRESP)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum([]byte(unlockScript)) // the name that EVALSHA asks for
	r := &redisMux{mux: m, sha: hex.EncodeToString(sum[:])}
	_, err = m.do(func(out []byte) []byte {
		return appendCommand(out, "SCRIPT", "LOAD", unlockScript)
	})
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return newRedisLocker(r), nil
}

func (r *redisMux) setNew(_ context.Context, key, value string) (bool, error) {
	expiry := strconv.FormatInt(redisExpiry.Milliseconds(), 10)
	answer, err := r.mux.do(func(out []byte) []byte {
		return appendCommand(out, "SET", key, value, "NX", "PX", expiry)
	})
	return !answer.absent && err == nil, err
}

func (r *redisMux) deleteEqual(_ context.Context, key, value string) (int64, error) {
	answer, err := r.mux.do(func(out []byte) []byte {
		return appendCommand(out, "EVALSHA", r.sha, "1", key, value)
	})
	return answer.number, err
}

func (r *redisMux) close() error { return r.mux.close() }

// appendCommand writes a command as an array of bulk strings.
func appendCommand(out []byte, words ...string) []byte {
	out = append(out, '*')
	out = strconv.AppendInt(out, int64(len(words)), 10)
	out = append(out, "\r\n"...)
	for _, word := range words {
		out = append(out, '$')
		out = strconv.AppendInt(out, int64(len(word)), 10)
		out = append(out, "\r\n"...)
		out = append(out, word...)
		out = append(out, "\r\n"...)
	}
	return out
}

// parseRESP reads one simple string, error, integer or bulk string. The text of
// a string is not kept: a lock needs none.
func parseRESP(b []byte) (int, reply, error) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return 0, reply{}, nil
	}
	line, size := string(b[1:end]), end+2
	switch b[0] {
	case '+':
		return size, reply{}, nil
	case '-':
		return size, reply{err: fmt.Errorf("target: redis: %s", line)}, nil
	}
	number, err := strconv.ParseInt(line, 10, 64)
	if err != nil || b[0] != ':' && b[0] != '$' {
		return 0, reply{}, fmt.Errorf("target: not an answer of Redis: %q", b[:end])
	}
	switch {
	case b[0] == ':':
		return size, reply{number: number}, nil
	case number < 0:
		return size, reply{absent: true}, nil
	}
	size += int(number) + 2
	if len(b) < size {
		return 0, reply{}, nil
	}
	return size, reply{}, nil
}
