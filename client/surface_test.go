package client

import (
	"bytes"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockd/netio/wire"
)

// TestSurface proves that what is exported mentions netio/wire only where the package
// comment says so.
func TestSurface(t *testing.T) {
	fset := token.NewFileSet()
	var files []*ast.File
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name.Name != "client" {
			t.Fatalf("%s: got package %s", e.Name(), f.Name.Name)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, "lockd/client") // leaves out what is not exported
	if err != nil {
		t.Fatal(err)
	}
	loop := loopNames(t, p.Doc)
	meet := func(name string, decl ast.Node, comments ...string) {
		if at := slices.Index(loop, name); at >= 0 {
			loop = slices.Delete(loop, at, at+1)
			return
		}
		var b bytes.Buffer
		if err := printer.Fprint(&b, fset, decl); err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(comments, "") + b.String(); strings.Contains(text, "wire.") {
			t.Errorf("%s speaks of netio/wire:\n%s", name, text)
		}
	}
	for _, v := range slices.Concat(p.Consts, p.Vars) {
		meet(v.Names[0], v.Decl, v.Doc)
	}
	for _, f := range p.Funcs {
		meet(f.Name, f.Decl, f.Doc)
	}
	for _, x := range p.Types {
		core := slices.Contains(loop, x.Name)
		meet(x.Name, x.Decl, x.Doc)
		for _, f := range slices.Concat(x.Funcs, x.Methods) {
			if !core || f.Recv == "" {
				meet(f.Name, f.Decl, f.Doc)
			}
		}
		for _, v := range slices.Concat(x.Consts, x.Vars) {
			if !core {
				meet(v.Names[0], v.Decl, v.Doc)
			}
		}
	}
	if len(loop) > 0 {
		t.Errorf("doc.go names what is not exported: %q", loop)
	}
}

// loopNames are what the package comment says belongs to a Core alone.
func loopNames(t *testing.T, text string) []string {
	t.Helper()
	_, after, _ := strings.Cut(text, "# For who brings his own loop")
	section, _, found := strings.Cut(after, "\n# ")
	list := regexp.MustCompile(`(?m)(?:^\t.*\n)+`).FindString(section)
	if !found || list == "" {
		t.Fatal("doc.go has no list of what belongs to a Core")
	}
	return regexp.MustCompile(`\b[A-Z]\w+`).FindAllString(list, -1)
}

// TestNumbersOfWire proves that what the package numbers for itself has the numbers and
// the names that the nodes know.
func TestNumbersOfWire(t *testing.T) {
	for name, pair := range map[string][2]string{
		"latch":     {GateLatch.String(), wire.GateLatch.String()},
		"event":     {GateEvent.String(), wire.GateEvent.String()},
		"barrier":   {GateBarrier.String(), wire.GateBarrier.String()},
		"":          {GateKind(0).String(), wire.GateKind(0).String()},
		"replica":   {RoleReplica.String(), wire.RoleReplica.String()},
		"preparing": {RolePreparing.String(), wire.RolePreparing.String()},
		"leader":    {RoleLeader.String(), wire.RoleLeader.String()},
		"none":      {RoleNone.String(), wire.RoleNone.String()},
		"present":   {LockPresent.String(), wire.ChangePresent.String()},
		"acquired":  {LockAcquired.String(), wire.ChangeAcquired.String()},
		"released":  {LockReleased.String(), wire.ChangeReleased.String()},
		"expired":   {LockExpired.String(), wire.ChangeExpired.String()},
		"changed":   {LockChanged.String(), wire.ChangeOther.String()},
		"forced":    {LockForced.String(), wire.ChangeForced.String()},
		"EX":        {Exclusive.String(), wire.ModeEX.String()},
		"PR":        {Shared.String(), wire.ModePR.String()},
		"PW":        {Update.String(), wire.ModePW.String()},
		"CW":        {ConcurrentWrite.String(), wire.ModeCW.String()},
		"CR":        {ConcurrentRead.String(), wire.ModeCR.String()},
		"NL":        {Null.String(), wire.ModeNL.String()},
		"mode 6":    {Mode(6).String(), wire.Mode(6).String()},
	} {
		if pair != [2]string{name, name} {
			t.Errorf("got %q, want %q twice", pair, name)
		}
	}
	for m := range Null + 1 {
		w, err := m.wire()
		if err != nil || modeOf(w) != m {
			t.Errorf("mode %d: got %v, %v", m, w, err)
		}
	}
	if got := [...]int{MaxListed, MaxLockAll, MaxReason}; got !=
		[...]int{wire.MaxListed, wire.MaxWants, wire.MaxReasonBytes} {
		t.Errorf("got bounds %d, want those of netio/wire", got)
	}
}
