package admin

import (
	"time"

	"github.com/valyala/fastjson"
)

// Verified is what lockd verify has found.
type Verified struct {
	Linearizable                          bool
	Workers, Clients, Locks               int
	Prefix                                string
	Took                                  time.Duration
	Operations, Definite, Busy, Undecided int
	Faults                                []VerifiedFault
	Gaps                                  []BenchRow // Count is how often the fault was injected
	Violations                            []VerifiedViolation
	Unwell, Unexpected                    string // empty if there is nothing
	Interrupted                           bool
}

// VerifiedFault is one fault that was injected, at moments since the load began.
type VerifiedFault struct {
	Kind, What, Err     string
	Began, Healed, Well time.Duration
}

// VerifiedViolation is an operation that no order explains.
type VerifiedViolation struct {
	Name, Rule, Text, Note string
	Operation              VerifiedOperation
	Against                *VerifiedOperation // nil if it contradicts none in particular
}

// VerifiedOperation is one operation, with moments in nanoseconds; a Return of zero
// is none.
type VerifiedOperation struct {
	Text           string
	Token          uint64
	Client, Worker int
	Call, Return   int64
}

// AppendVerified appends what lockd verify has found.
func AppendVerified(dst []byte, v *Verified) []byte {
	o := newObject(new(fastjson.Arena))
	o.truth("linearizable", truth(v.Linearizable))
	o.count("operations", v.Operations)
	o.count("definite", v.Definite)
	o.count("busy", v.Busy)
	o.count("locks", v.Locks)
	o.count("undecided", v.Undecided)
	if v.Workers > 0 {
		o.count("workers", v.Workers)
		o.count("clients", v.Clients)
		o.name("prefix", v.Prefix)
		o.millis("took_ms", v.Took)
		o.truth("interrupted", truth(v.Interrupted))
	}
	if v.Unwell != "" {
		o.text("unwell", v.Unwell)
	}
	if v.Unexpected != "" {
		o.text("unexpected", v.Unexpected)
	}
	o.list("faults", len(v.Faults), func(i int) *fastjson.Value {
		f, x := &v.Faults[i], newObject(o.arena)
		x.text("fault", f.Kind)
		x.text("what", f.What)
		x.millis("began_ms", f.Began)
		x.millis("healed_ms", f.Healed)
		x.millis("well_ms", f.Well)
		if f.Err != "" {
			x.text("error", f.Err)
		}
		return x.value
	})
	o.list("gaps", len(v.Gaps), func(i int) *fastjson.Value {
		g, x := &v.Gaps[i], newObject(o.arena)
		x.text("fault", g.What)
		x.count("times", g.Count)
		x.number("p50_us", uint64(g.P50.Microseconds()))
		x.number("p99_us", uint64(g.P99.Microseconds()))
		x.number("max_us", uint64(g.Max.Microseconds()))
		return x.value
	})
	o.list("violations", len(v.Violations), func(i int) *fastjson.Value {
		return violationValue(o.arena, &v.Violations[i])
	})
	return o.end(dst)
}

func violationValue(a *fastjson.Arena, v *VerifiedViolation) *fastjson.Value {
	o := newObject(a)
	o.name("name", v.Name)
	o.text("rule", v.Rule)
	o.text("text", v.Text)
	if v.Note != "" {
		o.text("note", v.Note)
	}
	o.value.Set("operation", operationValue(a, &v.Operation))
	if v.Against != nil {
		o.value.Set("against", operationValue(a, v.Against))
	}
	return o.value
}

func operationValue(a *fastjson.Arena, x *VerifiedOperation) *fastjson.Value {
	o := newObject(a)
	o.text("text", x.Text)
	o.number("token", x.Token)
	o.count("client", x.Client)
	o.count("worker", x.Worker)
	o.number("call_ns", uint64(x.Call))
	if x.Return != 0 {
		o.number("return_ns", uint64(x.Return))
	}
	return o.value
}
