package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockd/client"
	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/paxos"
)

// document is the page that says what fields there are.
const document = "../doc/json.md"

// documented is one row of the page.
type documented struct{ section, field, kind, when string }

var documentRow = regexp.MustCompile("^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\| [^|]+ \\|$")

// documentedFields reads the page: the rows of each section, by field.
func documentedFields(t *testing.T) map[string]map[string]documented {
	t.Helper()
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	all, section := map[string]map[string]documented{}, ""
	for i, line := range strings.Split(string(b), "\n") {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section, all[title] = title, map[string]documented{}
			continue
		}
		if section == "" || !strings.HasPrefix(line, "| `") {
			continue
		}
		m := documentRow.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%s:%d: got %q, want field, type, when and meaning", document, i+1, line)
		}
		if _, twice := all[section][m[1]]; twice {
			t.Errorf("%s:%d: %s stands there twice", document, i+1, m[1])
		}
		all[section][m[1]] = documented{section, m[1], m[2], m[3]}
	}
	return all
}

// jsonFields are the fields of one object and of all below it, by the name that the page
// gives them. The labels of a hold are one field: users name what is below it.
func jsonFields(t *testing.T, b []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var root map[string]any
	if err := d.Decode(&root); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	all := map[string]any{}
	var walk func(prefix string, x map[string]any)
	walk = func(prefix string, x map[string]any) {
		for key, v := range x {
			switch v := v.(type) {
			case []any:
				all[prefix+key+"[]"] = v
				for _, e := range v {
					walk(prefix+key+"[].", e.(map[string]any))
				}
			case map[string]any:
				if key == "labels" {
					all[prefix+key] = v
				} else {
					walk(prefix+key+".", v)
				}
			default:
				all[prefix+key] = v
			}
		}
	}
	walk("", root)
	return all
}

// fits reports whether a value is of a type of the page.
func fits(kind string, v any) bool {
	switch v := v.(type) {
	case json.Number:
		whole := !strings.ContainsAny(string(v), "-.e")
		return whole && (kind == "number" || kind == "ms" || kind == "us")
	case bool:
		return kind == "truth"
	case string:
		_, err := time.Parse(time.RFC3339Nano, v)
		return kind == "text" || kind == "bytes" || kind == "time" && err == nil
	case []any:
		return kind == "list"
	case map[string]any:
		return kind == "object of texts"
	default:
		return v == nil && kind == "bytes" // nobody
	}
}

// TestDocumentedJSON proves that the page has every field that is printed, and no other;
// says of each rightly whether it is always there; and gives its type. The samples of a
// section have between them all that there can be, and one that has as little as there
// can be; every list of a sample has one entry.
func TestDocumentedJSON(t *testing.T) {
	page, samples := documentedFields(t), jsonSamples()
	for section, rows := range page {
		if len(samples[section]) == 0 {
			t.Errorf("section %s: no sample", section)
		}
		var seen []map[string]any
		for _, b := range samples[section] {
			seen = append(seen, jsonFields(t, b))
		}
		for _, fields := range seen {
			for field, v := range fields {
				row, known := rows[field]
				if plain, cut := strings.CutSuffix(field, "_base64"); !known && cut {
					known = rows[plain].kind == "bytes"
					row.kind = "text"
				}
				if !known {
					t.Errorf("section %s: does not name %s", section, field)
				} else if !fits(row.kind, v) {
					t.Errorf("section %s: %s is %v, which is no %s", section, field, v, row.kind)
				}
			}
		}
		for field, row := range rows {
			checkWhen(t, seen, row)
			if row.kind == "bytes" && !hasField(seen, field+"_base64") {
				t.Errorf("section %s: no sample has %s_base64", section, field)
			}
		}
	}
	for section := range samples {
		if page[section] == nil {
			t.Errorf("there is no section %s", section)
		}
	}
}

// checkWhen checks that a field is there always or not, as the page says.
func checkWhen(t *testing.T, seen []map[string]any, row documented) {
	t.Helper()
	if !hasField(seen, row.field) {
		t.Errorf("section %s: %s is never there", row.section, row.field)
		return
	}
	always := true
	for _, fields := range seen {
		at := strings.LastIndex(row.field, "[].")
		if _, there := fields[row.field]; !there && (at < 0 || hasEntry(fields, row.field[:at+2])) {
			always = false
		}
	}
	if always != (row.when == "always") {
		t.Errorf("section %s: %s: got always there %v, documented %q", row.section, row.field, always,
			row.when)
	}
}

func hasField(seen []map[string]any, field string) bool {
	for _, fields := range seen {
		if _, there := fields[field]; there {
			return true
		}
	}
	return false
}

// hasEntry reports whether a list has entries.
func hasEntry(fields map[string]any, list string) bool {
	v, _ := fields[list].([]any)
	return len(v) > 0
}

// jsonSamples are objects of each section.
func jsonSamples() map[string][][]byte {
	all := clusterSamples()
	const odd = "\xff"
	owner := client.ClaimKind{Owner: 1 << 63, Depth: 2}
	full := client.LockInfo{Name: odd, HolderCount: 1, WaiterCount: 1, Capacity: 8, Taken: 6,
		Gate: client.GateLatch, Number: 3, Value: client.LockValue{Data: []byte(odd), Token: 7},
		Holders: []client.Holder{{Client: odd, Payload: []byte(odd), Labels: map[string]string{odd: odd},
			DataLeftOut: true, Kept: true, Detached: true, ClaimKind: owner}},
		Waiters: []client.Waiter{{Client: odd, ClaimKind: owner}}}
	permits := client.LockInfo{Name: "a", Capacity: 8,
		Holders: []client.Holder{{ClaimKind: client.ClaimKind{Permits: 6, Depth: 1}}},
		Waiters: []client.Waiter{{ClaimKind: client.ClaimKind{Permits: 6, Depth: 1}}}}
	bare := client.LockInfo{Name: "a", Holders: make([]client.Holder, 1),
		Waiters: make([]client.Waiter, 1)}
	for _, x := range []*client.LockInfo{&full, &permits, &bare} {
		all["lock"] = append(all["lock"], AppendLock(nil, x))
	}
	all["why"] = [][]byte{
		withoutLock(AppendWhy(nil, &client.WhyInfo{Samples: 1, Estimate: time.Second})),
		withoutLock(AppendWhy(nil, &client.WhyInfo{Estimate: -1}))}
	all["list"] = [][]byte{
		AppendList(nil, []client.ListEntry{{Name: odd, Client: odd, Capacity: 8, Gate: 1, Number: 1,
			Kept: true, Detached: true}}, 1),
		AppendList(nil, []client.ListEntry{{Name: "a"}}, 2)}
	all["event"] = [][]byte{
		AppendEvent(nil, &client.WatchEvent{Name: odd, Client: odd, Holders: 1, Capacity: 8, Kept: true,
			Detached: true, Stands: true}, time.Now()),
		AppendEvent(nil, &client.WatchEvent{Name: "a"}, time.Now())}
	all["history"] = historySamples()
	all["top"] = [][]byte{AppendTop(nil, []client.TopEntry{{Name: odd}}),
		AppendTop(nil, []client.TopEntry{{Name: "a", Usual: -1}})}
	all["hold"] = [][]byte{AppendHold(nil, client.DetachedHold{Name: odd}, time.Now())}
	all["leader"] = [][]byte{AppendLeader(nil, &client.Leader{}, time.Now()),
		AppendLeader(nil, &client.Leader{Client: odd, Token: 7, Value: []byte(odd)}, time.Now())}
	all["left"] = [][]byte{AppendGate(nil, odd, "left", 2)}
	all["round"] = [][]byte{AppendGate(nil, odd, "round", 7)}
	all["value"] = [][]byte{AppendValue(nil, &full)}
	all["token"] = [][]byte{AppendToken(nil, odd, 7, &client.TokenState{Newest: 8})}
	for section, samples := range settledSamples() {
		all[section] = samples
	}
	for section, samples := range dumpedSamples() {
		all[section] = samples
	}
	all["version"] = [][]byte{AppendVersion(nil, &Version{Build: "v"})}
	all["bench"] = [][]byte{AppendBench(nil, 8, time.Second,
		[]BenchRow{{What: "lock"}, {What: "unlock"}, {What: "pair"}})}
	violated := func(v VerifiedViolation) []byte {
		return AppendVerified(nil, &Verified{Faults: make([]VerifiedFault, 1),
			Violations: []VerifiedViolation{v}})
	}
	all["verified"] = [][]byte{AppendVerified(nil, &Verified{}), violated(VerifiedViolation{}),
		AppendVerified(nil, &Verified{Workers: 1, Prefix: odd, Unwell: "x", Unexpected: "x",
			Gaps: make([]BenchRow, 1), Faults: []VerifiedFault{{Err: "x"}}}),
		violated(VerifiedViolation{Name: odd, Note: "x", Operation: VerifiedOperation{Return: 1},
			Against: new(VerifiedOperation)}),
		violated(VerifiedViolation{Against: &VerifiedOperation{Return: 1}})}
	return all
}

// historySamples are those of a history: one with all there can be in a hold that ended,
// one that stands, and one of which nothing is known.
func historySamples() [][]byte {
	const odd = "\xff"
	now := time.Now()
	bad := errors.New("down")
	past := client.PastHold{Client: odd, Mode: client.Shared, Permits: 2, Owner: 7, Detached: true,
		Start: now, End: now, StartAbout: -1, EndAbout: client.About(time.Second), Moved: true,
		Stays: true}
	other := past
	past.How, past.To = client.EndConverted, client.Exclusive
	other.How, other.Who, other.Reason = client.EndForced, odd, odd
	other.StartAbout, other.EndAbout = other.EndAbout, -1
	all := [][]byte{AppendHistory(nil, &client.History{Name: "a"})}
	for _, p := range []client.PastHold{past, other, {Client: "b", Kept: true, Start: now}} {
		all = append(all, AppendHistory(nil, &client.History{Name: odd, Holds: []client.PastHold{p},
			More: true, Since: now, Unknown: []client.Period{{From: now, To: now}},
			Silent: []client.NodeError{{Node: 3, Err: bad}}, Current: bad}))
	}
	return append(all, AppendHistory(nil, &client.History{Name: "a",
		Unknown: []client.Period{{To: now}}}))
}

// clusterSamples are those about nodes.
func clusterSamples() map[string][][]byte {
	born := picture()
	born.Draining = true // and so not ready
	born.Record = &placement.Record{Nodes: []placement.Node{{ID: 1, Peer: "a:1", Client: "a:2"}},
		Homes: [][]paxos.NodeID{{1}}}
	bound := picture()
	bound.Record = &placement.Record{Nodes: make([]placement.Node, 1)}
	return map[string][][]byte{
		"cluster": {
			AppendCluster(nil, []client.NodeStatus{{Groups: make([]client.GroupStatus, 1)}}),
			AppendCluster(nil, []client.NodeStatus{{Err: errors.New("down")}})},
		"status": {appendNode(nil, born, takesFaults()), appendNode(nil, bound, &Options{Build: "v"}),
			appendNode(nil, &node.Status{}, &Options{Build: "v"})},
		"fault": {appendFault(nil, Fault{Kind: FaultCut, For: time.Second}),
			appendFault(nil, Fault{Kind: "heal"})},
		"changed": {AppendChanged(nil, "", &placement.Change{Kind: placement.Add}),
			AppendChanged(nil, "c", &placement.Change{Kind: placement.Move})},
		"drain": {AppendDraining(nil, node.DrainAside, nil),
			AppendDraining(nil, node.NotDraining, &Progress{Cluster: "c", Node: 1})},
		"error": {appendError(nil, "no")},
	}
}

// takesFaults are the options of a node that does a fault to itself.
func takesFaults() *Options {
	return &Options{Build: "v", Faults: &Faults{Active: func() (Fault, time.Duration) {
		return Fault{Kind: FaultCut}, time.Second
	}}}
}

// withoutLock leaves out what a why has of the lock.
func withoutLock(b []byte) []byte {
	var x map[string]any
	if err := json.Unmarshal(b, &x); err != nil {
		panic(fmt.Sprintf("%v in %s", err, b))
	}
	for _, key := range []string{"name", "holders", "waiters", "held_by", "queue"} {
		if _, there := x[key]; !there {
			panic("no " + key)
		}
		delete(x, key)
	}
	b, err := json.Marshal(x)
	if err != nil {
		panic(err)
	}
	return b
}
