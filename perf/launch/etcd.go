package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const getEtcd = "Debian: apt-get install etcd-server; or name a binary with --etcd"

// Etcd starts three etcd processes as they come: each syncs what it answers
// for, the others hear from the one that leads every 100 ms.
type Etcd struct {
	// Path is the binary; "" means etcd on PATH.
	Path string
}

// Version implements Launcher.
func (e Etcd) Version(ctx context.Context) (string, error) {
	path, err := lookUp(e.Path, "etcd", getEtcd)
	if err != nil {
		return "", err
	}
	text, err := output(ctx, path, "--version")
	return "etcd " + after(text, "etcd Version:"), err
}

// Start implements Launcher.
func (e Etcd) Start(ctx context.Context, dir string) (*Cluster, error) {
	path, err := lookUp(e.Path, "etcd", getEtcd)
	if err != nil {
		return nil, err
	}
	const n = 3
	c := new(Cluster)
	addresses, err := c.ports.Addresses(2 * n)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	c.Addresses = addresses[:n]
	peers := addresses[n:]
	var everyone []string
	for i := range n {
		everyone = append(everyone, fmt.Sprintf("etcd-%d=http://%s", i+1, peers[i]))
	}
	var commands []Command
	for i, address := range c.Addresses {
		name := fmt.Sprintf("etcd-%d", i+1)
		own, err := subdir(dir, name)
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		client, peer := "http://"+address, "http://"+peers[i]
		commands = append(commands, Command{
			Name: name, Path: path, Dir: own, Ready: etcdReady(client),
			Args: []string{"--name", name, "--data-dir", own + "/data",
				"--listen-client-urls", client, "--advertise-client-urls", client,
				"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
				"--initial-cluster", strings.Join(everyone, ","),
				"--initial-cluster-state", "new", "--initial-cluster-token", "perf",
				"--logger", "zap", "--log-level", "warn"},
		})
	}
	return c, startTogether(ctx, c, commands)
}

// etcdReady asks a process whether it is part of a cluster that has a leader.
func etcdReady(base string) func(context.Context) error {
	return func(ctx context.Context) error {
		text, err := get(ctx, base+"/health")
		if err == nil && !strings.Contains(text, "true") {
			err = fmt.Errorf("not healthy: %s", text)
		}
		return err
	}
}

// get fetches a short text by HTTP.
func get(ctx context.Context, address string) (text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(response.Body, tailBytes))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}
