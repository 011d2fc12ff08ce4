package faulttest

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"lockd/client"
)

// resumerEnv tells a child of the test that it is a client which keeps its sessions
// in a file, and where the nodes are.
const resumerEnv = "FAULTTEST_RESUMER"

// runResumer says what it has from the start before, locks one more, says that,
// and waits to be ended.
func runResumer(in io.Reader, out io.Writer) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, strings.Split(os.Getenv(resumerEnv), ","), client.Options{
		Name: "resumer", Lease: 30 * time.Second, SessionFile: os.Getenv("RESUMER_FILE")})
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	c.ReleaseOnExit()
	var all []string
	for _, h := range c.Resumed() {
		all = append(all, fmt.Sprintf(" %s=%d", h.Name(), h.Token()))
	}
	slices.Sort(all)
	fmt.Fprintln(out, "resumed"+strings.Join(all, ""))
	h, err := c.Lock(ctx, fmt.Sprint("resumed/", len(all)))
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	fmt.Fprintln(out, "locked", h.Token())
	_, _ = io.Copy(io.Discard, in)
	return 0
}
