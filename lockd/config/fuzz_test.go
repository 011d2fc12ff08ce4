package config

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzFile: no file makes Load panic; one that is taken gives options that the
// packages can judge, and prints as a file that means the same.
func FuzzFile(f *testing.F) {
	f.Add(example)
	f.Add(example + "window = 7\nadmin_listen = \"off\"\n")
	f.Add(example + "wal_segment = \"128KiB\"\nbatch = \"16KiB\"\n")
	f.Add(example + "election_timeout = \"1500ms\"\nlog_format = \"json\"\n")
	f.Add("[cluster]\nname = \"a\"\nnodes = [{id = 1, peer = \"h:1\", client = \"h:2\"}]\n")
	c := Defaults()
	f.Add(string(c.AppendTOML(nil)))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "lockd.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := Load(Sources{File: path})
		if err != nil {
			return
		}
		o := c.NodeOptions()
		if err := o.Validate(); err != nil {
			t.Fatalf("a file that Load takes gives options that are refused: %v\n%s", err, text)
		}
		_, _, _ = c.ServerOptions(), c.WALOptions(), c.Self()
		printed := c.AppendTOML(nil)
		if err := os.WriteFile(path, printed, 0o600); err != nil {
			t.Fatal(err)
		}
		again, _, err := Load(Sources{File: path})
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("printed and read again: %v\ngot  %+v\nwant %+v\n%s", err, again, c, printed)
		}
	})
}
