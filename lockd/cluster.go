package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"lockd/client"
)

// clusterFlags are the flags of every verb that talks to a cluster.
type clusterFlags struct {
	addresses string
	timeout   time.Duration
}

// defaultAddress is where the first node of lockd dev and of the examples
// listens.
const defaultAddress = "127.0.0.1:7600"

func (c *clusterFlags) declare(flags *flag.FlagSet) {
	flags.StringVar(&c.addresses, "addr", "",
		"client `addresses` of nodes, host:port with commas between them; one that answers is "+
			"enough (LOCKD_ADDR, default "+defaultAddress+")")
	flags.DurationVar(&c.timeout, "timeout", 5*time.Second,
		"how long to wait for an answer of the cluster")
}

// dial connects to the cluster.
func (c *clusterFlags) dial(ctx context.Context, sh *shell,
	o client.Options) (*client.Client, error) {
	text := c.addresses
	if text == "" {
		text = sh.getenv("LOCKD_ADDR")
	}
	if text == "" {
		text = defaultAddress
	}
	var addresses []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			addresses = append(addresses, part)
		}
	}
	o.RequestTimeout = c.timeout
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	client, err := client.Dial(ctx, addresses, o)
	if err != nil {
		return nil, clientFailure(err)
	}
	return client, nil
}

// clientFailure gives an error of the client its exit code.
func clientFailure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.ErrPermission):
		return &failure{code: exitPermission, err: err}
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrRefused),
		errors.Is(err, client.ErrUnsupported):
		return &failure{code: exitUnavailable, err: err}
	case errors.Is(err, client.ErrBadName), errors.Is(err, client.ErrNameTooLong),
		errors.Is(err, client.ErrOptions):
		return &failure{code: exitUsage, err: err}
	default:
		return err
	}
}

// clientName is how holders and waiters of this process are shown to others.
func clientName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	name := fmt.Sprintf("%s (pid %d)", host, os.Getpid())
	return name[:min(len(name), 128)]
}

// format is a flag that chooses between a table and JSON.
type format string

// String and Set make it a flag.Value.
func (f *format) String() string { return string(*f) }

// Set accepts table and json.
func (f *format) Set(text string) error {
	if text != "table" && text != "json" {
		return errors.New("must be table or json")
	}
	*f = format(text)
	return nil
}

func (f *format) declare(flags *flag.FlagSet) {
	*f = "table"
	flags.Var(f, "o", "`format`: table, which is tab-separated in a pipe, or json")
}

// closeClient ends a client that holds nothing worth waiting for.
func closeClient(c *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}
