//go:build fault

package faulttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// imageBytes holds the log at its bound and the checkpoints beside it, and is
// as small as XFS can be. The file is sparse.
const imageBytes = 320 << 20

// newImage makes an image that the test's end unmounts, or skips the test.
func newImage(t *testing.T, name string, fs FileSystem, bytes int64) *Image {
	t.Helper()
	im, err := NewImage(t.TempDir(), name, fs, bytes)
	if errors.Is(err, ErrNoImages) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := im.Close(); err != nil {
			t.Error(err)
		}
	})
	return im
}

// imagesFor makes an image for each node, of each kind in turn, and returns a
// function that puts the nodes onto them.
func imagesFor(t *testing.T, bytes int64, kinds ...FileSystem) ([]*Image, func(*Cluster)) {
	t.Helper()
	var images []*Image
	for i, fs := range kinds {
		images = append(images, newImage(t, fmt.Sprintf("disk%d", i+1), fs, bytes))
	}
	return images, func(c *Cluster) {
		for i, n := range c.Nodes {
			n.Dir = filepath.Join(images[i%len(images)].Path(), fmt.Sprintf("node%d", n.ID))
		}
	}
}

// powerCuts is how many cuts a test makes: 5, or LOCKD_POWER_CUTS.
func powerCuts(t *testing.T) int {
	t.Helper()
	text := os.Getenv("LOCKD_POWER_CUTS")
	if text == "" {
		return 5
	}
	cuts, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("LOCKD_POWER_CUTS: %v", err)
	}
	return cuts
}

// TestFD1PowerCut is F-D1 on file systems of the operating system: again and
// again, under load, some nodes lose their power, in the last round and every
// other one all of them at once; what was granted is granted still, with its
// token, and no token is granted twice. Of the kinds of file system,
// Ext4Journal forgets every write that was not synced.
//
// It fails without the sync of a batch before it counts (wal, Writer.perform)
// and without holding back what waits for it (I4: node, ready).
func TestFD1PowerCut(t *testing.T) {
	for seed, fs := range []FileSystem{Ext4Journal, Ext4, XFS} {
		t.Run(string(fs), func(t *testing.T) {
			images, place := imagesFor(t, imageBytes, fs, fs, fs)
			r := newRigOn(t, uint64(seed), place)
			draw := rand.New(rand.NewPCG(uint64(seed), 0xd1))
			cuts := powerCuts(t)
			for cut := range cuts {
				nodes, under := r.cluster.Nodes, images
				if (cuts-cut)%2 == 0 {
					i := draw.IntN(len(nodes))
					nodes, under = nodes[i:i+1], images[i:i+1]
				}
				r.cut(t, cut, nodes, under)
			}
			r.finish(t)
			total, took := 0, 0
			for _, im := range images {
				total, took = total+im.Cuts, took+im.Took
			}
			t.Logf("%d times the power of a file system went, %d times a file that was not synced "+
				"went with it", total, took)
			if total < cuts || took == 0 {
				t.Errorf("got %d cuts and %d files lost, want at least %d and 1", total, took, cuts)
			}
		})
	}
}

// cut cuts the power of some nodes under load and demands that nothing of what
// was answered is lost.
func (r *rig) cut(t *testing.T, round int, nodes []*Node, images []*Image) {
	t.Helper()
	time.Sleep(time.Duration(50+round*170%500) * time.Millisecond)
	for _, n := range nodes {
		n.forgetLog(t)
	}
	began := time.Now()
	if err := CutPower(15*time.Second, nodes, images); err != nil {
		t.Fatal(err)
	}
	back := time.Since(began)
	for _, n := range nodes {
		if text := n.Log(); !strings.Contains(text, "input/output error") ||
			!strings.Contains(text, "What to do: ") {
			t.Errorf("node %d lost its disk and printed\n%s\nwant it to name the error and what "+
				"to do", n.ID, tail(text, 8))
		}
	}
	if err := r.cluster.Start(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	ready := time.Since(began)
	r.serves(t)
	r.intact(t, fmt.Sprintf("after cut %d", round))
	t.Logf("cut %d of %d nodes: remounted after %v, all ready after %v, %d grants so far", round,
		len(nodes), back.Round(time.Millisecond), ready.Round(time.Millisecond),
		r.load.Grants.Load())
}
