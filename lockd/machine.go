package main

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"lockd/lockd/config"
)

// This file compares what a node may take with what there is.

// machineMemory returns the memory that this process can have at most, and what
// says so; zero if nothing does.
func machineMemory() (bytes uint64, by string) {
	least := func(n uint64, who string) {
		if n > 0 && (bytes == 0 || n < bytes) {
			bytes, by = n, who
		}
	}
	text, _ := os.ReadFile("/proc/meminfo") // without it only the group counts
	least(memTotal(string(text)), "the machine")
	if n, file := cgroupMemory(os.DirFS("/")); n > 0 {
		least(n, "the control group ("+file+")")
	}
	return bytes, by
}

// memTotal reads /proc/meminfo.
func memTotal(text string) uint64 {
	_, rest, _ := strings.Cut(text, "MemTotal:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseUint(fields[0], 10, 54)
	if err != nil {
		return 0
	}
	return kib << 10
}

// machineLimit is machineMemory as checkMachine takes it.
func machineLimit(c *config.Config) (*config.Config, uint64, string) {
	have, by := machineMemory()
	return c, have, by
}

// checkMachine refuses a node that the machine has no room for.
func checkMachine(c *config.Config, have uint64, by string) error {
	sum := c.Memory().Sum()
	if have == 0 || sum <= have {
		return nil
	}
	return &failure{code: exitUsage, err: fmt.Errorf("the bounds of this node add up to %d MiB of "+
		"memory, and %s has %d MiB: lower node.batch or node.wal_segments_max or, before the "+
		"cluster's birth, cluster.limits.memory (on all nodes); lockd config check prints what "+
		"each of them costs", sum>>20, by, have>>20)}
}

// limitMemory has the garbage collector work harder when the process comes near
// what the node may take.
func limitMemory(c *config.Config) { debug.SetMemoryLimit(int64(c.Memory().Sum())) }

// warnOfSpace says so if the directory cannot grow to what it may need.
func warnOfSpace(c *config.Config, dir string, log *slog.Logger) {
	var x syscall.Statfs_t
	if err := syscall.Statfs(dir, &x); err != nil {
		log.Warn("cannot tell how much space is left", "dir", dir, "reason", err)
		return
	}
	have := x.Bavail*uint64(x.Bsize) + usedBytes(dir)
	if most := c.Disk().Sum(); have < most {
		log.Warn("the directory may need more space than there is", "dir", dir,
			"need_mib", most>>20, "have_mib", have>>20,
			"settings", "node.wal_segments_max, node.wal_segment, cluster.limits.memory")
	}
}

// enoughFiles is how many files a node should be able to open: as many as its own files
// and links can take, and a few clients.
const enoughFiles = 1024

// warnOfFiles says so if the process may open so few files that the clients and the node
// itself share what there is.
func warnOfFiles(limit uint64, log *slog.Logger) {
	if limit < enoughFiles {
		log.Warn("few files may be open: few clients find room, or the node itself does not",
			"limit", limit, "should_be", enoughFiles, "settings", "ulimit -n, LimitNOFILE")
	}
}

// fileLimit returns how many files this process may open, as the Go runtime has
// raised it at the start.
func fileLimit() uint64 {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return enoughFiles // netio.Listen tells
	}
	return lim.Cur
}

// usedBytes is what the directory takes already.
func usedBytes(dir string) (sum uint64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is not counted
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			sum += uint64(info.Size())
		}
		return nil
	})
	return sum
}
