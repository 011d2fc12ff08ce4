package launch

import "context"

// Echo starts a process that sends back what it receives: the floor of any
// service on this machine. The process is perf itself.
type Echo struct {
	// Path is the program; Args is what makes it serve, and the address to
	// listen on follows it.
	Path string
	Args []string
}

// Version implements Launcher.
func (e Echo) Version(context.Context) (string, error) { return "perf echo", nil }

// Start implements Launcher.
func (e Echo) Start(ctx context.Context, dir string) (*Cluster, error) {
	own, err := subdir(dir, "echo")
	if err != nil {
		return nil, err
	}
	c := new(Cluster)
	address, err := c.ports.Address()
	if err != nil {
		return nil, err
	}
	c.Addresses = []string{address}
	return c, startAll(ctx, c, []Command{{
		Name:  "echo",
		Path:  e.Path,
		Args:  append(append([]string{}, e.Args...), address),
		Dir:   own,
		Ready: answers(address),
	}})
}
