package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// file is a decoded configuration file with its text, for finding lines.
type file struct {
	path  string
	lines []string
	keys  []toml.Key // in the order of the file
	tree  map[string]any
}

// readFile reads and parses a file. A syntax error names its line.
func readFile(path string) (*file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	f := &file{path: path, lines: strings.Split(string(text), "\n")}
	meta, err := toml.Decode(string(text), &f.tree)
	if err != nil {
		var syntax toml.ParseError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s:%d: %s", path, syntax.Position.Line, syntax.Message)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.keys = meta.Keys()
	return f, nil
}

// apply stores the values of the file and reports everything in it that is no
// setting or has an unusable value.
func (f *file) apply(c *Config) []problem {
	all := settings()
	var problems []problem
	told := map[string]bool{}
	for _, key := range f.keys {
		name := strings.Join(key, ".")
		if told[name] || f.isTable(name) {
			continue
		}
		told[name] = true
		i := slices.IndexFunc(all, func(s setting) bool { return s.key == name })
		if i < 0 {
			meant, err := f.unknown(name)
			problems = append(problems, problem{f.lineOf(name), meant, err})
			continue
		}
		text, err := plainText(f.value(key))
		if truth, ok := f.value(key).(bool); ok && all[i].kind == kindChoice {
			text, err = strconv.FormatBool(truth), nil
		}
		if err == nil {
			err = all[i].set(c, text)
		}
		if err != nil {
			problems = append(problems, problem{f.lineOf(name), []string{name},
				fmt.Errorf("%s: %s: %w", f.place(name), name, err)})
		}
	}
	return append(problems, f.applyNodes(c)...)
}

// isTable says whether a key is one of the tables, or inside the list of nodes,
// which applyNodes looks at.
func (f *file) isTable(name string) bool {
	switch name {
	case "cluster", "cluster.limits", "node", "faults", "history", nodesKey,
		nodesKey + ".id", nodesKey + ".peer", nodesKey + ".client":
		return true
	}
	return false
}

// unknown says that a key is no setting, and which it was probably meant to be.
func (f *file) unknown(name string) (meant []string, err error) {
	var known []string
	for _, s := range Settings() {
		known = append(known, s.Key)
	}
	known = append(known, nodesKey+".id", nodesKey+".peer", nodesKey+".client")
	near := Nearest(name, known)
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, k := range known {
		if near == "" && k[strings.LastIndexByte(k, '.')+1:] == last {
			near = k
		}
	}
	if near == "" {
		return nil, fmt.Errorf("%s: unknown key %s; lockd help serve lists all", f.place(name), name)
	}
	return []string{near},
		fmt.Errorf("%s: unknown key %s; did you mean %s?", f.place(name), name, near)
}

// value walks to a key. The value of a key the decoder reported is there.
func (f *file) value(key toml.Key) any {
	var at any = f.tree
	for _, part := range key {
		table, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = table[part]
	}
	return at
}

// plainText writes a scalar as a flag would have it.
func plainText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case map[string]any:
		return "", errors.New("is a table, must be a value")
	case float64:
		return "", fmt.Errorf("%v is not a whole number, and not a text", v)
	default:
		return "", fmt.Errorf("%v is a %T, must be a text or a whole number", v, v)
	}
}

// applyNodes reads the list of nodes.
func (f *file) applyNodes(c *Config) []problem {
	v := f.value(toml.Key{"cluster", "nodes"})
	if v == nil {
		return nil
	}
	var problems []problem
	complain := func(err error) {
		problems = append(problems, problem{f.lineOf(nodesKey), []string{nodesKey},
			fmt.Errorf("%s: %s: %w", f.place(nodesKey), nodesKey, err)})
	}
	list, err := tables(v)
	if err != nil {
		complain(err)
	}
	for _, table := range list {
		n, err := nodeOf(table)
		if err != nil {
			complain(err)
			continue
		}
		c.Nodes = append(c.Nodes, n)
	}
	return problems
}

// tables accepts both ways to write a list of tables.
func tables(v any) ([]map[string]any, error) {
	switch v := v.(type) {
	case []map[string]any:
		return v, nil
	case []any:
		var list []map[string]any
		for _, item := range v {
			table, ok := item.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%v is no table, must be {id = 1, peer = …, client = …}", item)
			}
			list = append(list, table)
		}
		return list, nil
	default:
		return nil, errors.New("must be a list of {id = 1, peer = \"host:port\", client = …}")
	}
}

func nodeOf(table map[string]any) (Node, error) {
	id, ok := table["id"].(int64)
	if !ok {
		return Node{}, errors.New("a node has no id, must be a whole number from 1 to 65535")
	}
	peer, okPeer := table["peer"].(string)
	client, okClient := table["client"].(string)
	if !okPeer || !okClient {
		return Node{}, fmt.Errorf("node %d needs peer and client, each as \"host:port\"", id)
	}
	return newNode(id, peer, client)
}

// place is where a key stands, as file:line.
func (f *file) place(name string) string {
	if line := f.lineOf(name); line > 0 {
		return fmt.Sprintf("%s:%d", f.path, line)
	}
	return f.path
}

// lineOf finds the line of a key: under its own table's header, or, for a key
// inside an inline table, the first line that sets its last part.
func (f *file) lineOf(name string) int {
	table := ""
	last := name[strings.LastIndexByte(name, '.')+1:]
	inline := 0
	for i, line := range f.lines {
		line = strings.TrimSpace(line)
		if header, ok := strings.CutPrefix(line, "["); ok && !strings.Contains(line, "=") {
			header, _, _ = strings.Cut(strings.TrimPrefix(header, "["), "]")
			table = strings.ReplaceAll(header, " ", "") + "."
			if strings.TrimSuffix(table, ".") == name {
				return i + 1
			}
			continue
		}
		key, _, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if table+strings.ReplaceAll(strings.TrimSpace(key), `"`, "") == name {
			return i + 1
		}
		if inline == 0 && setsInside(line, last) {
			inline = i + 1
		}
	}
	return inline
}

// setsInside says whether a line assigns to a key somewhere.
func setsInside(line, key string) bool {
	for {
		i := strings.Index(line, key)
		if i < 0 {
			return false
		}
		before := i == 0 || strings.ContainsRune("{, \t.\"", rune(line[i-1]))
		line = line[i+len(key):]
		if before && strings.HasPrefix(strings.TrimLeft(line, " \t\""), "=") {
			return true
		}
	}
}
