package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"lockd/client"
	"lockd/lockd/config"
	"lockd/netio/wire"
)

// call carries out one command line and returns exit code and output.
func call(args ...string) (code int, out, problems string) {
	var o, e bytes.Buffer
	sh := &shell{out: &o, err: &e}
	code = sh.run(args)
	return code, o.String(), e.String()
}

// TestDocumentedVerbs proves that the page about JSON names the verbs that print it, and
// no others.
func TestDocumentedVerbs(t *testing.T) {
	b, err := os.ReadFile("doc/json.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	verb := regexp.MustCompile("`lockd ([a-z-]+(?: [a-z]+)?) -o json")
	for _, m := range verb.FindAllSubmatch(b, -1) {
		named[string(m[1])] = true
	}
	for _, v := range verbs() {
		flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
		v.begin(flags)
		f := flags.Lookup("o")
		if prints := f != nil && strings.Contains(f.Usage, "json"); prints != named[v.name] {
			t.Errorf("lockd %s: got -o json %v, the page names it: %v", v.name, prints, named[v.name])
		}
		delete(named, v.name)
	}
	if len(named) > 0 {
		t.Errorf("the page names what is no verb: %v", named)
	}
}

func TestHelpNamesEveryVerbAndFlag(t *testing.T) {
	code, list, _ := call("help")
	if code != 0 {
		t.Errorf("help: got exit code %d, want 0", code)
	}
	for _, v := range verbs() {
		if !strings.Contains(list, "\n  "+v.name+" ") {
			t.Errorf("help does not list %q", v.name)
		}
		flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
		v.begin(flags)
		for _, args := range [][]string{
			append([]string{"help"}, strings.Fields(v.name)...),
			append(strings.Fields(v.name), "--help"),
			append(strings.Fields(v.name), "-h"),
		} {
			code, page, problems := call(args...)
			if code != 0 || problems != "" {
				t.Errorf("%q: got exit code %d and %q, want 0", args, code, problems)
			}
			flags.VisitAll(func(f *flag.Flag) {
				if !strings.Contains(page, "-"+f.Name) {
					t.Errorf("%q does not explain --%s", args, f.Name)
				}
			})
		}
	}
	if code, _, problems := call(); code != exitUsage || !strings.Contains(problems, "lockd VERB") {
		t.Errorf("no verb: got exit code %d and %q, want %d and the list", code, problems, exitUsage)
	}
}

func TestHelpFitsATerminal(t *testing.T) {
	for _, v := range verbs() {
		_, page, _ := call(append([]string{"help"}, strings.Fields(v.name)...)...)
		for line := range strings.SplitSeq(page, "\n") {
			if len(line) > 88 {
				t.Errorf("help %s: a line of %d bytes: %s", v.name, len(line), line)
			}
		}
	}
}

func TestVersionSaysWhatItSpeaks(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"-v"}} {
		code, out, _ := call(args...)
		if code != 0 || !strings.Contains(out, "client protocol 3, peer protocol 1") {
			t.Errorf("%q: got exit code %d and %q", args, code, out)
		}
	}
}

func TestFlagsStandAnywhereBeforeTheDashes(t *testing.T) {
	for _, row := range []struct{ line, x, rest string }{
		{"a b", "", "a b"},
		{"-x 1 a", "1", "a"},
		{"a -x 1 b", "1", "a b"},
		{"a b -x=1", "1", "a b"},
		{"a -- -x 1", "", "a -- -x 1"},
		{"-x 1 a -- b -x 2", "1", "a -- b -x 2"},
		{"--", "", "--"},
	} {
		flags := flag.NewFlagSet("verb", flag.ContinueOnError)
		x := flags.String("x", "", "")
		rest, err := parseFlags(flags, strings.Fields(row.line))
		if err != nil || *x != row.x || !slices.Equal(rest, strings.Fields(row.rest)) {
			t.Errorf("%q: got x %q, rest %q, %v, want x %q, rest %q", row.line, *x, rest, err,
				row.x, row.rest)
		}
	}
}

func TestEverySettingIsAFlagOfServe(t *testing.T) {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	serveVerb().begin(flags)
	for _, s := range config.Settings() {
		if flags.Lookup(s.Flag) == nil {
			t.Errorf("serve has no flag --%s for %s", s.Flag, s.Key)
		}
	}
}

func TestTableIsTabSeparatedInAPipe(t *testing.T) {
	var out bytes.Buffer
	table := table{header: []string{"NAME", "TOKEN"}}
	table.add("a b", "1")
	table.add("tab\tand\nline", "2")
	table.add("\x1b[2Jterminal", "3")
	table.add("größe", "4")
	if err := table.print(&shell{out: &out}); err != nil {
		t.Fatal(err)
	}
	want := "NAME\tTOKEN\na b\t1\n\"tab\\tand\\nline\"\t2\n\"\\x1b[2Jterminal\"\t3\ngröße\t4\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A latch, an event and a barrier are shown as what they are.
func TestGatesInTables(t *testing.T) {
	var out bytes.Buffer
	sh := &shell{out: &out}
	latch := &client.LockInfo{Name: "jobs", Gate: client.GateLatch, Number: 3, HolderCount: 1,
		WaiterCount: 1, Holders: []client.Holder{{Token: 7, Session: wire.DetachedOwner}},
		Waiters: []client.Waiter{{Client: "ci", Session: 4}}}
	list := []client.ListEntry{{Name: "go", Gate: client.GateEvent, HolderCount: 1, Token: 9},
		{Name: "round", Gate: client.GateBarrier, Number: 8, WaiterCount: 2}}
	if err := errors.Join(lockTable(latch).print(sh), listTable(list).print(sh)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"stands\t-\tlatch, 3 to count\t7\t0s\t-\t-",
		"waits 1\tci\tlatch, 3 to count\t-\t0s\t-\t4", "go\t-\tevent\t9\t1\t0\t0s",
		"round\t-\tbarrier of 8\t-\t0\t2\t-"} {
		if got := out.String(); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

// A value is shown on one line, and so is that nobody holds its lock.
func TestValueInGet(t *testing.T) {
	var out bytes.Buffer
	info := &client.LockInfo{Name: "x", Value: client.LockValue{Data: []byte("a\nb\xff"), Token: 7,
		Doubtful: true}}
	if err := printLock(&shell{out: &out}, info); err != nil {
		t.Fatal(err)
	}
	want := `value "a\nb\xff", written with token 7, doubtful: a holder who could have written it ` +
		"since was lost\nnobody holds it or waits for it\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAlignedColumnsCountLettersNotBytes(t *testing.T) {
	if got, want := aligned([]string{"größe", "1"}, []int{7, 1}), "größe    1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExitCodeComesFromTheFailure(t *testing.T) {
	wrapped := errors.Join(errors.New("other"), failf(exitUnavailable, "nobody there"))
	for _, row := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {failf(77, "x"), 77}, {wrapped, 69},
		{&failure{code: 137}, 137},
	} {
		if got := exitCode(row.err); got != row.want {
			t.Errorf("%v: got %d, want %d", row.err, got, row.want)
		}
	}
}

// TestExitCodesAreToldAlike proves that lockd help, the pages of verbs and the document
// say the same of every exit code.
func TestExitCodesAreToldAlike(t *testing.T) {
	b, err := os.ReadFile("doc/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "## Exit codes")
	section, _, _ := strings.Cut(after, "\n## ")
	rows := strings.Count(section, "\n| ") - 1
	if all := exitMeanings(); rows != len(all) {
		t.Errorf("the document has %d exit codes, want %d", rows, len(all))
	}
	_, help, _ := call("help")
	for _, x := range exitMeanings() {
		if row := "\n| " + x.code + " | " + x.text + " |\n"; !strings.Contains(section, row) {
			t.Errorf("the document has no row %q", row)
		}
		if !strings.Contains(strings.Join(strings.Fields(help), " "), x.code+" "+x.text) {
			t.Errorf("help does not say that %s is %q", x.code, x.text)
		}
	}
	if front, err := os.ReadFile("../README.md"); err != nil ||
		!strings.Contains(string(front), "77 "+notPermitted) {
		t.Errorf("README.md: got %v, or it does not say that 77 is %q", err, notPermitted)
	}
	for _, v := range verbs() {
		if says := strings.Contains(v.help, "   77  "); says != strings.Contains(v.help, notPermitted) {
			t.Errorf("lockd %s: 77 is not %q", v.name, notPermitted)
		}
	}
}

func TestRunRefusesACommandLineThatSaysTwoThings(t *testing.T) {
	long := strings.Repeat("x", 600)
	for line, want := range map[string]string{
		"run -n -w 1s x -- true":      "-n and -w exclude each other",
		"run -E 300 x -- true":        "must be a whole number, 0 to 255",
		"run --on-lost ask x -- true": "must be kill or warn",
		"run -w 5 x -- true":          `-w is "5": a unit is missing: write 5s`,
		"run -w soon x -- true":       "must be a length of time such as",
		"run -w -1s x -- true":        "must be 0s or more",
		"run -w":                      "-w needs a value",
		"run --priority -1 x -- true": "must be a whole number, 0 to 255",
		"run --lease 0s x -- true":    "must be 1s to 1h",
		"run --lease 1s --kill-grace 1s x -- true": "must be 0s to 333ms, a third of the " +
			"--lease of 1s",
		"run --min-hold 25h x -- true":          "must be 1ms to 24h",
		"run --max-hold 99ms x -- true":         "must be 100ms to 24h",
		"run --max-hold 2s x -- true":           "--kill-grace",
		"run --also b --max-hold 2s x -- true":  "--kill-grace",
		"run --lock-delay 1us x -- true":        "must be 1ms to 24h",
		"run --also y --permits 1/2 x -- true":  "--also and --permits exclude each other",
		"run -s --mode CR x -- true":            "-s and --mode exclude each other",
		"run --mode CR --permits 1/2 x -- true": "--mode and --permits exclude each other",
		"run --mode exclusive x -- true":        "must be EX, PW, PR, CW, CR or NL",
		"lock --ttl 50ms x":                     "must be 100ms to 24h",
		"renew --token 7 --ttl 25h x":           "must be 100ms to 24h",
		"lock -w -1s x":                         "must be 0s or more",
		"try":                                   "NAME is missing",
		"try -w 3s x":                           "try: unknown flag -w; lockd help try lists all",
		"try -s --mode CR x":                    "try: -s and --mode exclude each other",
		"try --ttl 1m --":                       "NAME is missing",
		"get -- -x -y":                          `unexpected argument "-y"`,
		"try -o table x":                        "must be shell or json",
		"release x":                             "--token is missing",
		"release --force --token 7 x":           "--reason is missing",
		"release --force --reason y x":          "--token is missing",
		"release --token 7 --reason y x":        "--reason goes with --force",
		"release --token 0 x":                   "must be a whole number above 0",
		"release --token 7 --session x y":       "must be a whole number above 0",
		"get --timeout 0s x":                    "must be 1ms or more",
		"get --addr foo x":                      `--addr: "foo" is no address`,
		"get --addr 127.0.0.1:http x":           "is no address, must be host:port",
		"get --addr , x":                        "must be host:port",
		"run --kill-grace 9s x -- true":         "must be 0s to 3.333s, a third of",
		"run --permits 3 x -- true":             "must be N/MAX",
		"run --permits 0/3 x -- true":           "must be N/MAX",
		"run --permits 4/3 x -- true":           "must be N/MAX",
		"run --permits 1/-3 x -- true":          "must be N/MAX",
		"run -s --permits 1/3 x -- true":        "-s and --permits exclude each other",
		"run x y -- true":                       `unexpected argument "y"`,
		"run -- true":                           "NAME is missing",
		"run x --":                              "the command is missing",
		"get":                                   "NAME is missing",
		"get a b":                               `unexpected argument "b"`,
		"dump":                                  "DIR is missing",
		"dev --port 70000":                      `--port is "70000": must be a whole number, 1 to 65505`,
		"dev --log-level foo":                   "must be debug, info, warn or error",
		"watch --events -1 x":                   "must be a whole number, 0 to",
		"watch --prefix --from 1-2 x":           "--prefix and --from exclude each other",
		"watch --prefix " + long:                "NAME has 600 bytes, a name has 512 at most",
		"ls " + long:                            "PREFIX has 600 bytes, a name has 512 at most",
		"ls --after " + long:                    "--after has 600 bytes",
		"cluster":                               "cluster status, add, remove, replace, move or drain",
		"cluster stats":                         `did you mean "cluster status"`,
		"cluster frobnicate":                    `there is: lockd cluster status, add, remove`,
		"cluster help":                          `there is: lockd cluster status, add, remove`,
		"clster status":                         `did you mean "cluster status"`,
		"clster":                                `did you mean "cluster"`,
		"run a sh -c true":                      "go behind --: lockd run NAME -- CMD",
		"run --nme a -- sh -c true":             "unknown flag --nme",
		"cluster move 3":                        "NODE is missing",
		"cluster move x 3":                      `"x" is no group, must be 0 to 65535`,
		"cluster move 3 0":                      `"0" is no node id`,
		"cluster move 3 2=a:1/b:1":              "a node is named by its id alone",
		"cluster drain 2":                       `unexpected argument "2"`,
		"help get more":                         `unexpected argument "more"`,
		"help frobnicate":                       "unknown verb",
		"ls --limit -1":                         `--limit is "-1": must be a whole number, 0 to`,
		"top --limit 0":                         `--limit is "0": must be a whole number, 1 to`,
		"watch":                                 "NAME is missing",
		"watch --from yesterday x":              `lockd: version "yesterday", must be SLOT-STATE`,
		"config check /nonexistent.toml":        "no such file",
	} {
		code, _, problems := call(strings.Fields(line)...)
		if strings.Count(problems, "\n") != 1 && !strings.HasPrefix(line, "config") {
			t.Errorf("%q: got more than a line: %s", line, problems)
		}
		if code != exitUsage && !strings.HasPrefix(line, "config") || code == 0 ||
			!strings.Contains(problems, want) {
			t.Errorf("%q: got exit code %d and %q, want %d and %q", line, code, problems, exitUsage,
				want)
		}
	}
}

func TestShellQuoted(t *testing.T) {
	for text, want := range map[string]string{"": "''", "a/b-1": "a/b-1", "a b": "'a b'",
		"it's": `'it'\''s'`, "$x": "'$x'", "-n": "'-n'", "ü": "'ü'"} {
		if got := shellQuoted(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestSpanText(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", time.Hour: "1h", 90 * time.Minute: "1h30m",
		10 * time.Second: "10s", 10 * time.Minute: "10m", time.Hour + time.Second: "1h0m1s"} {
		if got := spanText(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestLabelIsGivenOnce(t *testing.T) {
	code, _, problems := call("run", "--label", "run=1", "--label", "run=2", "job", "--", "true")
	if code != exitUsage || !strings.Contains(problems, `label "run" is given twice`) {
		t.Errorf("got exit code %d and %q, want %d and the label", code, problems, exitUsage)
	}
}

func TestHelpOfSeveralVerbs(t *testing.T) {
	code, out, _ := call("help", "cluster")
	for _, want := range []string{"status", "add", "remove", "replace", "move", "drain"} {
		if code != 0 || !strings.Contains(out, "lockd cluster "+want+" ") {
			t.Errorf("help cluster: got exit code %d and %q, want %q in it", code, out, want)
		}
	}
	_, want, _ := call("help", "latch")
	for _, ask := range []string{"-h", "--help"} {
		if code, out, _ := call("latch", ask); code != 0 || out != want || out == "" {
			t.Errorf("latch %s: got exit code %d and %q, want what help says", ask, code, out)
		}
	}
	_, list, _ := call("help")
	if code, out, _ := call("help", "help"); code != 0 || out != list {
		t.Errorf("help help: got exit code %d and %q, want the list", code, out)
	}
}

// A change of a cluster does not go to the default address while the environment names
// a cluster by other addresses.
func TestAdminAddress(t *testing.T) {
	for _, row := range []struct {
		env  []string
		code int
		says string
	}{
		{[]string{"LOCKD_ADDR=127.0.0.1:1"}, exitUsage, "--admin is missing: LOCKD_ADDR=127.0.0.1:1"},
		{[]string{"LOCKD_ADDR=127.0.0.1:1", "LOCKD_ADMIN=127.0.0.1:2"}, exitUnavailable,
			"127.0.0.1:2"},
	} {
		var o, e bytes.Buffer
		sh := &shell{out: &o, err: &e, env: row.env}
		code := sh.run([]string{"cluster", "remove", "3"})
		if code != row.code || !strings.Contains(e.String(), row.says) {
			t.Errorf("%q: got exit code %d and %q, want %d and %q", row.env, code, e.String(), row.code,
				row.says)
		}
	}
}

// A variable that is nearly the one with the addresses does not go unheard, since the
// default may be of another cluster; one of another program does, and so do those that
// lockd run hands on.
func TestMistypedEnvironment(t *testing.T) {
	for _, row := range []struct {
		args, env []string
		code      int
		says      string
	}{
		{[]string{"get", "x"}, []string{"LOCKD_ADRR=127.0.0.1:1"}, exitUsage,
			"unknown environment variable LOCKD_ADRR; did you mean LOCKD_ADDR?"},
		{[]string{"get", "x"}, []string{"LOCKD_ADRR=h:1", "LOCKD_ADDR=127.0.0.1:1"},
			exitUnavailable, "no node answers"},
		{[]string{"cluster", "remove", "3"}, []string{"LOCKD_ADMINN=127.0.0.1:1"}, exitUsage,
			"did you mean LOCKD_ADMIN?"},
	} {
		var o, e bytes.Buffer
		sh := &shell{out: &o, err: &e, env: row.env}
		if row.code == exitUnavailable {
			row.args = append(row.args, "--timeout", "100ms")
		}
		code := sh.run(row.args)
		if code != row.code || !strings.Contains(e.String(), row.says) {
			t.Errorf("%q: got exit code %d and %q, want %d and %q", row.env, code, e.String(), row.code,
				row.says)
		}
	}
	others := []string{"LOCKD_NAME=x", "LOCKD_TOKEN=1", "LOCKD_SESSION=1", "LOCKD_DATA=/d",
		"LOCKD_ADMIN=127.0.0.1:1", "LOCKD_HOUSE=1", "LOCKD_ADRR=", "ADDR=1"}
	if got := config.MistypedEnv(others, "LOCKD_ADDR"); got != "" {
		t.Errorf("got %s taken for LOCKD_ADDR, want none", got)
	}
}

// What is printed to nobody any more ends quietly.
func TestReaderGone(t *testing.T) {
	gone := &fs.PathError{Op: "write", Path: os.Stdout.Name(), Err: syscall.EPIPE}
	other := &fs.PathError{Op: "write", Path: "/dev/sda", Err: syscall.EPIPE}
	if !readerGone(fmt.Errorf("x: %w", gone)) || readerGone(other) || readerGone(nil) {
		t.Error("got a reader that is gone mistaken")
	}
}

func TestManyErrorsAreOneLine(t *testing.T) {
	one := fmt.Errorf("%w: group 0", client.ErrUnavailable)
	if got := briefly(errors.Join(one, one, one)); got.Error() != one.Error()+" (and 2 more)" ||
		!errors.Is(got, client.ErrUnavailable) {
		t.Errorf("got %v, want the first and a count", got)
	}
	if got := briefly(one); got != one {
		t.Errorf("got %v, want what was given", got)
	}
}

// stuck is a stream whose reader has stopped.
type stuck struct{ reads chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.reads
	return len(p), nil
}

// A last word that nobody reads does not keep the process from being silent.
func TestSilenceDoesNotWaitForTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := make(chan struct{}, 2)
		s := stuck{make(chan struct{})}
		sh := &shell{out: s, err: s, last: func() { silent <- struct{}{} }}
		begun := time.Now()
		go sh.run([]string{"nonsense"})
		if <-silent; time.Since(begun) != lastWordTime {
			t.Errorf("silent after %v, want %v", time.Since(begun), lastWordTime)
		}
		close(s.reads)
		<-silent
	})
}
