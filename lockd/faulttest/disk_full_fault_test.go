//go:build fault

package faulttest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFD10DiskFull is F-D10: on a small file system somebody else uses up all
// space, on one node, then on all. Nothing of what was answered is lost. Reads
// and renewals go on where a majority has space (I33). Once there is space
// again, every node serves again, by itself or started again; one that had to
// end said why, and what to do.
//
// It fails if a node without room goes on taking locks until the log has none
// (node, Cramped and admit) and has to end for it.
func TestFD10DiskFull(t *testing.T) {
	for _, fs := range []FileSystem{Ext4, XFS} {
		t.Run(string(fs), func(t *testing.T) {
			images, place := imagesFor(t, imageBytes, fs, fs, fs)
			r := newRigOn(t, 100, place)
			for i, nodes := range [][]*Node{r.cluster.Nodes[:1], r.cluster.Nodes[1:2],
				r.cluster.Nodes} {
				t.Logf("round %d: %s", i, r.fill(t, nodes, images))
			}
			r.finish(t)
		})
	}
}

// fill fills the disks of some nodes, waits, frees them, and says what happened.
func (r *rig) fill(t *testing.T, nodes []*Node, images []*Image) string {
	t.Helper()
	for _, n := range nodes {
		n.forgetLog(t)
		fillDisk(t, images[n.ID-1])
	}
	began, grants, refused := time.Now(), r.load.Grants.Load(), r.load.Refused.Load()
	pause(within(t, time.Minute), 12*time.Second)
	ended := 0
	for _, n := range nodes {
		if n.Running() {
			continue
		}
		ended++
		if text := n.Log(); !strings.Contains(text, "no space left on device") &&
			!strings.Contains(text, "all segments are in use") ||
			!strings.Contains(text, "What to do: ") || strings.Contains(text, "goroutine ") {
			t.Errorf("node %d ended and printed\n%s\nwant it to name the error and what to do", n.ID,
				tail(text, 12))
		}
	}
	text := fmt.Sprintf("%d of %d full nodes ended within %v, %d locks granted, %d calls refused",
		ended, len(nodes), time.Since(began).Round(time.Second), r.load.Grants.Load()-grants,
		r.load.Refused.Load()-refused)
	if len(nodes) == 1 {
		r.serves(t)
		r.intact(t, "with a full disk")
	} else if ended == 0 {
		r.intact(t, "with full disks")
	}
	for _, n := range nodes {
		if err := os.Remove(balloon(images[n.ID-1])); err != nil {
			t.Fatal(err)
		}
	}
	freed := time.Now()
	if err := r.cluster.Start(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.serves(t)
	r.intact(t, "with space again")
	return text + fmt.Sprintf(", served %v after there was space",
		time.Since(freed).Round(time.Millisecond))
}

func balloon(im *Image) string { return filepath.Join(im.Path(), "balloon") }

// fillDisk writes a file until nothing more fits.
func fillDisk(t *testing.T, im *Image) {
	t.Helper()
	f, err := os.Create(balloon(im))
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size >= 512 && err == nil; {
		if _, err = f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size, err = size/2, nil
		}
	}
	// What does not fit is found out late; there is no space either way.
	if err := errors.Join(err, ignoreFull(f.Sync()), ignoreFull(f.Close())); err != nil {
		t.Fatal(err)
	}
}

func ignoreFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}
