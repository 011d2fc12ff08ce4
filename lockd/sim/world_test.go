package sim

import (
	"reflect"
	"testing"

	"lockd/lockfsm"
)

// Replicas that differ in any field of what a slot did are told apart (I13).
func TestEveryFieldOfAnOutcomeCounts(t *testing.T) {
	seen := map[uint64]string{hashOutcome(&lockfsm.Outcome{}): "nothing"}
	add := func(what string, out lockfsm.Outcome) {
		h := hashOutcome(&out)
		if other, ok := seen[h]; ok {
			t.Errorf("an outcome with %s counts as one with %s", what, other)
		}
		seen[h] = what
	}
	add("a renewal refused", lockfsm.Outcome{NotRenewed: []lockfsm.SessionID{1}})
	var r lockfsm.Result
	each(t, &r, func(field string) {
		add("result, "+field, lockfsm.Outcome{Results: []lockfsm.Result{r}})
	})
	var e lockfsm.Event
	each(t, &e, func(field string) {
		add("event, "+field, lockfsm.Outcome{Events: []lockfsm.Event{e}})
	})
	var s lockfsm.Step
	each(t, &s, func(field string) {
		add("step, "+field, lockfsm.Outcome{Steps: []lockfsm.Step{s}})
	})
}

// each calls do with one field of a struct set, each in turn, and with none.
func each(t *testing.T, x any, do func(field string)) {
	t.Helper()
	v := reflect.ValueOf(x).Elem()
	do("none")
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.SetBytes([]byte("name"))
		default:
			f.SetUint(1)
		}
		do(v.Type().Field(i).Name)
		f.SetZero()
	}
}
