package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"lockd/lockd/config"
)

// TestConfigCheckInJSON proves that a script is told what is in force, flags over the file,
// and what that may take, and nothing of a file that has a mistake.
func TestConfigCheckInJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lockd.toml")
	const text = `[cluster]
name = "c"
nodes = [{id = 1, peer = "127.0.0.1:1", client = "127.0.0.1:2"}]
[node]
id = 1
data_dir = "/x"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, problems := call("config", "check", "-o", "json", "--groups", "8", file)
	var got struct {
		Settings []struct{ Key, Value string }
		Nodes    []struct {
			Node         int
			Client, Peer string
		}
		Memory, Disk struct {
			Bytes uint64
			Parts []struct{ Bytes uint64 }
		}
	}
	if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil {
		t.Fatalf("got exit code %d, %v, %s", code, err, problems)
	}
	values := map[string]string{}
	for _, s := range got.Settings {
		values[s.Key] = s.Value
	}
	for key, want := range map[string]string{"cluster.name": "c", "cluster.groups": "8",
		"node.data_dir": "/x", "node.batch": "1MiB", "node.window": "16"} {
		if values[key] != want {
			t.Errorf("%s: got %q, want %q", key, values[key], want)
		}
	}
	if len(got.Nodes) != 1 || got.Nodes[0].Peer != "127.0.0.1:1" {
		t.Errorf("got nodes %v, want one", got.Nodes)
	}
	c, err := loadConfig(&shell{err: io.Discard}, file, []config.Given{{Flag: "groups", Value: "8"}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Memory.Bytes != c.Memory().Sum() || got.Disk.Bytes != c.Disk().Sum() ||
		len(got.Memory.Parts) != len(c.Memory()) {
		t.Errorf("got %d and %d bytes, want %d and %d", got.Memory.Bytes, got.Disk.Bytes,
			c.Memory().Sum(), c.Disk().Sum())
	}
	code, out, problems = call("config", "check", "-o", "json", "--groups", "0", file)
	if code != exitUsage || out != "" || problems == "" {
		t.Errorf("a mistake: got exit code %d, %q and %q, want %d and nothing printed", code, out,
			problems, exitUsage)
	}
}
