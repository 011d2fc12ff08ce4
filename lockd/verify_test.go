package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lockd/lockd/config"
	"lockd/lockd/faulttest/ports"
)

// verifiable is a cluster of three nodes in this process that take faults.
type verifiable struct {
	clients, admins []string
	secret          string
}

func startVerifiable(t *testing.T, allow string) *verifiable {
	t.Helper()
	var claim ports.Claim
	t.Cleanup(func() { _ = claim.Close() })
	dir := t.TempDir()
	v := &verifiable{secret: filepath.Join(dir, "secret")}
	if err := os.WriteFile(v.secret, []byte("sixteen letters, or more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := claim.Row(portsPerNode * devNodes)
	if err != nil {
		t.Fatal(err)
	}
	d := &devCluster{dir: dir, port: first}
	sh := &shell{err: t.Output()}
	for i := range devNodes {
		cfg, err := loadConfigFlags(sh, append(d.flags(i), config.Given{Flag: "groups", Value: "8"},
			config.Given{Flag: "allow-faults", Value: allow},
			config.Given{Flag: "faults-secret-file", Value: v.secret}))
		if err != nil {
			t.Fatal(err)
		}
		a, err := assemble(cfg, newLogger(t.Output(), "error", "text").With("node", cfg.ID))
		if err != nil {
			t.Fatal(err)
		}
		d.nodes = append(d.nodes, a)
		v.clients = append(v.clients, d.address(i, 0))
		v.admins = append(v.admins, d.address(i, 2))
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	for _, a := range d.nodes {
		if ready, err := awaitReady(a, nil); err != nil || !ready {
			t.Fatalf("got ready %v, %v", ready, err)
		}
	}
	return v
}

// args are those of a short run.
func (v *verifiable) args(more ...string) []string {
	return append([]string{"verify", "--addr", strings.Join(v.clients, ","), "--admin",
		strings.Join(v.admins, ","), "--faults-secret-file", v.secret, "--lease", "1s", "--rate", "3000",
		"--workers", "8", "--locks", "10", "--fault-length", "300ms", "--fault-rest", "100ms"}, more...)
}

// TestVerify verifies a cluster of three real nodes in this process, with faults of the
// client, of the operator and of the nodes themselves; it reads its record again, and a
// lie in that is found.
func TestVerify(t *testing.T) {
	v := startVerifiable(t, "true")
	dir := t.TempDir()
	file, begun := filepath.Join(dir, "history"), filepath.Join(dir, "begun")
	code, out, problems := call(v.args("--for", "6s", "-o", "json", "--history", file, "--faults",
		"exec,conns,disk,cut,move,pause,slow", "--exec-fault", "echo 1 > "+begun, "--exec-heal",
		"rm "+begun)...)
	t.Log(problems)
	var got struct {
		Linearizable bool
		Operations   int
		Faults       []struct{ Fault, Error string }
		Gaps         []struct{ Fault string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if code != 0 || !got.Linearizable || got.Operations < 500 {
		t.Fatalf("got exit code %d and %s", code, out)
	}
	kinds := map[string]int{}
	for _, f := range got.Faults {
		kinds[f.Fault]++
	}
	for _, kind := range []string{"exec", "conns", "disk"} {
		if kinds[kind] == 0 {
			t.Errorf("got %v, want %s too", kinds, kind)
		}
	}
	if _, err := os.Stat(begun); err == nil {
		t.Error("a command was not healed")
	}
	code, out, problems = call("verify", "--check", file)
	if code != 0 || !strings.Contains(out, "linearizable: "+strconv.Itoa(got.Operations)) {
		t.Errorf("the record: got exit code %d, %s, %s", code, out, problems)
	}
	lie(t, file)
	code, out, problems = call("verify", "--check", file)
	if code != exitFailure || !strings.Contains(out, "NOT linearizable: 1 of 10 locks") ||
		!strings.Contains(problems, "NOT linearizable") {
		t.Errorf("a record with a lie: got exit code %d, %s, %s", code, out, problems)
	}
	code, out, _ = call("verify", "--check", file, "-o", "json")
	if code != exitFailure || !strings.Contains(out, `"linearizable":false`) {
		t.Errorf("a record with a lie, as JSON: got exit code %d, %s", code, out)
	}
}

// lie has a record say that a token was granted again.
func lie(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n")
	for i, line := range lines {
		if strings.Contains(line, `"op":"acquire","outcome":"done"`) &&
			!strings.Contains(line, `"owner"`) {
			head, rest, _ := strings.Cut(lines[0], `"operations":`)
			n, err := strconv.Atoi(strings.TrimRight(rest, "}\n"))
			if err != nil {
				t.Fatal(err)
			}
			lines[0] = head + `"operations":` + strconv.Itoa(n+1) + "}\n"
			text := strings.Join(lines[:i+1], "") + line + strings.Join(lines[i+1:], "")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the record has no grant")
}

// TestVerifyRefuses what cannot be done, and says what it lacks.
func TestVerifyRefuses(t *testing.T) {
	v := startVerifiable(t, "false")
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("no history"), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster := []string{"verify", "--addr", strings.Join(v.clients, ",")}
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{v.args("--faults", "cut"), exitUsage, "its setting faults.allow is false"},
		{v.args("--faults", "cuts"), exitUsage, `did you mean "cut"?`},
		{v.args("--faults", "conns,conns"), exitUsage, `fault "conns" is named twice`},
		{v.args("--faults", "exec"), exitUsage, "there is no --exec-fault"},
		{v.args("--exec-fault", "true", "--exec-fault", "true", "--exec-heal", "true"), exitUsage,
			"1 --exec-heal for 2 --exec-fault"},
		{append(cluster, "--faults", "move"), exitUsage, "--admin is missing"},
		{append(cluster, "--faults", "pause"), exitUsage, "--faults-secret-file is missing"},
		{append(cluster, "--for", "24h"), exitUsage, "are more than 4000000"},
		{append(cluster, "--locks", "4"), exitUsage, "--locks"},
		{append(cluster, "extra"), exitUsage, "extra"},
		{append(cluster, "--admin", v.admins[0]+","+v.admins[0]), exitUsage, "named already"},
		{append(cluster, "--history", "/nowhere/at/all"), exitUsage, "--history"},
		{[]string{"verify", "--addr", "127.0.0.1:1", "--timeout", "300ms"}, exitUnavailable,
			"127.0.0.1:1"},
		{[]string{"verify", "--check", wrong}, exitUsage, "not a history"},
		{[]string{"verify", "--check", wrong + "er"}, exitUsage, "--check"},
	} {
		code, _, problems := call(row.args...)
		if code != row.code || !strings.Contains(problems, row.says) {
			t.Errorf("%q: got exit code %d and %s\nwant %d and %q", row.args, code, problems, row.code,
				row.says)
		}
	}
}
