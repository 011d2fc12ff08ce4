package faulttest

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// TestTools looks at one cluster with every verb that only looks, and then at
// what it left on disk.
func TestTools(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "holder"})
	h, err := cl.Lock(within(t, 10*time.Second), "tools/a b")
	if err != nil {
		t.Fatal(err)
	}
	StartWaiter(dial(t, c, client.Options{Name: "next"}), h.Name())
	awaitWaiters(t, cl, h.Name(), 1)
	if _, err := cl.Semaphore("tools/gpu", 8).Acquire(within(t, 10*time.Second), 6); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := cl.LockWith(within(t, 10*time.Second), "tools/job", client.LockOptions{Owner: 77})
		if err != nil {
			t.Fatal(err)
		}
	}
	addr := strings.Join(c.Addresses(), ",")
	for _, row := range []struct {
		args []string
		want []string
	}{
		{[]string{"get", "--addr", addr, "tools/a b"}, []string{"holds\tholder\texclusive\t",
			"waits 1\tnext\texclusive\t-"}},
		{[]string{"ls", "--addr", addr, "tools/"}, []string{"NAME\tHOLDER\tMODE",
			"tools/a b\tholder\texclusive\t", "tools/gpu\tholder\t6 of 8 permits\t"}},
		{[]string{"get", "--addr", addr, "tools/gpu"}, []string{"holds\tholder\t6 permits\t"}},
		{[]string{"get", "--addr", addr, "tools/job"},
			[]string{"holds\tholder\texclusive, owner 77, 3 times\t"}},
		{[]string{"get", "--addr", addr, "-o", "json", "tools/gpu"},
			[]string{`"capacity":8,"taken":6`, `"permits":6`}},
		{[]string{"get", "--addr", addr, "-o", "json", "tools/job"},
			[]string{`"owner":77,"depth":3`}},
		{[]string{"get", "--addr", addr, "-o", "json", "tools/a b"}, []string{`"holder":"holder"`}},
		{[]string{"ls", "--addr", addr, "-o", "json"}, []string{`"name":"tools/a b"`}},
		{[]string{"ls", "--addr", addr, "--limit", "1", "tools/"}, []string{"tools/a b\tholder"}},
		{[]string{"why", "--addr", addr, "tools/a b"}, []string{"holder : holder", "1 waiting",
			"you would be 2nd", "usual  : unknown"}},
		{[]string{"why", "--addr", addr, "tools/free"}, []string{"nobody is in the way"}},
		{[]string{"why", "--addr", addr, "-o", "json", "tools/a b"}, []string{`"position":2`}},
		{[]string{"waiters", "--addr", addr, "tools/a b"}, []string{"1\tnext\texclusive\t0\t"}},
		{[]string{"top", "--addr", addr}, []string{"tools/a b\t1\t1\t0\t-\t"}},
		{[]string{"top", "--addr", addr, "-o", "json"}, []string{`"waits":1,"refusals":0`}},
		{[]string{"watch", "--addr", addr, "--events", "1", "tools/a b"},
			[]string{"\tpresent\ttools/a b\t1\t1\t"}},
		{[]string{"watch", "--addr", addr, "--events", "3", "--prefix", "-o", "json", "tools/"},
			[]string{`"change":"present"`, `"name":"tools/gpu"`, `"capacity":8,"taken":6`}},
		{[]string{"cluster", "status", "--addr", addr}, []string{"NODE\tADDRESS\tSTATE",
			"3\t" + c.Nodes[2].Client + "\tup\t"}},
		{[]string{"cluster", "status", "--addr", addr, "--groups"}, []string{"APPLIED 3"}},
		{[]string{"cluster", "status", "--addr", addr, "-o", "json"}, []string{`"up":true`}},
	} {
		code, out := lockd(t, row.args...)
		for _, want := range row.want {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%q: got exit code %d and\n%s\nwant 0 and %q", row.args, code, out, want)
			}
		}
		if row.args[len(row.args)-1] == "json" && !json.Valid([]byte(out)) {
			t.Errorf("%q: no JSON: %s", row.args, out)
		}
	}
	if code, out := lockd(t, "get", "--addr", addr, "nobody's"); code != 1 {
		t.Errorf("get of a free lock: got exit code %d and %q, want 1", code, out)
	}
	goesOnFromKnown(t, addr)
	t.Run("Terminal", func(t *testing.T) { tablesAtATerminal(t, addr) })
	t.Run("Admin", func(t *testing.T) { adminPages(t, c, cl) })
	t.Run("StatusWithANodeDown", func(t *testing.T) { statusWithANodeDown(t, c) })
	t.Run("Dump", func(t *testing.T) { dumpDirectory(t, c.Nodes[2]) })
}

// tablesAtATerminal prints a table to a terminal: its columns stand below each other, and
// its head is bold unless somebody wants no colours.
func tablesAtATerminal(t *testing.T, addr string) {
	for _, row := range []struct {
		env  []string
		bold bool
	}{{nil, true}, {[]string{"NO_COLOR=1"}, false}, {[]string{"TERM=dumb"}, false}} {
		env := append([]string{"TERM=xterm", "NO_COLOR="}, row.env...)
		got := typed(t, env, "ls", "--addr", addr, "tools/")
		if strings.Contains(got, "\x1b") != row.bold {
			t.Errorf("%q: got %q, want a bold head: %v", row.env, got, row.bold)
		}
		lines := strings.Split(strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "", "\r", "").Replace(got),
			"\n")
		at := strings.Index(lines[0], "MODE")
		if strings.Contains(got, "\t") || at < 0 || len(lines) < 4 {
			t.Fatalf("%q: got %q, want columns", row.env, got)
		}
		for i, mode := range []string{"exclusive", "6 of 8 permits", "exclusive"} {
			if !strings.HasPrefix(lines[1+i][at:], mode) {
				t.Errorf("%q: got %q, want %q below MODE", row.env, lines[1+i], mode)
			}
		}
	}
}

// goesOnFromKnown watches from each line of what was printed before: the others come, and
// it does not.
func goesOnFromKnown(t *testing.T, addr string) {
	t.Helper()
	watch := []string{"watch", "--addr", addr, "--prefix", "-o", "json", "--events"}
	_, all := lockd(t, append(watch, "3", "tools/")...)
	names := []string{`"name":"tools/a b"`, `"name":"tools/gpu"`, `"name":"tools/job"`}
	file := filepath.Join(t.TempDir(), "known")
	for line := range strings.Lines(all) {
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out := lockd(t, append(watch, "2", "--known", file, "tools/")...)
		for _, name := range names {
			if want := !strings.Contains(line, name); code != 0 || strings.Contains(out, name) != want {
				t.Errorf("known %sgot exit code %d and %s, want %s: %v", line, code, out, name, want)
			}
		}
	}
}

func adminPages(t *testing.T, c *Cluster, cl *client.Client) {
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + c.Nodes[0].Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for _, row := range []struct {
		path string
		code int
		want string
	}{
		{"/healthz", 200, "ok"},
		{"/readyz", 200, "ready"},
		{"/metrics", 200, "lockd_wal_syncs_total"},
		{"/metrics", 200, `lockd_peer_up{peer="2"} 1`},
		{"/metrics", 200, "lockd_groups_leading"},
		{"/metrics", 200, "go_goroutines"},
		{"/v1/status", 200, `"cluster":"fault"`},
		{"/v1/locks?prefix=tools/", 200, `"name":"tools/a b"`},
		{"/v1/locks?limit=0", 400, `limit is`},
		{"/v1/lock?name=tools/a%20b", 200, `"waiter":"next"`},
		{"/v1/lock?name=none", 404, `error`},
		{"/v1/lock", 400, `name is missing`},
		{"/v1/why?name=tools/a%20b", 200, `"position":2,"samples":0`},
		{"/v1/why?name=none", 200, `"position":0`},
		{"/v1/why", 400, `name is missing`},
		{"/v1/top", 200, `"name":"tools/a b","score":1,"waits":1`},
		{"/v1/top?limit=0", 400, `limit is`},
		{"/v1/watch?events=3&prefix=true&name=tools/", 200, `"name":"tools/gpu"`},
		{"/debug/pprof/", 200, "goroutine"},
		{"/nothing", 404, ""},
	} {
		code, body := get(row.path)
		if code != row.code || !strings.Contains(body, row.want) {
			t.Errorf("%s: got %d and %.300q, want %d and %q", row.path, code, body, row.code, row.want)
		}
	}
	watchesOverHTTP(t, cl, get)
	_, body := get("/metrics")
	if strings.Contains(body, "tools/a b") {
		t.Error("the name of a lock is in the metrics")
	}
	_, after, _ := strings.Cut(body, "\ngo_sched_gomaxprocs_threads ")
	number, _, _ := strings.Cut(after, "\n")
	if got, err := strconv.Atoi(number); err != nil || got < runtime.GOMAXPROCS(0)+3 {
		t.Errorf("%q processors, want %d and one for each thread that waits in the kernel",
			number, runtime.GOMAXPROCS(0))
	}
}

// watchesOverHTTP goes on from the version seen last: nothing comes while the lock is as
// it was, and what it has become when it is another.
func watchesOverHTTP(t *testing.T, cl *client.Client, get func(string) (int, string)) {
	t.Helper()
	h, err := cl.Lock(within(t, 10*time.Second), "tools/watched")
	if err != nil {
		t.Fatal(err)
	}
	seen := func(query string) (version, change string) {
		t.Helper()
		code, body := get("/v1/watch?name=tools/watched&events=1&" + query)
		var e struct{ Version, Change string }
		if err := json.Unmarshal([]byte(body), &e); code != 200 || body != "" && err != nil {
			t.Errorf("%s: got %d %q, %v", query, code, body, err)
		}
		return e.Version, e.Change
	}
	version, change := seen("for=10s")
	if change != "present" {
		t.Errorf("got %q at first, want how it stands", change)
	}
	if again, _ := seen("for=300ms&from=" + version); again != "" {
		t.Errorf("got version %s after %s, want nothing", again, version)
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, change := seen("for=10s&from=" + version); change != "released" {
		t.Errorf("got %q from %s on, want that it was released", change, version)
	}
}

func statusWithANodeDown(t *testing.T, c *Cluster) {
	if err := c.Nodes[2].Stop(); err != nil {
		t.Fatal(err)
	}
	code, out := lockd(t, "cluster", "status", "--addr", c.Nodes[0].Client)
	if code != 1 || !strings.Contains(out, "\tdown\t") ||
		!strings.Contains(out, "node 3 does not answer") {
		t.Errorf("got exit code %d and\n%s\nwant 1 and node 3 down", code, out)
	}
}

// dumpDirectory reads a stopped node's directory, a read-only copy of it, and
// one with a damaged byte.
func dumpDirectory(t *testing.T, n *Node) {
	wants := []string{`cluster "fault"  node 3`, "node 2 on disk", "promise of ballot",
		`acquire "tools/a b"`, "tick ", "segment 1",
		"remembers node 1 on disk", `take "tools/gpu"`, `enter "tools/job"`}
	code, out := lockd(t, "dump", "--records", "--locks", n.Dir)
	for _, want := range wants {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("dump: got exit code %d and %d bytes, want 0 and %q", code, len(out), want)
		}
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(n.Dir)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chmod", "-R", "a-w", copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	codeCopy, outCopy := lockd(t, "dump", "--records", "--locks", copied)
	if out, err := exec.Command("chmod", "-R", "u+w", copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if codeCopy != 0 || outCopy != out {
		t.Errorf("read-only copy: got exit code %d and %d bytes, want 0 and the same %d bytes",
			codeCopy, len(outCopy), len(out))
	}
	code, out = lockd(t, "dump", "-o", "json", "--locks", n.Dir)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, want := range []string{`{"what":"directory","cluster":"fault","node":3,`,
		`{"what":"log","segments":[{"segment":1,`, `"damage":[]}`} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("dump -o json: got exit code %d and %.500s, want %s in it", code, out, want)
		}
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("dump -o json: no JSON: %s", line)
		}
	}
	if code, out := lockd(t, "dump", "-o", "json", "--records", n.Dir); code != 2 {
		t.Errorf("dump -o json --records: got exit code %d and %.100s, want 2", code, out)
	}
	for group, want := range map[string]string{"x": "must be a whole number", "-2": "must be a whole",
		"9999": "there is no group 9999"} {
		if code, out := lockd(t, "dump", "--group", group, n.Dir); code != 2 ||
			!strings.Contains(out, want) {
			t.Errorf("dump --group %s: got exit code %d and %.200s, want 2 and %q", group, code, out, want)
		}
	}
	damage(t, filepath.Join(copied, "wal"))
	if code, out := lockd(t, "dump", "-o", "json", copied); code != 1 ||
		!strings.Contains(out, `"damage":[{"in":"0`) {
		t.Errorf("damaged copy: got exit code %d and\n%s\nwant 1 and where", code, out)
	}
	if code, out := lockd(t, "dump", copied); code != 1 || !strings.Contains(out, "DAMAGE") {
		t.Errorf("damaged copy: got exit code %d and\n%s\nwant 1 and DAMAGE", code, out)
	}
	if code, out := lockd(t, "dump", t.TempDir()); code != 1 ||
		!strings.Contains(out, "no data directory") {
		t.Errorf("some other directory: got exit code %d and %q", code, out)
	}
}

// damage flips one bit of the second chunk of the first segment, which later
// chunks prove to have been synced.
func damage(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) < 64<<10 || strings.HasSuffix(name, ".spare") {
			continue
		}
		b[4096+70] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no segment among %q", names)
}

// TestDev runs the one-process cluster from its first line to its end.
