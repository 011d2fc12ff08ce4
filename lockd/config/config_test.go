package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockd/lockd/node"
)

// example is the whole configuration of one of three nodes.
const example = `[cluster]
name = "demo"
nodes = [
  {id = 1, peer = "10.0.0.1:7601", client = "10.0.0.1:7600"},
  {id = 2, peer = "10.0.0.2:7601", client = "10.0.0.2:7600"},
  {id = 3, peer = "10.0.0.3:7601", client = "10.0.0.3:7600"},
]

[node]
id = 1
data_dir = "/var/lib/lockd"
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lockd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadReadsAShortFile(t *testing.T) {
	c, warnings, err := Load(Sources{File: write(t, example)})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, warnings %q", err, warnings)
	}
	want := Node{ID: 1, Peer: "10.0.0.1:7601", Client: "10.0.0.1:7600"}
	if got := c.Self(); got != want {
		t.Errorf("Self: got %+v, want %+v", got, want)
	}
	o := c.NodeOptions()
	if err := o.Validate(); err != nil {
		t.Errorf("options of the example: %v", err)
	}
	if got := c.ServerOptions().Addr; got != "10.0.0.1:7600" {
		t.Errorf("client address: got %s, want that of the node", got)
	}
	links, err := c.LinkOptions()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(links.Peers); got != 2 || links.Addr != "10.0.0.1:7601" {
		t.Errorf("links: got %d peers at %s, want 2 at 10.0.0.1:7601", got, links.Addr)
	}
}

func TestFlagWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	from := Sources{
		File: write(t, example+"window = 5\nheartbeat = \"40ms\"\nretain_slots = 77\n"),
		Env:  []string{"LOCKD_WINDOW=6", "LOCKD_HEARTBEAT=60ms", "LOCKD_CHECKPOINT=1MiB"},
		Flags: []Given{
			{"window", "7"},
			{"node", "1=127.0.0.1:1/127.0.0.1:2"},
		},
	}
	c, _, err := Load(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		what      string
		got, want any
	}{
		{"window", c.Window, 7},
		{"heartbeat", c.Heartbeat, 60 * time.Millisecond},
		{"retain_slots", c.RetainSlots, 77},
		{"checkpoint", c.CheckpointBytes, int64(1 << 20)},
		{"election_timeout", c.ElectionTimeout, Defaults().ElectionTimeout},
		{"nodes", len(c.Nodes), 1},
	} {
		if row.got != row.want {
			t.Errorf("%s: got %v, want %v", row.what, row.got, row.want)
		}
	}
}

func TestDurationsBecomeTicks(t *testing.T) {
	from := Sources{File: write(t, example), Flags: []Given{
		{"heartbeat", "60ms"}, {"election-timeout", "600ms"}, {"rank-delay", "40ms"},
		{"log-tick", "250ms"}, {"limit-lease-max", "90s"},
	}}
	c, _, err := Load(from)
	if err != nil {
		t.Fatal(err)
	}
	o := c.NodeOptions()
	got := [5]int64{int64(o.HeartbeatTicks), int64(o.ElectionTicks), int64(o.RankDelayTicks),
		int64(o.LogTick), int64(o.Limits.LeaseMax)}
	want := [5]int64{3, 30, 2, 250_000_000, 90_000}
	if got != want {
		t.Errorf("ticks: got %v, want %v", got, want)
	}
}

func TestComplaintsNameThePlaceAndWhatIsAllowed(t *testing.T) {
	for _, row := range []struct {
		name string
		text string // appended to the example, which has 11 lines
		want []string
	}{
		{"unknown key", "windwo = 3\n",
			[]string{"lockd.toml:12: unknown key node.windwo", "did you mean node.window?"}},
		{"key of another table", "groups = 3\n",
			[]string{"lockd.toml:12: unknown key node.groups", "did you mean cluster.groups?"}},
		{"unknown table", "[nodes]\nid = 3\n",
			[]string{"lockd.toml:12: unknown key nodes", "unknown key nodes.id"}},
		{"out of range", "window = 0\n",
			[]string{"lockd.toml:12: node.window: 0 is out of range, must be 1 to 4096"}},
		{"no unit", "heartbeat = 100\n",
			[]string{"node.heartbeat: \"100\" is not a length of time", "must be 20ms to 10s"}},
		{"no size", "wal_segment = \"3x\"\n",
			[]string{"node.wal_segment: \"3x\" is not a size", "64KiB to 1GiB"}},
		{"wrong type", "window = true\n",
			[]string{"node.window: true is a bool"}},
		{"no choice", "log_level = \"loud\"\n",
			[]string{"\"loud\" is not one of debug, info, warn, error"}},
		{"no address", "admin_listen = \"here\"\n",
			[]string{"\"here\" is not an address, must be host:port"}},
		{"contradiction", "heartbeat = \"500ms\"\n",
			[]string{"node.election_timeout is 1s, must be at least 4 heartbeats of 500ms"}},
		{"a slot that no record can hold", "wal_segment = \"1MiB\"\n",
			[]string{"node.wal_segment is 1MiB, which has room for records of",
				"two node.batch of 1MiB"}},
		{"no whole tick", "heartbeat = \"30ms\"\n",
			[]string{"node.heartbeat is 30ms, must be a whole number of 20ms"}},
		{"a multiple of nothing", "wal_segment = \"65KiB\"\n",
			[]string{"node.wal_segment is 65KiB, must be a multiple of 4KiB"}},
		{"half a slot", "window = 1.5\n", []string{"node.window: 1.5 is not a whole number"}},
		{"lengths as they are written", "idle_timeout = \"90m\"\n[cluster.limits]\nlease_min = \"3h\"\n" +
			"lease_max = \"2h\"\n",
			[]string{"lockd.toml:14: cluster.limits.lease_min is 3h, must be at most " +
				"cluster.limits.lease_max of 2h",
				"lockd.toml:12: node.idle_timeout is 1h30m, must be at least cluster.limits.lease_max of 2h"}},
		{"log shorter than a round of checkpoints", "checkpoint = \"193MiB\"\n",
			[]string{"node.checkpoint is 193MiB, must be at most 192MiB: " +
				"node.wal_segments of 4, less one, of 64MiB"}},
		{"faults for everybody", "[faults]\nallow = true\n",
			[]string{"lockd.toml:13: faults.allow is true, and faults.secret_file is missing"}},
		{"faults for nobody", "admin_listen = \"off\"\n[faults]\nallow = \"true\"\nsecret_file = \"s\"\n",
			[]string{"faults.allow is true, and node.admin_listen is off"}},
		{"neither true nor false", "[faults]\nallow = \"perhaps\"\n",
			[]string{"\"perhaps\" is not one of false, true"}},
		{"syntax", "window = = 3\n", []string{"lockd.toml:12:"}},
		{"both at once", "window = 0\nbatsh = 3\n",
			[]string{"lockd.toml:12:", "lockd.toml:13: unknown key node.batsh"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := Load(Sources{File: write(t, example+row.text)})
			if err == nil {
				t.Fatalf("got no error, want one with %q", row.want)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error\n%v\nwant it to say %q", err, want)
				}
			}
		})
	}
}

// TestSumNamesNoLineOfItsParts proves that a bound that is given by a flag is not shown
// at the line of a setting that only stands in the list below it.
func TestSumNamesNoLineOfItsParts(t *testing.T) {
	_, _, err := Load(Sources{File: write(t, example), Flags: []Given{{"memory", "1GiB"}}})
	if err == nil || !strings.HasPrefix(err.Error(), "node.memory is 1GiB, and the bounds") {
		t.Errorf("got %v, want no line of the file", err)
	}
	_, _, err = Load(Sources{File: write(t, example+"memory = \"1GiB\"\n")})
	if err == nil || !strings.Contains(err.Error(), "lockd.toml:12: node.memory is 1GiB") {
		t.Errorf("got %v, want line 12", err)
	}
}

func TestComplaintsAboutNodes(t *testing.T) {
	for _, row := range []struct{ name, old, new, want string }{
		{"key of a node", `client = "10.0.0.2`, `clinet = "10.0.0.2`,
			"lockd.toml:5: unknown key cluster.nodes.clinet; did you mean cluster.nodes.client?"},
		{"same id", "id = 3", "id = 2", "two nodes with id 2"},
		{"same address", "10.0.0.3:7600", "10.0.0.2:7600", "10.0.0.2:7600 belongs to node 2"},
		{"no port", "10.0.0.3:7600", "10.0.0.3", "node 3: \"10.0.0.3\" is not an address"},
		{"no host", "10.0.0.3:7600", ":7600", "node 3: \":7600\" names no host"},
		{"not self", "]\n\n[node]\nid = 1", "]\n\n[node]\nid = 4",
			"node.id is 4, must be one of cluster.nodes: 1, 2, 3"},
		{"no name", "name = \"demo\"\n", "", "cluster.name is missing"},
		{"no directory", "data_dir = \"/var/lib/lockd\"\n", "", "node.data_dir is missing"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(example, row.old, row.new, 1)
			if text == example {
				t.Fatalf("the example does not contain %q", row.old)
			}
			_, _, err := Load(Sources{File: write(t, text)})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
		})
	}
}

// What lockd hands to others and what platforms set is no setting; what is nearly one
// is a mistake; of anything else it is said that it does nothing.
func TestEnvironmentOfOthersIsLeftAlone(t *testing.T) {
	from := Sources{File: write(t, example), Env: []string{"LOCKD_NAME=a", "LOCKD_TOKEN=7",
		"LOCKD_TOKENS=7 a", "LOCKD_SESSION=1", "LOCKD_UNTIL=x", "LOCKD_ADDR=a:1", "LOCKD_CONFIG=f",
		"LOCKD_ADMIN=127.0.0.1:1",
		"LOCKD_PORT=tcp://10.0.0.9:7600", "LOCKD_PORT_7600_TCP_ADDR=10.0.0.9",
		"LOCKD_SERVICE_HOST=10.0.0.9", "LOCKD_SERVICE_PORT_PEER=1", "LOCKD_WINDWO=", "HOME=/"}}
	if _, warnings, err := Load(from); err != nil || len(warnings) > 0 {
		t.Errorf("got %v and warnings %q, want none", err, warnings)
	}
	from.Env = append(from.Env, "LOCKD_VERSION=1.2")
	_, warnings, err := Load(from)
	if err != nil || len(warnings) != 1 ||
		!strings.Contains(warnings[0], "LOCKD_VERSION is no setting") {
		t.Errorf("got %v and warnings %q, want one about LOCKD_VERSION", err, warnings)
	}
	from.Env = append(from.Env, "LOCKD_WINDWO=3", "LOCKD_DTA=/d")
	_, _, err = Load(from)
	for _, want := range []string{
		"unknown environment variable LOCKD_WINDWO; did you mean LOCKD_WINDOW?",
		"unknown environment variable LOCKD_DTA; did you mean LOCKD_DATA?"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

// TestAllComplaintsInOrder: everything that is wrong is said at once, by lines, and
// nothing that merely follows from a mistake.
func TestAllComplaintsInOrder(t *testing.T) {
	path := write(t, `[node]
id = 1
heartbeat = "500ms"
data_dri = "/var/lib/lockd"
window = 0
inbox = "2MiB"
batch = "1MiB"
[cluster]
nodes = [
  {id = 1, peer = "10.0.0.1", client = "10.0.0.1:7600"},
  {id = 2, peer = "10.0.0.2:7601"},
]
[cluster.limits]
lease_min = "200ms"
`)
	_, _, err := Load(Sources{File: path, Env: []string{"LOCKD_BATSH=3", "LOCKD_CONNS=x"},
		Flags: []Given{{"log-level", "loud"}, {"checkpoint", "1GiB"}}})
	if err == nil {
		t.Fatal("got no error")
	}
	got := strings.Split(strings.ReplaceAll(err.Error(), path, "F"), "\n")
	want := []string{
		"F:3: node.election_timeout is 1s, must be at least 4 heartbeats of 500ms",
		"F:4: unknown key node.data_dri; did you mean node.data_dir?",
		"F:5: node.window: 0 is out of range",
		"F:9: cluster.nodes: node 1: \"10.0.0.1\" is not an address",
		"F:9: cluster.nodes: node 2 needs peer and client",
		"F:14: cluster.log_tick is 200ms, must be at most half of",
		"unknown environment variable LOCKD_BATSH; did you mean LOCKD_BATCH?",
		"LOCKD_CONNS: \"x\" is not a whole number",
		"--log-level: \"loud\" is not one of",
		"cluster.name is missing",
		"node.checkpoint is 1GiB, must be at most 192MiB",
	}
	if len(got) != len(want) {
		t.Errorf("got %d complaints, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("complaint %d: got %q, want %q", i, got[i], want[i])
		}
	}
}

func TestPrintedConfigurationReadsBackTheSame(t *testing.T) {
	from := Sources{File: write(t, example), Flags: []Given{
		{"wal-segment", "128KiB"}, {"batch", "16KiB"}, {"checkpoint", "256KiB"},
		{"log-tick", "100ms"}, {"limit-sessions", "12"},
		{"admin-listen", "off"}, {"election-timeout", "1500ms"}}}
	c, _, err := Load(from)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Load(Sources{File: write(t, string(c.AppendTOML(nil)))})
	if err != nil {
		t.Fatal(err)
	}
	again.asked = c.asked // the file has the counts that the node goes by
	if !reflect.DeepEqual(c, again) {
		t.Errorf("got %+v, want %+v", again, c)
	}
}

// TestReference checks that every setting can be said in all three ways, is
// inside its own range by default, and stands in the manual word for word.
func TestReference(t *testing.T) {
	manual, err := os.ReadFile("../doc/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	table := strings.ReplaceAll(string(manual), "`", "")
	names := map[string]string{}
	for _, s := range Settings() {
		for _, name := range []string{s.Key, s.Flag, s.Env} {
			if other, taken := names[name]; taken {
				t.Errorf("%s: name %s belongs to %s already", s.Key, name, other)
			}
			names[name] = s.Key
		}
		if s.Key == "node.id" {
			s.Default = "" // no node has the number 0
		}
		row := fmt.Sprintf("| %s | --%s | %s | %s | %s |\n", s.Key, s.Flag,
			cmp.Or(s.Default, "–"), s.Allowed, s.Usage)
		if !strings.Contains(table, row) {
			t.Errorf("operations.md lacks %s", row)
		}
	}
	c := Defaults()
	for _, s := range settings() {
		value := s.format(&c)
		if value == "" || s.key == "node.id" {
			continue
		}
		if err := s.set(&c, value); err != nil {
			t.Errorf("default of %s: %v", s.key, err)
		}
	}
}

func TestSecretComesFromAFile(t *testing.T) {
	for _, row := range []struct{ text, want, complaint string }{
		{"0123456789abcdef\n", "0123456789abcdef", ""},
		{"0123456789abcdef", "0123456789abcdef", ""},
		{"short\n", "", "must have at least 16"},
	} {
		path := write(t, row.text)
		c, _, err := Load(Sources{File: write(t, example), Flags: []Given{{"secret-file", path}}})
		if err != nil {
			t.Fatal(err)
		}
		links, err := c.LinkOptions()
		if row.complaint != "" {
			if err == nil || !strings.Contains(err.Error(), row.complaint) {
				t.Errorf("secret %q: got error %v, want %q", row.text, err, row.complaint)
			}
			continue
		}
		if err != nil || string(links.Secret) != row.want {
			t.Errorf("secret %q: got %q, %v, want %q", row.text, links.Secret, err, row.want)
		}
	}
}

func TestListenersHaveTheirOwnPorts(t *testing.T) {
	for _, row := range []struct {
		flags []Given
		want  int
	}{
		{[]Given{{"client-listen", "0.0.0.0:7602"}}, 1},
		{[]Given{{"client-listen", "0.0.0.0:1"}, {"peer-listen", "127.0.0.1:1"},
			{"admin-listen", "[::]:1"}}, 3},
		{[]Given{{"client-listen", "127.0.0.2:7602"}}, 0},
		{[]Given{{"client-listen", "127.0.0.1:0"}, {"admin-listen", "127.0.0.1:0"}}, 0},
		{[]Given{{"admin-listen", "off"}}, 0},
	} {
		_, _, err := Load(Sources{File: write(t, example), Flags: row.flags})
		got := 0
		if err != nil {
			got = strings.Count(err.Error(), "give each a port of its own")
		}
		if got != row.want || (err == nil) != (got == 0) {
			t.Errorf("%v: got %v, want %d complaints", row.flags, err, row.want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"serve", "status", "get", "dump", "log-level", "log-format"}
	for word, want := range map[string]string{
		"srve": "serve", "sttaus": "status", "got": "get", "xyz": "", "dmup": "dump", "s": "",
		"log": "log-level", "": "", "lo": "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("Nearest(%q): got %q, want %q", word, got, want)
		}
	}
}

// A file of the log holds a slot of any node, however large its batches, from 4 MiB on.
func TestSegmentHoldsASlotOfAnyNode(t *testing.T) {
	c := Defaults()
	c.WALSegmentBytes = 4 << 20
	const need = 2*node.MostBatchBytes + slotOverheadBytes
	if got := c.WALOptions().MaxRecordBytes(); got < need {
		t.Errorf("record in a segment of 4 MiB: got at most %d, want %d", got, need)
	}
}
