package house

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestHouse checks the repository itself. Every failure is a line to go to.
func TestHouse(t *testing.T) {
	root := repositoryRoot(t)
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.files) < 10 {
		t.Fatalf("got %d Go files under %s, want the repository", len(tree.files), root)
	}
	text, err := os.ReadFile(filepath.Join(root, "testdata/house/ratchet.txt"))
	if err != nil {
		t.Fatal(err)
	}
	excess, err := ParseRatchet(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range Check(tree, excess) {
		t.Error(found)
	}
}

// TestFixtures checks small trees that break the rules. A fixture holds files
// and, under "want", a line "path:line rule" for each finding; no other finding
// may appear. Every rule of the package comment needs one that breaks it.
func TestFixtures(t *testing.T) {
	dir := filepath.Join(repositoryRoot(t), "testdata/house")
	names, err := filepath.Glob(filepath.Join(dir, "*.fixture"))
	if err != nil || len(names) == 0 {
		t.Fatalf("fixtures of %s: got %d, %v", dir, len(names), err)
	}
	seen := map[string]bool{}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, rule := range checkFixture(t, string(text)) {
				seen[rule] = true
			}
		})
	}
	for _, rule := range rulesInDoc(t) {
		if !seen[rule] {
			t.Errorf("rule %s: no fixture breaks it", rule)
		}
	}
}

// checkFixture compares the findings in a fixture with what it wants and
// returns the rules it broke.
func checkFixture(t *testing.T, text string) []string {
	t.Helper()
	sections := parseFixture(t, text)
	want := strings.Fields(strings.ReplaceAll(sections["want"], " ", "\t"))
	excess, err := ParseRatchet(sections["ratchet"])
	if err != nil {
		t.Fatal(err)
	}
	delete(sections, "want")
	delete(sections, "ratchet")
	files := fstest.MapFS{}
	for name, body := range sections {
		files[name] = &fstest.MapFile{Data: []byte(expand(body))}
	}
	tree, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	var got, rules []string
	for _, found := range Check(tree, excess) {
		got = append(got, fmt.Sprintf("%s:%d", found.File, found.Line), found.Rule)
		rules = append(rules, found.Rule)
		if len(found.Text) < 8 {
			t.Errorf("%s: got no help in %q", found, found.Text)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got findings\n%s\nwant\n%s", pairs(got), pairs(want))
	}
	return rules
}

// pairs prints place and rule, one finding per line.
func pairs(words []string) string {
	var b strings.Builder
	for chunk := range slices.Chunk(words, 2) {
		fmt.Fprintf(&b, "  %s\n", strings.Join(chunk, " "))
	}
	return b.String()
}

// parseFixture cuts a text at lines "-- name --".
func parseFixture(t *testing.T, text string) map[string]string {
	t.Helper()
	sections := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if inner, ok := strings.CutPrefix(trimmed, "-- "); ok {
			if name, ok = strings.CutSuffix(inner, " --"); ok {
				sections[name] = ""
				continue
			}
		}
		if name != "" {
			sections[name] += line
		}
	}
	if _, ok := sections["want"]; !ok {
		t.Fatal("got no section \"want\"")
	}
	return sections
}

// expand repeats a line n times where a fixture says "repeat n: line", so that
// a fixture of a long file is short.
func expand(body string) string {
	var b strings.Builder
	for line := range strings.Lines(body) {
		var n int
		rest, found := strings.CutPrefix(line, "repeat ")
		count, text, colon := strings.Cut(rest, ": ")
		if _, err := fmt.Sscan(count, &n); !found || !colon || err != nil {
			b.WriteString(line)
			continue
		}
		b.WriteString(strings.Repeat(text, n))
	}
	return b.String()
}

// rulesInDoc lists the rules of the package comment's table.
func rulesInDoc(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if strings.HasPrefix(line, "//\t") && len(fields) > 2 && fields[1] != "rule" {
			rules = append(rules, fields[1])
		}
	}
	if len(rules) < 10 {
		t.Fatalf("got %d rules in doc.go, want the table", len(rules))
	}
	return rules
}

func TestSplitName(t *testing.T) {
	tests := []struct {
		name string
		want []string
	}{
		{"leader", []string{"leader"}},
		{"HTTPServer_id", []string{"http", "server", "id"}},
		{"nodeID", []string{"node", "id"}},
		{"masterLease", []string{"master", "lease"}},
		{"rpcs", []string{"rpcs"}},
		{"_", nil},
	}
	for _, test := range tests {
		if got := splitName(test.name); !slices.Equal(got, test.want) {
			t.Errorf("splitName(%q): got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestParseRatchetNamesTheLine(t *testing.T) {
	for _, text := range []string{"# fine\na.go 1 2\n", "# fine\na.go many\n"} {
		_, err := ParseRatchet(text)
		if err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("ParseRatchet(%q): got error %v, want one that names line 2", text, err)
		}
	}
}

// repositoryRoot finds the directory of the module's go.mod above the test.
func repositoryRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module "+modulePath+"\n") {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod of the module above the test")
		}
		dir = up
	}
}
