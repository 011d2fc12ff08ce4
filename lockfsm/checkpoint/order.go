package checkpoint

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// orderedFS makes the directory durable before Pebble creates a marker in it
// and before it removes one.
//
// A marker is an empty file whose name says which manifest is valid. To move
// on, Pebble makes a manifest, makes its marker, removes the old marker, and
// syncs the directory once. On a file system that may keep any of these changes
// without the others, a power cut in between can leave a marker whose manifest
// is gone, so that the store never opens again, or no marker, so that it opens
// empty. Markers move rarely: at open, and when a manifest is full.
//
// A directory that cannot be synced is fatal: what is in it is unknown from
// then on, and Pebble, which says so too, would panic.
//
// So is a name that cannot be changed while Pebble opens the store: it panics as it
// gives back what it has opened so far, if it reads a table meanwhile.
//
// A table is not begun before the pace allows it.
type orderedFS struct {
	vfs.FS
	fatal   func(error)
	pace    *pace
	opening *atomic.Bool
}

// changed passes on what became of a change of a name. It does not return if that is an
// error and the store is being opened.
func (o orderedFS) changed(err error) error {
	if err != nil && !errors.Is(err, iofs.ErrNotExist) && o.opening.Load() {
		err = fmt.Errorf("checkpoint: opening the store: %w", err)
		o.fatal(err)
		panic(err)
	}
	return err
}

// Rename renames a file.
func (o orderedFS) Rename(from, to string) error { return o.changed(o.FS.Rename(from, to)) }

// Create syncs the directory first if name is a marker, and keeps the pace if it
// is a table. Pebble holds none of its locks then.
func (o orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") {
		o.pace.wait()
	}
	if err := o.settle(name); err != nil {
		return nil, err
	}
	f, err := o.FS.Create(name, category)
	return f, o.changed(err)
}

// Remove syncs the directory first if name is a marker.
func (o orderedFS) Remove(name string) error {
	if err := o.settle(name); err != nil {
		return err
	}
	return o.changed(o.FS.Remove(name))
}

func (o orderedFS) settle(name string) error {
	if !strings.HasPrefix(o.PathBase(name), "marker.") {
		return nil
	}
	d, err := o.OpenDir(o.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// OpenDir opens a directory whose failed sync is fatal.
func (o orderedFS) OpenDir(name string) (vfs.File, error) {
	f, err := o.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return directory{f, o.fatal}, nil
}

// directory is an open directory.
type directory struct {
	vfs.File
	fatal func(error)
}

// Sync makes the names durable. It does not return if that fails.
func (d directory) Sync() error {
	err := d.File.Sync()
	if err != nil {
		err = fmt.Errorf("checkpoint: syncing the directory: %w", err)
		d.fatal(err)
		panic(err)
	}
	return nil
}

// Unwrap returns the file system below.
func (o orderedFS) Unwrap() vfs.FS { return o.FS }
