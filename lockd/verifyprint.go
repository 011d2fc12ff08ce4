package main

import (
	"fmt"
	"strconv"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/verify"
	"lockd/lockd/verify/check"
)

// mostPrinted is how many violations are printed in full.
const mostPrinted = 5

// print says what came of a run.
func (v *verifier) print(sh *shell, r *verify.Report) error {
	if v.out == "json" {
		_, err := sh.out.Write(admin.AppendVerified(nil, verifiedOf(r)))
		return err
	}
	if r.Workers > 0 {
		fmt.Fprintf(sh.out, "load      %d workers of %d clients, %d locks in %d groups below %s, "+
			"lease %s, %s\n", r.Workers, r.Clients, r.Locks, r.Groups, r.Prefix, spanText(r.Lease),
			r.Took.Round(100*time.Millisecond))
	}
	fmt.Fprintf(sh.out, "answers   %d operations, %d definite, %d uncertain; %d refused as busy\n",
		r.Operations, r.Definite, r.Operations-r.Definite, r.Busy)
	if len(r.Faults) > 0 {
		fmt.Fprintln(sh.out)
		if err := faultTable(r.Faults).print(sh); err != nil {
			return err
		}
		fmt.Fprintln(sh.out, "\nlocks were kept from callers, the longest of each group, for")
		if err := gapTable(r.Gaps).print(sh); err != nil {
			return err
		}
		fmt.Fprintln(sh.out)
	}
	for i, x := range r.Verdict.Violations {
		if i == mostPrinted {
			fmt.Fprintf(sh.out, "… and %d more, each of another lock\n", len(r.Verdict.Violations)-i)
			break
		}
		fmt.Fprintf(sh.out, "violation: %s\n", &x)
		if i < len(r.Notes) {
			fmt.Fprintf(sh.out, "  %s\n", r.Notes[i])
		}
	}
	_, err := fmt.Fprintf(sh.out, "verdict   %s (checked in %s)\n", verdictText(r),
		r.Checked.Round(time.Millisecond))
	return err
}

// verdictText is the verdict in one line.
func verdictText(r *verify.Report) string {
	text := fmt.Sprintf("linearizable: %d operations on %d locks, no violation", r.Operations,
		r.Verdict.Names)
	switch n := len(r.Verdict.Violations); {
	case n > 0:
		text = fmt.Sprintf("NOT linearizable: %d of %d locks", n, r.Verdict.Names)
	case r.Unexpected != nil:
		text = "the answers agree, but for one that no caller should get: " + r.Unexpected.Error()
	case len(r.Verdict.Undecided) > 0:
		text = fmt.Sprintf("undecided: %d of %d locks; no violation on the others",
			len(r.Verdict.Undecided), r.Verdict.Names)
	}
	switch {
	case r.Unwell != nil:
		text += "; the cluster did NOT get well: " + r.Unwell.Error()
	case injectedAll(r.Faults):
		text += "; all faults are healed, and the cluster is well"
	}
	if r.Interrupted {
		text += "; ended early"
	}
	return text
}

// injectedAll reports whether there were faults, and nothing went wrong with them.
func injectedAll(all []verify.Injected) bool {
	n := 0
	for _, e := range all {
		if e.Err != nil {
			return false
		}
		if e.Began > 0 {
			n++
		}
	}
	return n > 0
}

func faultTable(all []verify.Injected) *table {
	t := &table{header: []string{"AT", "FAULT", "WHAT", "LASTED", "WELL AFTER"}}
	for _, e := range all {
		if e.Began == 0 {
			continue // nothing was injected
		}
		what := e.What
		if e.Err != nil {
			what += ": " + e.Err.Error()
		}
		t.add(shortText(e.Began), e.Kind, what, shortText(e.Healed-e.Began), shortText(e.Well-e.Healed))
	}
	return t
}

func gapTable(all []verify.Gap) *table {
	t := &table{header: []string{"FAULT", "TIMES", "P50", "P99", "MAX"}}
	for _, g := range all {
		t.add(g.Kind, strconv.Itoa(g.Times), waitText(g.P50), waitText(g.P99), waitText(g.Max))
	}
	return t
}

func shortText(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// verifiedOf is a report as JSON has it.
func verifiedOf(r *verify.Report) *admin.Verified {
	x := &admin.Verified{Linearizable: len(r.Verdict.Violations) == 0 && len(r.Verdict.Undecided) == 0,
		Workers: r.Workers, Clients: r.Clients, Locks: r.Verdict.Names, Prefix: r.Prefix,
		Took: r.Took, Operations: r.Operations, Definite: r.Definite, Busy: r.Busy,
		Undecided: len(r.Verdict.Undecided), Interrupted: r.Interrupted}
	if r.Unwell != nil {
		x.Unwell = r.Unwell.Error()
	}
	if r.Unexpected != nil {
		x.Unexpected = r.Unexpected.Error()
	}
	for _, e := range r.Faults {
		if e.Began == 0 {
			continue
		}
		f := admin.VerifiedFault{Kind: e.Kind, What: e.What, Began: e.Began, Healed: e.Healed,
			Well: e.Well}
		if e.Err != nil {
			f.Err = e.Err.Error()
		}
		x.Faults = append(x.Faults, f)
	}
	for _, g := range r.Gaps {
		x.Gaps = append(x.Gaps, admin.BenchRow{What: g.Kind, Count: g.Times, P50: g.P50, P99: g.P99,
			Max: g.Max})
	}
	for i := range r.Verdict.Violations {
		v := &r.Verdict.Violations[i]
		e := admin.VerifiedViolation{Name: v.Name, Rule: string(v.Rule), Text: v.Text,
			Operation: operationOf(&v.What)}
		if v.Against != nil {
			against := operationOf(v.Against)
			e.Against = &against
		}
		if i < len(r.Notes) {
			e.Note = r.Notes[i]
		}
		x.Violations = append(x.Violations, e)
	}
	return x
}

func operationOf(o *check.Operation) admin.VerifiedOperation {
	x := admin.VerifiedOperation{Text: o.String(), Token: o.Token, Client: o.Client, Worker: o.Worker,
		Call: o.Call, Return: o.Return}
	if o.Return == check.Open {
		x.Return = 0
	}
	return x
}
