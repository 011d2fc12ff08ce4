package house

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
	"unicode"
)

// bannedWord is a word that names something the house has another word for.
type bannedWord struct {
	word string
	say  string
	// in limits the ban to some directories and what lies below them, because
	// elsewhere the word means something of its own; empty means everywhere.
	in []string
	// out are directories where it is the name of something of its own.
	out []string
}

// bannedWords lists the words no identifier, file or package of ours contains.
// It is shorter than the style guide's table: only what is wrong in every
// sentence can be left to a program.
func bannedWords() []bannedWord {
	consensus := []string{"paxos", "lockd/node"}
	logged := []string{"paxos", "lockd/node", "wal", "lockfsm"}
	return []bannedWord{
		{word: "master", say: "leader"},
		{word: "slave", say: "peer"},
		{word: "follower", say: "acceptor or peer"},
		{word: "followers", say: "acceptors or peers"},
		{word: "candidate", say: "proposer", in: consensus},
		{word: "voter", say: "acceptor"},
		{word: "voters", say: "acceptors"},
		{word: "shard", say: "group"},
		{word: "shards", say: "groups"},
		{word: "decree", say: "value"},
		{word: "rpc", say: "request (client and node) or message (replicas)"},
		{word: "txn", say: "command"},
		{word: "transaction", say: "command", in: logged},
		{word: "persist", say: "sync", in: logged},
		{word: "persisted", say: "durable", in: logged},
		{word: "primary", say: "leader", in: consensus},
		{word: "term", say: "ballot", in: consensus},
		{word: "view", say: "ballot", in: []string{"paxos"}},
		{word: "epoch", say: "ballot", in: []string{"paxos"}},
		{word: "vote", say: "promise or accept", in: consensus},
		{word: "voted", say: "promised or accepted", in: consensus},
		{word: "votes", say: "promises or accepts", in: consensus},
		{word: "decided", say: "chosen", in: consensus},
		{word: "committed", say: "chosen (of a slot) or synced (of bytes)", in: consensus},
		{word: "instance", say: "slot (of a log) or replica (of a group)", in: consensus},
		{word: "member", say: "node or acceptor", in: consensus},
		{word: "members", say: "nodes or acceptors", in: consensus},
		// What guards a resource is a fence in every other project's words too.
		{word: "fence", say: "token", out: []string{"client/fence"}},
	}
}

// words checks the names that a file declares, and its own.
func (c *checker) words(f *file) {
	banned := map[string]string{}
	for _, w := range bannedWords() {
		if w.applies(f.dir) {
			banned[w.word] = w.say
		}
	}
	check := func(pos token.Pos, what, name string) {
		for _, word := range splitName(name) {
			if say := banned[word]; say != "" {
				c.at(f, pos, "word", "%s %s: the house says %s, not %s", what, name, say, word)
			}
		}
	}
	stem := strings.TrimSuffix(path.Base(f.path), ".go")
	check(f.syntax.Package, "file", stem)
	check(f.syntax.Name.Pos(), "package", f.syntax.Name.Name)
	for _, name := range declaredNames(f.syntax) {
		check(name.Pos(), "name", name.Name)
	}
}

func (w bannedWord) applies(dir string) bool {
	for _, root := range w.out {
		if under(dir, root) {
			return false
		}
	}
	for _, root := range w.in {
		if under(dir, root) {
			return true
		}
	}
	return len(w.in) == 0
}

// declaredNames lists the identifiers a file introduces: types, functions,
// fields, parameters, constants and variables. Names it only uses are the
// business of whoever declares them.
func declaredNames(syntax *ast.File) []*ast.Ident {
	var names []*ast.Ident
	add := func(exprs ...ast.Expr) {
		for _, expr := range exprs {
			if ident, ok := expr.(*ast.Ident); ok {
				names = append(names, ident)
			}
		}
	}
	ast.Inspect(syntax, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.TypeSpec:
			names = append(names, x.Name)
		case *ast.FuncDecl:
			names = append(names, x.Name)
		case *ast.Field:
			names = append(names, x.Names...)
		case *ast.ValueSpec:
			names = append(names, x.Names...)
		case *ast.AssignStmt:
			if x.Tok == token.DEFINE {
				add(x.Lhs...)
			}
		case *ast.RangeStmt:
			if x.Tok == token.DEFINE {
				add(x.Key, x.Value)
			}
		}
		return true
	})
	return names
}

// splitName cuts a name into lowercase words at underscores, at capitals and
// after runs of capitals: HTTPServer_id gives http, server, id.
func splitName(name string) []string {
	var words []string
	runes := []rune(name)
	start := 0
	cut := func(end int) {
		if end > start {
			words = append(words, strings.ToLower(string(runes[start:end])))
		}
	}
	for i, r := range runes {
		if r == '_' {
			cut(i)
			start = i + 1
			continue
		}
		if i == start || !unicode.IsUpper(r) {
			continue
		}
		nextLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
		if !unicode.IsUpper(runes[i-1]) || nextLower {
			cut(i)
			start = i
		}
	}
	cut(len(runes))
	return words
}
