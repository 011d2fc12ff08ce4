package main

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// cgroupHierarchy is a tree of control groups that may limit memory.
type cgroupHierarchy struct {
	// controller is what stands in the second field of /proc/self/cgroup; version
	// 2 has one tree for all and leaves it empty.
	controller string
	// mount is where the tree usually is, and file says what a group may have.
	mount, file string
}

func cgroupHierarchies() []cgroupHierarchy {
	return []cgroupHierarchy{
		{"", "sys/fs/cgroup", "memory.max"},
		{"", "sys/fs/cgroup/unified", "memory.max"}, // beside trees of version 1
		{"memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	}
}

// cgroupMemory returns the least that the control groups of this process leave
// it, its own and all those above, and the file that says so; zero if nothing
// does. root is the root of the file system. In a container the path of the group
// may be one of the host, of which nothing is mounted but the group itself: what
// is not there is passed over, and the mount is looked at in any case.
func cgroupMemory(root fs.FS) (bytes uint64, file string) {
	text, _ := fs.ReadFile(root, "proc/self/cgroup") // without it only the mounts count
	own := cgroupPaths(string(text))
	for _, h := range cgroupHierarchies() {
		at, ok := own[h.controller]
		if !ok {
			at = "/"
		}
		for {
			name := path.Join(h.mount, at, h.file)
			text, _ := fs.ReadFile(root, name)
			if n := cgroupLimit(string(text)); n > 0 && (bytes == 0 || n < bytes) {
				bytes, file = n, "/"+name
			}
			if at == "/" {
				break
			}
			at = path.Dir(at)
		}
	}
	return bytes, file
}

// cgroupPaths reads /proc/self/cgroup: the path of the process in each tree, by
// controller. Each line is a number, controllers and a path, with colons between.
func cgroupPaths(text string) map[string]string {
	paths := make(map[string]string)
	for line := range strings.Lines(text) {
		number, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, at, ok := strings.Cut(rest, ":")
		if !ok || controllers == "" && number != "0" {
			continue
		}
		for controller := range strings.SplitSeq(controllers, ",") {
			paths[controller] = path.Clean("/" + at)
		}
	}
	return paths
}

// cgroupLimit reads the limit of a control group. Version 1 says that there is
// none with a number larger than any machine.
func cgroupLimit(text string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil || n >= 1<<60 {
		return 0
	}
	return n
}
