package main

import (
	"os"
	"path/filepath"
	"testing"
)

// tree writes files below a new directory and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestMemoryOfTheControlGroup: the limit that counts is the least of the group
// that the process is in and of those above it, wherever that is told.
func TestMemoryOfTheControlGroup(t *testing.T) {
	const (
		self = "proc/self/cgroup"
		two  = "sys/fs/cgroup/"
		one  = "sys/fs/cgroup/memory/"
		none = "9223372036854771712\n"
	)
	for name, c := range map[string]struct {
		files map[string]string
		want  uint64
		file  string
	}{
		"version 2, own group": {map[string]string{self: "0::/system.slice/lockd.service\n",
			two + "system.slice/memory.max":               "max\n",
			two + "system.slice/lockd.service/memory.max": "1073741824\n",
			two + "user.slice/memory.max":                 "1\n",
		}, 1 << 30, "/" + two + "system.slice/lockd.service/memory.max"},
		"version 2, the group above": {map[string]string{self: "0::/a/b/c\n",
			two + "a/memory.max":     "4096\n",
			two + "a/b/memory.max":   "max\n",
			two + "a/b/c/memory.max": "8192\n",
		}, 4096, "/" + two + "a/memory.max"},
		"version 2, a container": {map[string]string{self: "0::/\n", two + "memory.max": "4096\n"},
			4096, "/" + two + "memory.max"},
		"version 2 beside 1": {map[string]string{self: "3:cpu:/x\n0::/a\n",
			two + "unified/a/memory.max": "4096\n",
		}, 4096, "/" + two + "unified/a/memory.max"},
		"version 1, own group": {map[string]string{
			self:                                  "9:name=systemd:/\n4:cpu,memory:/lockd/1\n0::/\n",
			one + "memory.limit_in_bytes":         none,
			one + "lockd/1/memory.limit_in_bytes": "4096\n",
		}, 4096, "/" + one + "lockd/1/memory.limit_in_bytes"},
		"version 1, a container with the path of its host": {map[string]string{
			self:                          "4:memory:/docker/0123\n",
			one + "memory.limit_in_bytes": "4096\n",
		}, 4096, "/" + one + "memory.limit_in_bytes"},
		"outside of its own root": {map[string]string{self: "0::/../../b\n",
			two + "memory.max": "4096\n"}, 4096, "/" + two + "memory.max"},
		"no limit": {map[string]string{self: "4:memory:/\n0::/\n",
			one + "memory.limit_in_bytes": none, two + "memory.max": "max\n"}, 0, ""},
		"nothing mounted": {map[string]string{self: "0::/a\n"}, 0, ""},
		"no list": {map[string]string{two + "memory.max": "4096"},
			4096, "/" + two + "memory.max"},
		"not a list": {map[string]string{self: "what\n::\n:::x\n",
			two + "memory.max": "no"}, 0, ""},
	} {
		got, file := cgroupMemory(os.DirFS(tree(t, c.files)))
		if got != c.want || file != c.file {
			t.Errorf("%s: got %d by %q, want %d by %q", name, got, file, c.want, c.file)
		}
	}
}
