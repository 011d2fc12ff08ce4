package check

import (
	"strings"
	"testing"
)

// In the histories below an operation is written as who, from when to when, and what.

func at(client int, call, back int64, o Operation) Operation {
	o.Client, o.Call, o.Return, o.Name = client, call, back, "n"
	if back == Open {
		o.Outcome = Uncertain
	}
	return o
}

func lock(client int, call, back int64, token uint64) Operation {
	return at(client, call, back, Operation{Kind: Acquire, Waits: Queues, Token: token, Outcome: Done})
}

func refused(client int, call, back int64, token uint64) Operation {
	return at(client, call, back, Operation{Kind: Acquire, Token: token, Outcome: Refused})
}

func unheard(client int, call int64) Operation {
	return at(client, call, Open, Operation{Kind: Acquire, Waits: Queues})
}

func unlock(client int, call, back int64, token uint64) Operation {
	return at(client, call, back, Operation{Kind: Release, Token: token, Outcome: Done})
}

func force(client int, call, back int64, token uint64) Operation {
	return at(client, call, back, Operation{Kind: Force, Token: token, Outcome: Done})
}

func loss(call int64, token uint64) Operation {
	return at(0, call, Open, Operation{Kind: Loss, Token: token})
}

func get(client int, call, back int64, tokens ...uint64) Operation {
	o := Operation{Kind: Get, Outcome: Done}
	for _, token := range tokens {
		o.Holders = append(o.Holders, Holder{Token: token})
	}
	return at(client, call, back, o)
}

func test(client int, call, back int64, token uint64, current bool, newest uint64) Operation {
	return at(client, call, back,
		Operation{Kind: Test, Token: token, Current: current, Newest: newest, Outcome: Done})
}

func write(client int, call, back int64, token uint64, value string) Operation {
	return at(client, call, back, Operation{Kind: Write, Token: token, Value: value, Outcome: Done})
}

func reads(o Operation, value string, token uint64) Operation {
	o.Reads = &Value{Data: value, Token: token}
	return o
}

func convert(client int, call, back int64, token uint64, was, to Mode, newest uint64) Operation {
	return at(client, call, back, Operation{Kind: Convert, Waits: Queues, Token: token, Was: was,
		Mode: to, Newest: newest, Outcome: Done})
}

func in(mode Mode, o Operation) Operation {
	o.Mode = mode
	for i := range o.Holders {
		o.Holders[i].Mode = mode
	}
	return o
}

func permits(n uint32, o Operation) Operation {
	o.Permits, o.Capacity = n, 3
	return o
}

func owned(owner uint64, o Operation) Operation {
	o.Owner = owner
	return o
}

// TestRules has for every rule histories that keep it and histories that break it: the
// violation is found, and laid to that rule.
func TestRules(t *testing.T) {
	for _, row := range []struct {
		what string
		rule Rule // that is broken; none if it may happen
		all  []Operation
	}{
		{"in turn", "", []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5), lock(2, 4, 5, 8)}},
		{"handed over", "", []Operation{lock(1, 0, 1, 5), lock(2, 0, 9, 8), unlock(1, 2, 10, 5)}},
		{"two holders", RuleExclusion, []Operation{lock(1, 0, 1, 5), lock(2, 2, 3, 8),
			unlock(1, 4, 5, 5)}},
		{"two holders, nobody gives back", RuleExclusion, []Operation{lock(1, 0, 1, 5),
			lock(2, 2, 3, 8)}},
		{"lost, and not before the promise", "", []Operation{lock(1, 0, 1, 5), loss(10, 5),
			lock(2, 2, 11, 8)}},
		{"lost too early", RuleExclusion, []Operation{lock(1, 0, 1, 5), loss(10, 5), lock(2, 2, 9, 8)}},
		{"lost and held again", RuleRelease, []Operation{lock(1, 0, 1, 5), loss(10, 5),
			lock(2, 11, 12, 8), unlock(1, 13, 14, 5)}},
		{"readers", "", []Operation{in(Shared, lock(1, 0, 1, 5)), in(Shared, lock(2, 2, 3, 8)),
			unlock(1, 4, 5, 5), unlock(2, 4, 5, 8), lock(3, 6, 7, 9)}},
		{"reader and writer", RuleExclusion, []Operation{in(Shared, lock(1, 0, 1, 5)),
			lock(2, 2, 3, 8)}},
		{"too many permits", RuleExclusion, []Operation{permits(2, lock(1, 0, 1, 5)),
			permits(2, lock(2, 2, 3, 8))}},
		{"all permits", "", []Operation{permits(2, lock(1, 0, 1, 5)), permits(1, lock(2, 2, 3, 8))}},
		{"token twice", RuleToken, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5), lock(2, 4, 5, 5)}},
		{"token goes back", RuleToken, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			lock(2, 4, 5, 4)}},
		{"tokens cross", "", []Operation{lock(1, 0, 9, 5), unlock(1, 10, 11, 5), lock(2, 0, 12, 8)}},
		{"token of nobody", RuleToken, []Operation{lock(1, 0, 1, 5), get(2, 2, 3, 7)}},
		{"token of one unheard", "", []Operation{unheard(1, 0), get(2, 2, 3, 7), lock(3, 4, 5, 9)}},
		{"token of one asked anew", "", []Operation{at(1, 0, 4, Operation{Kind: Acquire, Token: 9,
			Again: 1, Outcome: Done}), get(2, 2, 3, 7)}},
		{"unheard beside a holder", RuleExclusion, []Operation{unheard(1, 0), lock(3, 0, 1, 5),
			refused(2, 2, 3, 7), unlock(3, 4, 5, 5)}},
		{"entered again", "", []Operation{owned(7, lock(1, 0, 1, 5)), owned(7, lock(1, 2, 3, 5)),
			owned(7, unlock(1, 4, 5, 5)), refused(2, 6, 7, 5), owned(7, unlock(1, 8, 9, 5)),
			lock(2, 10, 11, 8)}},
		{"left too early", RuleExclusion, []Operation{owned(7, lock(1, 0, 1, 5)),
			owned(7, lock(1, 2, 3, 5)), owned(7, unlock(1, 4, 5, 5)), lock(2, 6, 7, 8),
			owned(7, unlock(1, 8, 9, 5))}},
		{"given back twice", RuleRelease, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			unlock(1, 4, 5, 5)}},
		{"given back without an answer", "", []Operation{lock(1, 0, 1, 5), unlock(1, 2, Open, 5),
			lock(2, 3, 4, 8)}},
		{"given back later", RuleExclusion, []Operation{lock(1, 0, 1, 5), lock(2, 2, 3, 8),
			unlock(1, 4, Open, 5)}},
		{"forced", "", []Operation{lock(1, 0, 1, 5), force(2, 2, 3, 5), lock(3, 4, 5, 8)}},
		{"forced once all was entered", "", []Operation{owned(7, lock(1, 0, 1, 5)),
			owned(7, lock(1, 2, 3, 5)), force(2, 4, 5, 5), lock(3, 6, 7, 8)}},
		{"forced, and over before", "", []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			force(2, 4, 5, 5), lock(3, 6, 7, 8)}},
		{"forced later", RuleExclusion, []Operation{lock(1, 0, 1, 5), lock(3, 2, 3, 8),
			force(2, 4, 5, 5)}},
		{"forced and still held", RuleGet, []Operation{lock(1, 0, 1, 5), force(2, 2, 3, 5),
			get(3, 4, 5, 5)}},
		{"forced and given back", RuleRelease, []Operation{lock(1, 0, 1, 5), force(2, 2, 3, 5),
			unlock(1, 4, 5, 5)}},
		{"another one forced", RuleExclusion, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			lock(1, 4, 5, 8), force(2, 6, 7, 5), lock(3, 8, 9, 11)}},
		{"forced without an answer", "", []Operation{lock(1, 0, 1, 5), force(2, 2, Open, 5),
			get(3, 4, 5, 5), lock(3, 6, 7, 8)}},
		{"refused", "", []Operation{lock(1, 0, 1, 5), refused(2, 2, 3, 5)}},
		{"refused by nobody", RuleRefusal, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			refused(2, 4, 5, 5)}},
		{"refused by a reader", RuleRefusal, []Operation{in(Shared, lock(1, 0, 1, 5)),
			in(Shared, refused(2, 2, 3, 5))}},
		{"refused because one waits", "", []Operation{in(Shared, lock(1, 0, 1, 5)),
			lock(3, 1, 9, 8), in(Shared, refused(2, 2, 3, 5)), unlock(1, 4, 5, 5)}},
		{"refused what it has", RuleRefusal, []Operation{owned(7, lock(1, 0, 1, 5)),
			owned(7, refused(1, 2, 3, 5))}},
		{"refused because of one nobody heard of", "", []Operation{permits(2, unheard(1, 0)),
			permits(2, lock(3, 1, 2, 5)), permits(1, refused(2, 3, 4, 5))}},
		{"gets", "", []Operation{get(2, 0, 1), lock(1, 2, 3, 5), get(2, 4, 5, 5)}},
		{"get is late", RuleGet, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5), get(2, 4, 5, 5)}},
		{"get misses the holder", RuleGet, []Operation{lock(1, 0, 1, 5), get(2, 2, 3)}},
		{"gets go back", RuleGet, []Operation{lock(1, 0, 9, 5), get(2, 1, 2, 5), get(2, 3, 4)}},
		{"get misses a reader", RuleGet, []Operation{in(Shared, lock(1, 0, 1, 5)),
			in(Shared, lock(2, 2, 3, 6)), in(Shared, get(3, 4, 5, 6))}},
		{"get in another mode", RuleGet, []Operation{lock(1, 0, 1, 5), in(Shared, get(2, 2, 3, 5))}},
		{"tests", "", []Operation{lock(1, 0, 1, 5), test(2, 2, 3, 5, true, 5), unlock(1, 4, 5, 5),
			test(2, 6, 7, 5, false, 0)}},
		{"test is late", RuleTest, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			test(2, 4, 5, 5, true, 5)}},
		{"test knows a smaller one", RuleTest, []Operation{in(Shared, lock(1, 0, 1, 5)),
			in(Shared, lock(2, 2, 3, 6)), test(3, 4, 5, 5, true, 5)}},
		{"value", "", []Operation{reads(lock(1, 0, 1, 5), "", 0), write(1, 2, 3, 5, "a"),
			reads(get(2, 4, 5, 5), "a", 5), unlock(1, 6, 7, 5), reads(lock(2, 8, 9, 6), "a", 5)}},
		{"value is old", RuleValue, []Operation{lock(1, 0, 1, 5), write(1, 2, 3, 5, "a"),
			write(1, 4, 5, 5, "b"), unlock(1, 6, 7, 5), reads(lock(2, 8, 9, 6), "a", 5)}},
		{"value is gone", RuleValue, []Operation{lock(1, 0, 1, 5), write(1, 2, 3, 5, "a"),
			reads(get(2, 4, 5, 5), "", 0)}},
		{"value of who does not hold", RuleValue, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			write(1, 4, 5, 5, "a")}},
		{"value without an answer", "", []Operation{lock(1, 0, 1, 5), write(1, 2, Open, 5, "a"),
			unlock(1, 6, 7, 5), reads(get(2, 8, 9), "a", 5), reads(get(2, 10, 11), "a", 5)}},
		{"converted", "", []Operation{in(Shared, lock(1, 0, 1, 5)),
			convert(1, 2, 3, 5, Shared, Exclusive, 8),
			get(2, 4, 5, 8), unlock(1, 6, 7, 8), lock(2, 8, 9, 9)}},
		{"converted once others are gone", "", []Operation{in(Shared, lock(1, 0, 1, 5)),
			in(Shared, lock(2, 0, 1, 6)), convert(1, 2, 9, 5, Shared, Exclusive, 8), unlock(2, 7, 10, 6)}},
		{"converted beside a reader", RuleExclusion, []Operation{in(Shared, lock(1, 0, 1, 5)),
			in(Shared, lock(2, 0, 1, 6)), convert(1, 2, 5, 5, Shared, Exclusive, 8), unlock(2, 7, 10, 6)}},
		{"two converted", RuleExclusion, []Operation{in(Shared, lock(1, 0, 1, 5)),
			in(Shared, lock(2, 0, 1, 6)), convert(1, 2, 5, 5, Shared, Exclusive, 9),
			convert(2, 2, 5, 6, Shared, Exclusive, 8)}},
		{"reader beside what was converted", RuleExclusion, []Operation{in(Shared, lock(1, 0, 1, 5)),
			convert(1, 2, 3, 5, Shared, Update, 8), in(Shared, lock(2, 4, 5, 9))}},
		{"converted to less", "", []Operation{lock(1, 0, 1, 5), convert(1, 2, 9, 5, Exclusive, Shared, 5),
			in(Shared, lock(2, 3, 4, 8)), unlock(1, 10, 11, 5)}},
		{"reader before it was converted", RuleExclusion, []Operation{lock(1, 0, 1, 5),
			in(Shared, lock(2, 2, 3, 8)), convert(1, 4, 5, 5, Exclusive, Shared, 5)}},
		{"refused by what it was", RuleRefusal, []Operation{lock(1, 0, 1, 5),
			convert(1, 2, 3, 5, Exclusive, Shared, 5), in(Shared, refused(2, 4, 5, 5))}},
		{"refused because one waits to convert", "", []Operation{in(Shared, lock(1, 0, 1, 5)),
			in(Shared, lock(2, 0, 1, 6)), convert(1, 2, 9, 5, Shared, Exclusive, 8),
			in(Shared, refused(3, 4, 5, 5)), unlock(2, 7, 8, 6)}},
		{"shown in the mode it had", RuleGet, []Operation{in(Shared, lock(1, 0, 1, 5)),
			convert(1, 2, 3, 5, Shared, Exclusive, 8), in(Shared, get(2, 4, 5, 8))}},
		{"old token after a conversion", RuleTest, []Operation{in(Shared, lock(1, 0, 1, 5)),
			convert(1, 2, 3, 5, Shared, Exclusive, 8), test(2, 4, 5, 5, true, 8)}},
		{"stronger with the same token", RuleToken, []Operation{in(Shared, lock(1, 0, 1, 5)),
			convert(1, 2, 3, 5, Shared, Exclusive, 5)}},
		{"converted after it was given back", RuleConvert, []Operation{in(Shared, lock(1, 0, 1, 5)),
			unlock(1, 2, 3, 5), convert(1, 4, 5, 5, Shared, Exclusive, 8)}},
		{"given back with the old token", RuleRelease, []Operation{in(Shared, lock(1, 0, 1, 5)),
			convert(1, 2, 3, 5, Shared, Exclusive, 8), unlock(1, 4, 5, 5)}},
		{"converted without an answer", "", []Operation{in(Shared, lock(1, 0, 1, 5)),
			convert(1, 2, Open, 5, Shared, Exclusive, 0), get(2, 4, 5, 8), in(Shared, get(2, 6, 7, 8)),
			in(Shared, lock(3, 8, 9, 9))}},
		{"value comes after its hold", RuleValue, []Operation{lock(1, 0, 1, 5),
			write(1, 2, Open, 5, "a"), unlock(1, 6, 7, 5), reads(get(2, 8, 9), "", 0),
			reads(get(2, 10, 11), "a", 5)}},
	} {
		t.Run(strings.ReplaceAll(row.what, " ", "_"), func(t *testing.T) {
			r := Check(row.all)
			switch {
			case row.rule == "" && len(r.Violations) > 0:
				t.Errorf("got %s, want none", &r.Violations[0])
			case row.rule != "" && (len(r.Violations) != 1 || r.Violations[0].Rule != row.rule):
				t.Errorf("got %v, want one of %s", r.Violations, row.rule)
			case len(r.Undecided) > 0:
				t.Errorf("got undecided %v, want none", r.Undecided)
			}
		})
	}
}

// TestUndecided: what has too much under way at a time is said to be open, not right.
func TestUndecided(t *testing.T) {
	all := []Operation{}
	for i := range int64(maxUnderWay + 1) {
		all = append(all, in(Shared, lock(int(i), i, 10000+i, uint64(i+1))))
	}
	if r := Check(all); len(r.Undecided) != 1 || len(r.Violations) > 0 {
		t.Errorf("got %v undecided, %v, want one undecided", r.Undecided, r.Violations)
	}
}

// TestViolationNamesBoth: who reads a violation finds both operations in it.
func TestViolationNamesBoth(t *testing.T) {
	r := Check([]Operation{lock(1, 0, 1e9, 5), lock(2, 2e9, 3e9, 8), unlock(1, 4e9, 5e9, 5)})
	if len(r.Violations) != 1 {
		t.Fatalf("got %v, want one violation", r.Violations)
	}
	want := `exclusion of "n": token 8 was granted while token 5 was held
  [2.000000, 3.000000] client 2 worker 0: lock "n" EX: granted with token 8
  [0.000000, 1.000000] client 1 worker 0: lock "n" EX: granted with token 5`
	if got := r.Violations[0].String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
