package faulttest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// FileSystem is what an Image is formatted with, and so what a power cut takes.
type FileSystem string

// The file systems of an Image. All keep what was synced.
const (
	// Ext4 loses names and sizes that were not synced. Writes past the page
	// cache, as the log makes them, are not lost.
	Ext4 FileSystem = "ext4"
	// Ext4Journal is ext4 with data in the journal: every write goes through
	// memory, and all that was not synced is lost.
	Ext4Journal FileSystem = "ext4-journal"
	// XFS loses what ext4 loses, by another journal.
	XFS FileSystem = "xfs"
)

// ErrNoImages means that this machine cannot make an Image; the text says what
// is missing. A test is skipped with it.
var ErrNoImages = errors.New("faulttest: no file system images")

// Image is a file system in a file, mounted from a loop device, whose power can
// be cut. It belongs to one goroutine. Cut and Remount go together:
//
//	im.Cut()         // every call on it fails from here on
//	n.Kill()         // whatever still runs on it
//	im.Remount()     // the journal is replayed; what was not synced is gone
//	n.Start()
type Image struct {
	file, point string
	options     string
	mounted     bool
	frozen      bool
	cut         bool   // since the last mount
	wrote       uint64 // the last number written before the cut

	// Cuts is how often the power went and came back. Took is how many of those
	// took along what had been written just before, and not synced; the others came
	// right after a sync of somebody else.
	Cuts, Took int
}

// NewImage makes and mounts an image of so many bytes in an existing directory.
// The caller must call Close, and is told by ErrNoImages if it cannot be done
// on this machine.
func NewImage(dir, name string, fs FileSystem, bytes int64) (*Image, error) {
	im := &Image{
		file:    filepath.Join(dir, name+".img"),
		point:   filepath.Join(dir, name),
		options: "loop,noatime",
	}
	format := []string{"mkfs.ext4", "-q", "-F", "-m", "0", im.file}
	switch fs {
	case Ext4:
		// Nothing is written before it is synced, but for a full journal.
		im.options += ",commit=300"
	case Ext4Journal:
		im.options += ",commit=300,data=journal"
	case XFS:
		format = []string{"mkfs.xfs", "-q", "-f", im.file}
	default:
		panic(fmt.Sprintf("faulttest: unknown file system %q", fs))
	}
	if err := canImage(format[0]); err != nil {
		return nil, err
	}
	f, err := os.Create(im.file)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(bytes), f.Close(), os.Mkdir(im.point, 0o700)); err != nil {
		return nil, err
	}
	if err := tool(format[0], format[1:]...); err != nil {
		return nil, err
	}
	if err := im.mount(); err != nil {
		return nil, fmt.Errorf("%w: mounting a loop device: %w", ErrNoImages, err)
	}
	return im, nil
}

// canImage says what is missing to make images.
func canImage(format string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root can mount", ErrNoImages)
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("%w: no loop devices: %w", ErrNoImages, err)
	}
	for _, name := range []string{format, "mount", "umount", "fsfreeze", "xfs_io"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %s is missing: apt-get install mount e2fsprogs xfsprogs",
				ErrNoImages, name)
		}
	}
	return nil
}

// Path is where the file system is mounted.
func (im *Image) Path() string { return im.point }

// Cut takes the power: from here on every change of the file system fails, which
// is looked at, and of what was done to it only what was synced will be there
// after Remount. A number is written again and again until the power goes, since
// whatever a node syncs meanwhile may take an earlier one along.
func (im *Image) Cut() error {
	im.cut, im.wrote = true, 0
	f, err := os.Create(im.unsynced())
	if errors.Is(err, syscall.ENOSPC) {
		err = nil // a full disk takes no file, and loses none
	}
	shutdown := exec.Command("xfs_io", "-x", "-c", "shutdown", im.point)
	if err = errors.Join(err, shutdown.Start()); err != nil {
		return err
	}
	for n := uint64(1); f != nil; n++ {
		if _, err = f.WriteAt(binary.BigEndian.AppendUint64(nil, n), 0); err != nil {
			break
		}
		im.wrote = n
	}
	if err := shutdown.Wait(); err != nil {
		return fmt.Errorf("faulttest: %v: %w", shutdown, err)
	}
	if f != nil {
		_ = f.Close() // it fails, with the rest
	}
	if err := os.WriteFile(im.unsynced()+"-after", nil, 0o600); !errors.Is(err, syscall.EIO) {
		return fmt.Errorf("faulttest: a write to %s after its power went: got %v, want %w",
			im.point, err, syscall.EIO)
	}
	return nil
}

// unsynced is the file that Cut writes.
func (im *Image) unsynced() string { return filepath.Join(im.point, "unsynced") }

// countCut looks what a cut took, once the file system is mounted again.
func (im *Image) countCut() error {
	im.cut = false
	im.Cuts++
	b, err := os.ReadFile(im.unsynced())
	switch {
	case errors.Is(err, os.ErrNotExist):
		im.Took++
		return nil
	case err != nil:
		return err
	case len(b) < 8 || binary.BigEndian.Uint64(b) < im.wrote:
		im.Took++
	}
	return os.Remove(im.unsynced())
}

// Freeze makes every change of the file system wait, and every sync, until Thaw.
// Reads go on.
func (im *Image) Freeze() error {
	im.frozen = true
	return tool("fsfreeze", "-f", im.point)
}

// Thaw lets the file system go on after Freeze.
func (im *Image) Thaw() error {
	im.frozen = false
	return tool("fsfreeze", "-u", im.point)
}

// Remount mounts the file system again, which replays its journal. Requires: no
// process has a file of it open.
func (im *Image) Remount() error {
	if err := im.unmount(); err != nil {
		return err
	}
	if err := im.mount(); err != nil || !im.cut {
		return err
	}
	return im.countCut()
}

// Close unmounts the file system. Its file stays.
func (im *Image) Close() error {
	if !im.mounted {
		return nil
	}
	if im.frozen {
		return errors.Join(im.Thaw(), im.unmount())
	}
	return im.unmount()
}

func (im *Image) mount() error {
	if err := tool("mount", "-o", im.options, im.file, im.point); err != nil {
		return err
	}
	im.mounted = true
	return nil
}

// unmountPatience is how long the kernel may take to let go of the files of a
// process that has just been killed.
const unmountPatience = 20 * time.Second

func (im *Image) unmount() error {
	ctx, cancel := context.WithTimeout(context.Background(), unmountPatience)
	defer cancel()
	for {
		err := tool("umount", im.point)
		if err == nil {
			im.mounted = false
			return nil
		}
		pause(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return err
		}
	}
}

// tool runs a program to its end.
func tool(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("faulttest: %s %s: %w: %s", name, strings.Join(args, " "), err,
			strings.TrimSpace(string(out)))
	}
	return nil
}

// CutPower takes the power of some nodes, each with its own image, at one
// moment, as far as a program can, and brings image and node back. A node must
// end by itself before patience is over, because its log can no longer be
// written (I11); one that does not is killed and reported. Requires: the data
// directory of nodes[i] lies on images[i], or on one that several share.
func CutPower(patience time.Duration, nodes []*Node, images []*Image) error {
	var problems []error
	distinct := uniqueImages(images)
	for _, im := range distinct {
		problems = append(problems, im.Cut())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, n := range nodes {
		if _, err := n.Wait(ctx); err != nil {
			problems = append(problems, fmt.Errorf("without its disk: %w", err), n.Kill())
		}
	}
	for _, im := range distinct {
		problems = append(problems, im.Remount())
	}
	for _, n := range nodes {
		problems = append(problems, n.Start())
	}
	return errors.Join(problems...)
}

func uniqueImages(images []*Image) []*Image {
	var all []*Image
	seen := make(map[*Image]struct{})
	for _, im := range images {
		if _, ok := seen[im]; !ok {
			seen[im] = struct{}{}
			all = append(all, im)
		}
	}
	return all
}
