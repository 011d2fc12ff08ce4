package launch

import "context"

// Directory starts nothing: what is measured is the disk under a directory.
type Directory struct{}

// Version implements Launcher.
func (Directory) Version(context.Context) (string, error) { return "no process", nil }

// Start implements Launcher.
func (Directory) Start(_ context.Context, dir string) (*Cluster, error) {
	own, err := subdir(dir, "files")
	if err != nil {
		return nil, err
	}
	return &Cluster{Dir: own}, nil
}
