package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
	"lockd/netio/wire"
)

func getVerb() verb {
	return verb{
		name:  "get",
		args:  "NAME",
		brief: "show who holds a lock and who waits for it",
		help: `
The answer is as of a moment during the call. Of a semaphore it shows the permits
that each has or wants, of a re-entrant lock its owner and how often that has
entered. Labels and payload are what the holder lets others read; -o json has all of
a long one. A latch that has a count and an event that is set stand by themselves.
A value is the lock's own: it outlives its holders, and is doubtful if one who could
have written it was lost. A lock that nobody holds or waits for, and that has no value,
is not known to the cluster: the exit code is 1.`,
		begin: func(flags *flag.FlagSet) action {
			return askAbout(flags, func(sh *shell, c *client.Client, name string, out format) error {
				info, err := c.Get(context.Background(), name)
				if errors.Is(err, client.ErrNotFound) {
					return failf(exitFailure, "lock %q: nobody holds it or waits for it", name)
				}
				if err != nil {
					return clientFailure(err)
				}
				if out == "json" {
					_, err := sh.out.Write(admin.AppendLock(nil, info))
					return err
				}
				return printLock(sh, info)
			})
		},
	}
}

// printLock prints a lock, and its value if it has one.
func printLock(sh *shell, info *client.LockInfo) error {
	if v := &info.Value; len(v.Data) > 0 {
		doubt := ""
		if v.Doubtful {
			doubt = ", doubtful: a holder who could have written it since was lost"
		}
		_, err := fmt.Fprintf(sh.out, "value %q, written with token %d%s\n", v.Data, v.Token, doubt)
		if err != nil {
			return err
		}
		if info.HolderCount+info.WaiterCount == 0 {
			_, err := fmt.Fprintln(sh.out, "nobody holds it or waits for it")
			return err
		}
	}
	return lockTable(info).print(sh)
}

// lockTable has a row for each holder and then for each waiter, in order.
func lockTable(info *client.LockInfo) *table {
	t := &table{header: []string{"STATE", "CLIENT", "MODE", "TOKEN", "FOR", "LEASE LEFT", "SESSION",
		"LABELS", "PAYLOAD"}}
	for i := range info.Holders {
		h := &info.Holders[i]
		if info.Gate != 0 {
			t.add("stands", "-", gateText(info.Gate, info.Number), strconv.FormatUint(h.Token, 10),
				age(h.Held), untilText(h), "-", "", "")
			continue
		}
		state, session := "holds", sessionText(h.Session)
		if h.Kept {
			state, session = "stays taken", "-"
		}
		who := holderCell{client: h.Client, kept: h.Kept, detached: h.Detached}
		t.add(state, who.String(), kindName(h.Mode, &h.ClaimKind), strconv.FormatUint(h.Token, 10),
			age(h.Held), age(h.LeaseLeft), session, labelText(h), payloadText(h))
	}
	for i := range info.Waiters {
		w := &info.Waiters[i]
		kind := kindName(w.Mode, &w.ClaimKind)
		if info.Gate != 0 {
			kind = gateText(info.Gate, info.Number)
		}
		t.add("waits "+strconv.Itoa(i+1), w.Client, kind, "-",
			age(w.Waited), "-", sessionText(w.Session), "", "")
	}
	listed := len(info.Holders) + len(info.Waiters)
	if more := info.HolderCount + info.WaiterCount - listed; more > 0 {
		t.add(fmt.Sprintf("%d more", more), "", "", "", "", "", "", "", "")
	}
	return t
}

// gateText says what a name at which one waits is.
func gateText(k client.GateKind, number int) string {
	switch k {
	case client.GateLatch:
		return fmt.Sprintf("latch, %d to count", number)
	case client.GateBarrier:
		return fmt.Sprintf("barrier of %d", number)
	default:
		return k.String()
	}
}

// holderCell is who holds a lock, in a table. What is kept, detached, or stands of a latch
// or an event has no client.
type holderCell struct {
	client                 string
	kept, detached, stands bool
}

// String returns the cell.
func (h holderCell) String() string {
	switch {
	case h.kept:
		return "nobody (stays taken)"
	case h.stands:
		return "nobody (stands)"
	case h.detached:
		return "detached"
	case h.client == "":
		return "unnamed"
	default:
		return h.client
	}
}

// untilText is how long yet what stands has, if there is an end.
func untilText(h *client.Holder) string {
	if h.LeaseLeft == 0 {
		return "-"
	}
	return age(h.LeaseLeft)
}

func labelText(h *client.Holder) string {
	if h.DataLeftOut {
		return "(left out)"
	}
	return client.LabelText(h.Labels)
}

// payloadText is the beginning of a payload, as much as a table has room for.
func payloadText(h *client.Holder) string {
	const room = 60
	if len(h.Payload) > room {
		return fmt.Sprintf("%s… (%d bytes)", h.Payload[:room], len(h.Payload))
	}
	return string(h.Payload)
}

func sessionText(id uint64) string {
	if id&wire.DetachedOwner != 0 {
		return fmt.Sprintf("detached %d", id) // as --session takes it
	}
	return strconv.FormatUint(id, 10)
}

// kindName says what a hold or a wait is: its permits, or its mode and, of an
// owner, how often it has entered.
func kindName(m client.Mode, k *client.ClaimKind) string {
	switch {
	case k.Permits == 1:
		return "1 permit"
	case k.Permits > 0:
		return fmt.Sprintf("%d permits", k.Permits)
	case k.Owner != 0:
		return fmt.Sprintf("%s, owner %d, %d times", modeName(m), k.Owner, k.Depth)
	default:
		return modeName(m)
	}
}

// modeName is the mode in the words most people know.
func modeName(m client.Mode) string {
	switch m {
	case client.Exclusive:
		return "exclusive"
	case client.Shared:
		return "shared"
	default:
		return m.String()
	}
}

// age rounds a length to what is worth reading.
func age(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
