package main

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"lockd/client"
)

// termFlags are the flags of what a hold brings beside its mode.
type termFlags struct {
	payload string
	labels  map[string]string
	// maxHold is how long the lock is held at most, minHold and delay for how long it
	// stays taken.
	maxHold, minHold, delay time.Duration
}

func (t *termFlags) declare(flags *flag.FlagSet) {
	flags.StringVar(&t.payload, "payload", "", "`text` for others to read in lockd get, at most "+
		"4096 bytes")
	bounds := span{least: time.Millisecond, most: mostHold, zero: zeroIsNone}
	most := bounds
	most.least, most.to = leastHold, &t.maxHold
	declareSpan(flags, most, "max-hold", 0, "how `long` the lock is held at most, whatever is "+
		"renewed; 100ms to 24h")
	bounds.to = &t.minHold
	declareSpan(flags, bounds, "min-hold", 0, "how `long` the lock stays taken at least, even if it "+
		"is given back earlier: against repeats; at most 24h")
	bounds.to = &t.delay
	declareSpan(flags, bounds, "lock-delay", 0, "how `long` the lock stays taken if it is lost; at "+
		"most 24h")
	flags.Func("label", "`KEY=VALUE` for others to read, also when they are refused; up to 8 times",
		t.addLabel)
}

func (t *termFlags) addLabel(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return fmt.Errorf("%q is not KEY=VALUE", text)
	}
	if t.labels == nil {
		t.labels = make(map[string]string)
	}
	if old, twice := t.labels[key]; twice {
		return fmt.Errorf("label %q is given twice, as %q and as %q", key, old, value)
	}
	t.labels[key] = value
	return nil
}

// options are the options of a lock that the flags ask for.
func (t *termFlags) options() client.LockOptions {
	return client.LockOptions{Payload: []byte(t.payload), Labels: t.labels, MaxHold: t.maxHold,
		MinHold: t.minHold, LockDelay: t.delay}
}
