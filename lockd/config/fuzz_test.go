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
		again.asked = c.asked // the file has the counts that the node goes by
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("printed and read again: %v\ngot  %+v\nwant %+v\n%s", err, again, c, printed)
		}
	})
}

// FuzzSetting: no value makes a setting panic; one that is taken is printed as
// what reads back to the same, and nodes are what ParseNode took.
func FuzzSetting(f *testing.F) {
	for i, value := range []string{"64MiB", "1h30m", "17", "10.0.0.1:7600", "info", "off", "-1",
		"9223372036854775807GiB", "1_000", "1=a:1/b:2", "=:/:", ""} {
		f.Add(uint8(i), value)
	}
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		if n, err := ParseNode(value); err == nil && n.ID == 0 {
			t.Errorf("%q: got node 0", value)
		}
		all := settings()
		s := all[int(which)%len(all)]
		c := Defaults()
		if err := s.set(&c, value); err != nil {
			return
		}
		again := Defaults()
		if err := s.set(&again, s.format(&c)); err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("%s: %q is printed as %q, which reads as something else: %v", s.key, value,
				s.format(&c), err)
		}
	})
}
