package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"lockd/client"
	"lockd/lockd/config"
)

// clusterFlags are the flags of every verb that talks to a cluster.
type clusterFlags struct {
	addresses string
	timeout   time.Duration
}

// defaultAddress is where the first node of lockd dev and of the examples
// listens.
const defaultAddress = "127.0.0.1:7600"

func (f *clusterFlags) declare(flags *flag.FlagSet) {
	flags.StringVar(&f.addresses, "addr", "",
		"client `addresses` of nodes, host:port with commas between them; one that answers is "+
			"enough (LOCKD_ADDR, default "+defaultAddress+")")
	declareSpan(flags, span{to: &f.timeout, least: time.Millisecond}, "timeout", 5*time.Second,
		"how `long` to wait for an answer of the cluster")
}

// dial connects to the cluster.
func (f *clusterFlags) dial(ctx context.Context, sh *shell,
	o client.Options) (*client.Client, error) {
	addresses, err := f.list(sh)
	if err != nil {
		return nil, err
	}
	o.RequestTimeout = f.timeout
	if o.DialTimeout == 0 { // so that the reason is known when time is over
		o.DialTimeout = min(2*time.Second, f.timeout*3/4)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	c, err := client.Dial(ctx, addresses, o)
	if errors.Is(err, client.ErrUnavailable) {
		return nil, failf(exitUnavailable, "no node answers at %s within %s: is it the client address "+
			"of a node that runs? %w", strings.Join(addresses, ", "), spanText(f.timeout), oneLine{err})
	}
	return c, clientFailure(err)
}

// list returns the addresses of nodes, from the flag, the environment or the default.
func (f *clusterFlags) list(sh *shell) ([]string, error) {
	text, from := f.addresses, "--addr"
	if text == "" {
		text, from = sh.getenv("LOCKD_ADDR"), "LOCKD_ADDR"
	}
	if wrong := config.MistypedEnv(sh.env, "LOCKD_ADDR"); text == "" && wrong != "" {
		return nil, failf(exitUsage, "unknown environment variable %s; did you mean LOCKD_ADDR? Correct "+
			"it or unset it: %s, the default, may be of another cluster", wrong, defaultAddress)
	}
	if text == "" {
		text = defaultAddress
	}
	var addresses []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		host, port, err := net.SplitHostPort(part)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
			return nil, failf(exitUsage, "%s: %q is no address, must be host:port such as %s", from,
				part, defaultAddress)
		}
		addresses = append(addresses, part)
	}
	if len(addresses) == 0 {
		return nil, failf(exitUsage, "%s is %q, must be host:port, several with commas between", from,
			text)
	}
	return addresses, nil
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
		return &failure{code: exitUnavailable, err: oneLine{err}}
	case errors.Is(err, client.ErrBadName), errors.Is(err, client.ErrNameTooLong),
		errors.Is(err, client.ErrOptions):
		return &failure{code: exitUsage, err: oneLine{err}}
	default:
		return err
	}
}

// oneLine is an error whose text is one line, whatever nodes it lists, and does not
// say through which package it came.
type oneLine struct{ error }

func (o oneLine) Error() string {
	text := strings.TrimPrefix(o.error.Error(), "client: ")
	return strings.ReplaceAll(strings.TrimPrefix(text, "bad options: "), "\n", "; ")
}

func (o oneLine) Unwrap() error { return o.error }

// clientName is how holders and waiters of this process are shown to others.
func clientName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	name := fmt.Sprintf("%s (pid %d)", host, os.Getpid())
	return name[:min(len(name), 128)]
}

// format is a flag that chooses between a text and JSON.
type format string

func (f *format) declare(flags *flag.FlagSet) {
	f.declareFor(flags, "table", "which is tab-separated in a pipe")
}

// declareFor is declare for a verb whose text is no table.
func (f *format) declareFor(flags *flag.FlagSet, plain, what string) {
	declareChoice(flags, choice{to: (*string)(f), words: []string{plain, "json"}}, "o", plain,
		"`format`: "+plain+", "+what+", or json")
}

// closeClient ends a client that holds nothing worth waiting for.
func closeClient(c *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}
