package lockfsm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// script runs the conversations of testdata/lockfsm. Its verbs:
//
//	machine [limit=n …]       a new machine; limits by field name
//	apply [tick=ms] [renew=ids] [clock=round.node]   one batch; a command per line:
//	                          op key=value … [wait] [detached]
//	value                     applies raw bytes, in hex
//	encode                    as apply, but prints the batch's bytes
//	records                   all records, in hex
//	show                      the whole state
//	restart [format=n]        checkpoint incrementally and load it again, into a
//	                          machine that reads no newer format
type script struct {
	limits Limits
	m      *Machine
	disk   map[string][]byte
	out    Outcome
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "../testdata/lockfsm", func(t *testing.T, path string) {
		s := script{}
		s.machine(t, nil)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "machine":
				return s.machine(t, d.CmdArgs)
			case "apply":
				return s.run(parseBatch(t, d))
			case "encode":
				return fmt.Sprintf("%x\n", parseBatch(t, d))
			case "records":
				return strings.Join(records(s.m), "\n") + "\n"
			case "value":
				return s.value(t, d)
			case "show":
				return dumpMachine(s.m)
			case "restart":
				if d.HasArg("format") {
					d.ScanArgs(t, "format", &s.limits.Format)
				}
				return s.restart(t)
			default:
				d.Fatalf(t, "verb: got %q", d.Cmd)
				return ""
			}
		})
	})
}

func (s *script) machine(t *testing.T, args []datadriven.CmdArg) string {
	l := DefaultLimits()
	l.LeaseMin, l.HoldMin = 1000, 100
	fields := map[string]*uint32{"Sessions": &l.Sessions, "Locks": &l.Locks,
		"Claims": &l.Claims, "Detached": &l.Detached, "ClaimsPerSession": &l.ClaimsPerSession,
		"WaitersPerLock": &l.WaitersPerLock, "HoldersPerLock": &l.HoldersPerLock,
		"NameBytes": &l.NameBytes, "WorkPerApply": &l.WorkPerApply, "DataBytes": &l.DataBytes}
	for _, a := range args {
		if a.Key == "AgeStep" {
			l.AgeStep = Millis(number(t, a.Vals[0]))
			continue
		}
		if a.Key == "Format" {
			l.Format = uint8(number(t, a.Vals[0]))
			continue
		}
		field := fields[a.Key]
		if field == nil {
			t.Fatalf("limit: got %q", a.Key)
		}
		*field = uint32(number(t, a.Vals[0]))
	}
	m, err := New(l)
	if err != nil {
		return err.Error() + "\n"
	}
	s.limits, s.m, s.disk = l, m, map[string][]byte{}
	return "ok\n"
}

func number(t *testing.T, v string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("number: got %v, want no error", err)
	}
	return n
}

func parseBatch(t *testing.T, d *datadriven.TestData) []byte {
	t.Helper()
	var b BatchBuilder
	if d.HasArg("tick") || d.HasArg("renew") {
		var delta int
		var ids []SessionID
		if d.HasArg("tick") {
			d.ScanArgs(t, "tick", &delta)
		}
		for _, a := range d.CmdArgs {
			if a.Key == "renew" {
				for _, v := range a.Vals {
					ids = append(ids, SessionID(number(t, v)))
				}
			}
		}
		b.TickBy(parseClock(t, d), Millis(delta), ids)
	}
	for line := range strings.Lines(d.Input) {
		c := parseCommand(t, strings.Fields(line))
		b.Append(&c)
	}
	return b.Bytes()
}

// parseClock reads the clock of a step, zero if it has no name.
func parseClock(t *testing.T, d *datadriven.TestData) (c Clock) {
	t.Helper()
	if d.HasArg("clock") {
		var text string
		d.ScanArgs(t, "clock", &text)
		round, node, _ := strings.Cut(text, ".")
		c = Clock{Round: number(t, round), Node: uint16(number(t, node))}
	}
	return c
}

func parseCommand(t *testing.T, words []string) Command {
	t.Helper()
	c := Command{Mode: ModeEX, Lease: 1000}
	if strings.Contains(strings.Join(words, " "), "gate=") {
		c.Lease = 0
	}
	for o := OpOpenSession; o < 64; o++ {
		if o.String() == words[0] {
			c.Op = o
		}
	}
	for _, w := range words[1:] {
		key, v, _ := strings.Cut(w, "=")
		if parseTerm(t, &c.Terms, key, v) || c.Op == OpForce && parseForce(&c, key, v) {
			continue
		}
		switch key {
		case "wait":
			c.Flags |= Wait
		case "detect", "detached":
			c.Flags |= map[string]Flags{"detect": Detect, "detached": Detached}[key]
		case "name":
			c.Name = []byte(v)
		case "all": // name:mode,name:mode
			for p := range strings.SplitSeq(v, ",") {
				name, mode, _ := strings.Cut(p, ":")
				c.Parts = c.Parts.AppendPart(Part{Mode: parseMode(t, mode), Name: []byte(name)})
			}
		case "mode":
			c.Mode = parseMode(t, v)
		case "s":
			c.Session = SessionID(number(t, v))
		case "e":
			c.Epoch = Epoch(number(t, v))
		case "r":
			c.Request = RequestID(number(t, v))
		case "of-request":
			c.Target = RequestID(number(t, v))
		case "token":
			c.Token = Token(number(t, v))
		case "permits":
			c.Permits = Permits(number(t, v))
		case "of":
			c.Capacity = Permits(number(t, v))
		case "owner":
			c.Owner = Owner(number(t, v))
		case "gate":
			for k := GateLatch; k < gateEnd; k++ {
				if k.String() == v {
					c.Gate = k
				}
			}
		case "n":
			c.Count = uint32(number(t, v))
		case "done":
			c.Done = RequestID(number(t, v))
		case "w":
			c.Weight = uint8(number(t, v))
		case "lease", "grace":
			c.Lease = Millis(number(t, v))
		case "nonce":
			c.Nonce[0] = byte(number(t, v))
		default:
			t.Fatalf("word: got %q", w)
		}
	}
	return c
}

// parseForce takes a word about a force, and reports whether it is one.
func parseForce(c *Command, key, v string) bool {
	switch key {
	case "who":
		c.Who = []byte(v)
	case "why":
		c.Value = []byte(v)
	default:
		return false
	}
	return true
}

// parseTerm takes a word about terms, and reports whether it is one.
func parseTerm(t *testing.T, x *Terms, key, v string) bool {
	t.Helper()
	switch key {
	case "payload":
		x.Fields, x.Payload = x.Fields|TermPayload, []byte(v)
	case "max-hold":
		x.Fields, x.MaxHold = x.Fields|TermMaxHold, Millis(number(t, v))
	case "min-hold":
		x.Fields, x.MinHold = x.Fields|TermMinHold, Millis(number(t, v))
	case "delay":
		x.Fields, x.Delay = x.Fields|TermDelay, Millis(number(t, v))
	case "value":
		x.Fields, x.Value = x.Fields|TermValue, []byte(v)
	case "for":
		x.Fields, x.Owner = x.Fields|TermOwner, Owner(number(t, v))
	case "labels":
		x.Fields, x.Labels = x.Fields|TermLabels, []byte(v)
	default:
		return false
	}
	return true
}

func parseMode(t *testing.T, v string) Mode {
	t.Helper()
	for m := ModeNL; m < modeCount; m++ {
		if m.String() == v {
			return m
		}
	}
	t.Fatalf("mode: got %q", v)
	return 0
}

func (s *script) value(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(d.Input), " ", ""))
	if err != nil {
		d.Fatalf(t, "hex: got %v, want no error", err)
	}
	return s.run(b)
}

// run applies a batch and prints what it did, one line each.
func (s *script) run(value []byte) string {
	if err := s.m.Apply(s.m.Applied()+1, value, &s.out); err != nil {
		return fmt.Sprintf("%v (applied %d)\n", err, s.m.Applied())
	}
	if err := s.m.Validate(); err != nil {
		return fmt.Sprintf("broken: %v\n", err)
	}
	var b strings.Builder
	for _, r := range s.out.Results {
		fmt.Fprintf(&b, "%v: %v", r.Op, r.Code)
		for _, f := range []struct {
			name  string
			value uint64
		}{{"s", uint64(r.Session)}, {"r", uint64(r.Request)}, {"token", uint64(r.Token)},
			{"waiting", uint64(r.Waiting)}, {"holder", uint64(r.Holder)},
			{"holder-token", uint64(r.HolderToken)}, {"capacity", uint64(r.Capacity)},
			{"part", uint64(r.Part)}, {"left", uint64(r.Left)}, {"gate", uint64(r.Gate)}} {
			if f.value != 0 {
				fmt.Fprintf(&b, " %s=%d", f.name, f.value)
			}
		}
		b.WriteByte('\n')
	}
	for _, e := range s.out.Events {
		fmt.Fprintf(&b, "! %v s=%d", e.Kind, e.Session)
		switch e.Kind {
		case EventSessionEnded:
			b.WriteString([]string{"", " closed", " expired"}[e.Reason])
		case EventWaitEnded, EventBroken:
			fmt.Fprintf(&b, " r=%d name=%s", e.Request, e.Name)
		default:
			fmt.Fprintf(&b, " r=%d token=%d name=%s", e.Request, e.Token, e.Name)
			if e.Reason == ReasonMaxHold {
				b.WriteString(" max-hold")
			}
		}
		b.WriteByte('\n')
	}
	for _, f := range s.out.Forced {
		fmt.Fprintf(&b, "by force: token=%d %v held=%d of %q, by %q: %q\n", f.Token, f.Mode, f.Held,
			f.Client, f.Who, f.Reason)
	}
	for _, x := range s.out.Steps {
		fmt.Fprintf(&b, "circle: s=%d owner=%d waits for %s token=%d\n", x.Session, x.Owner, x.Name,
			x.Token)
	}
	for _, id := range s.out.NotRenewed {
		fmt.Fprintf(&b, "! not renewed s=%d\n", id)
	}
	if s.m.Pending() {
		b.WriteString("pending\n")
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// restart stores what changed, loads it into a new machine, and goes on there.
func (s *script) restart(t *testing.T) string {
	t.Helper()
	puts, deletes := 0, 0
	s.m.Dirty(func(key, value []byte) {
		if value == nil {
			delete(s.disk, string(key))
			deletes++
			return
		}
		s.disk[string(key)] = bytes.Clone(value)
		puts++
	})
	want := s.m.Digest()
	m, err := New(s.limits)
	if err != nil {
		t.Fatalf("new: got %v, want no error", err)
	}
	for _, k := range slices.Sorted(maps.Keys(s.disk)) {
		if err := m.Load([]byte(k), s.disk[k]); err != nil {
			return fmt.Sprintf("%v\n", err)
		}
	}
	if err := m.Loaded(); err != nil {
		t.Fatalf("loaded: got %v, want no error", err)
	}
	if got := m.Digest(); got != want {
		t.Fatalf("digest: got %x, want %x", got, want)
	}
	s.m = m
	return fmt.Sprintf("%d records written, %d deleted\n", puts, deletes)
}
