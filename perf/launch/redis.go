package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const getRedis = "Debian: apt-get install redis-server; or name a binary with --redis-server"

// Redis starts redis-server processes.
type Redis struct {
	// Path is the binary; "" means redis-server on PATH.
	Path string
	// Alone is how many processes that know nothing of one another; 0 means 1.
	// Requires: not with Replicas.
	Alone int
	// Replicas is how many copies follow the first process, usually 0 or 2.
	Replicas int
	// Sync makes every process sync each write to its log (appendonly yes,
	// appendfsync always). Without it nothing is written to disk.
	Sync bool
}

// Version implements Launcher.
func (r Redis) Version(ctx context.Context) (string, error) {
	path, err := lookUp(r.Path, "redis-server", getRedis)
	if err != nil {
		return "", err
	}
	text, err := output(ctx, path, "--version")
	return "redis-server " + after(text, "v="), err
}

// Start implements Launcher. The first address is the one to write to.
func (r Redis) Start(ctx context.Context, dir string) (*Cluster, error) {
	path, err := lookUp(r.Path, "redis-server", getRedis)
	if err != nil {
		return nil, err
	}
	c := new(Cluster)
	addresses, err := c.ports.Addresses(max(1, r.Alone) + r.Replicas)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	c.Addresses = addresses
	var commands []Command
	for i, address := range addresses {
		name := fmt.Sprintf("redis-%d", i+1)
		own, err := subdir(dir, name)
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		commands = append(commands, Command{
			Name:  name,
			Path:  path,
			Args:  r.args(addresses[0], address),
			Dir:   own,
			Ready: redisReady(address, r.role(i)),
		})
	}
	return c, startAll(ctx, c, commands)
}

// args is the command line of one process.
func (r Redis) args(first, address string) []string {
	host, port, _ := strings.Cut(address, ":")
	args := []string{"--bind", host, "--port", port, "--save", "", "--daemonize", "no"}
	if r.Sync {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	} else {
		args = append(args, "--appendonly", "no")
	}
	if address != first && r.Replicas > 0 {
		firstHost, firstPort, _ := strings.Cut(first, ":")
		args = append(args, "--replicaof", firstHost+" "+firstPort)
	} else if r.Replicas > 0 {
		args = append(args, "--repl-diskless-sync-delay", "0")
	}
	return args
}

// redisReady asks a process for its state: it must answer, and a replica must
// be connected to its source.
func redisReady(address string, role redisRole) func(context.Context) error {
	return func(ctx context.Context) error {
		text, err := redisInfo(ctx, address)
		if err != nil {
			return err
		}
		if !strings.Contains(text, "redis_version") || strings.Contains(text, "loading:1") {
			return errors.New("loading")
		}
		if strings.Contains(text, "aof_rewrite_in_progress:1") ||
			strings.Contains(text, "aof_rewrite_scheduled:1") {
			return errors.New("writing its first log; until then it ignores SIGTERM")
		}
		if role == redisCopy && !strings.Contains(text, "master_link_status:up") {
			return errors.New("not connected to its source")
		}
		return nil
	}
}

// redisInfo sends one INFO by hand; the clients under test stay out of it.
func redisInfo(ctx context.Context, address string) (text string, err error) {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("INFO\r\n")); err != nil {
		return "", err
	}
	var all []byte
	buffer := make([]byte, 16<<10)
	for !strings.Contains(string(all), "# Keyspace") {
		n, err := conn.Read(buffer)
		if err != nil {
			return "", err
		}
		all = append(all, buffer[:n]...)
	}
	return string(all), nil
}

// redisRole is what a process does in a replicated Redis.
type redisRole int

const (
	redisSource redisRole = iota
	redisCopy
)

func (r Redis) role(i int) redisRole {
	if i == 0 || r.Replicas == 0 {
		return redisSource
	}
	return redisCopy
}
