package checkpoint

import (
	"errors"
	"strings"

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
type orderedFS struct{ vfs.FS }

// Create syncs the directory first if name is a marker.
func (o orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := o.settle(name); err != nil {
		return nil, err
	}
	return o.FS.Create(name, category)
}

// Remove syncs the directory first if name is a marker.
func (o orderedFS) Remove(name string) error {
	if err := o.settle(name); err != nil {
		return err
	}
	return o.FS.Remove(name)
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

// Unwrap returns the file system below.
func (o orderedFS) Unwrap() vfs.FS { return o.FS }
