package lockfsm

import "fmt"

// Limits bound every table of a machine (I22). They are cluster settings: all
// of them but Seed must be equal on every replica of a group, because they
// decide results. All counts are per group.
type Limits struct {
	// Sessions is how many sessions may live at once, ending ones included.
	Sessions uint32
	// Locks is how many names may be in use (held or waited for) at once.
	Locks uint32
	// Claims is how many holds and waits there may be together, and how many waits
	// at gates and kept answers.
	Claims uint32
	// Detached is how many of the holds may be detached, latches and events that
	// stand included.
	Detached uint32
	// ClaimsPerSession bounds the holds and waits of one session, and with it
	// the work of parking and unparking it.
	ClaimsPerSession uint32
	// WaitersPerLock bounds one queue, and with it the work of one release.
	WaitersPerLock uint32
	// HoldersPerLock is how many claims may hold one lock together; above it a
	// compatible claim waits like an incompatible one. At most 65535.
	HoldersPerLock uint32
	// NameBytes bounds a lock name. At most 512.
	NameBytes uint32
	// SessionNameBytes bounds the name of a session. At most 128.
	SessionNameBytes uint32
	// DataBytes bounds the payloads, labels and other terms of all claims and the values
	// of all locks, each of which counts for 128 bytes beside its data.
	DataBytes uint32
	// LeaseMin and LeaseMax bound the session lease.
	LeaseMin, LeaseMax Millis
	// HoldMin and HoldMax bound the hold time of a detached hold.
	HoldMin, HoldMax Millis
	// AgeStep is how much earlier each unit of weight lets a waiter count as having
	// come: it passes those who came less than that before it, and no others, so that
	// nobody is passed for ever. Zero lets a larger weight pass all smaller ones.
	AgeStep Millis
	// TickCap is how far one tick may move log time: two tick intervals (I20).
	TickCap Millis
	// WorkPerApply bounds what expiry and session ends do in one Apply: one for
	// each session ended, claim released and waiter granted. One claim may
	// overshoot it by the waiters it lets in.
	WorkPerApply uint32
	// Format is the newest format of batches and records that the machine reads:
	// what is newer is ErrTooNew to it. Zero is FormatLatest; less makes it stand
	// for an older binary. It may differ between replicas: it decides whether
	// one carries on, never with which result.
	Format uint8
	// Seed salts the hash tables, so that nobody can choose names that collide.
	// It may differ between replicas: no result depends on it.
	Seed uint64
}

// Bounds that follow from field widths in the tables and formats.
const (
	maxNameBytes        = 512
	maxSessionNameBytes = 128
	maxHoldersPerLock   = 1<<16 - 1
	maxTableEntries     = 1 << 30
	maxAgeStep          = 3_600_000
)

// DefaultLimits returns the limits of a group in production, with Seed zero.
func DefaultLimits() Limits {
	return Limits{
		Sessions:         1 << 17,
		Locks:            1 << 20,
		Claims:           1 << 20,
		Detached:         1 << 18,
		ClaimsPerSession: 1 << 16,
		WaitersPerLock:   10_000,
		HoldersPerLock:   10_000,
		NameBytes:        512,
		SessionNameBytes: 128,
		DataBytes:        512 << 10,
		LeaseMin:         1_000,
		LeaseMax:         3_600_000,
		HoldMin:          100,
		HoldMax:          86_400_000,
		AgeStep:          1_000,
		TickCap:          200,
		WorkPerApply:     4_096,
	}
}

// format returns the newest format to be read.
func (l *Limits) format() uint8 {
	if l.Format == 0 {
		return FormatLatest
	}
	return l.Format
}

func (l *Limits) validate() error {
	counts := []struct {
		name     string
		have     uint32
		min, max uint32
	}{
		{"Sessions", l.Sessions, 1, maxTableEntries},
		{"Locks", l.Locks, 1, maxTableEntries},
		{"Claims", l.Claims, 1, maxTableEntries},
		{"Detached", l.Detached, 0, l.Claims},
		{"ClaimsPerSession", l.ClaimsPerSession, 1, l.Claims},
		{"WaitersPerLock", l.WaitersPerLock, 1, l.Claims},
		{"HoldersPerLock", l.HoldersPerLock, 1, maxHoldersPerLock},
		{"NameBytes", l.NameBytes, 1, maxNameBytes},
		{"SessionNameBytes", l.SessionNameBytes, 1, maxSessionNameBytes},
		{"DataBytes", l.DataBytes, 0, maxTableEntries},
		{"LeaseMin", uint32(l.LeaseMin), 1, uint32(l.LeaseMax)},
		{"HoldMin", uint32(l.HoldMin), 1, uint32(l.HoldMax)},
		{"AgeStep", uint32(l.AgeStep), 0, maxAgeStep},
		{"TickCap", uint32(l.TickCap), 1, uint32(l.LeaseMin)},
		{"WorkPerApply", l.WorkPerApply, 1, maxTableEntries},
		{"Format", uint32(l.Format), 0, FormatLatest},
	}
	for _, c := range counts {
		if c.have < c.min || c.have > c.max {
			return fmt.Errorf("%w: %s is %d, must be %d to %d",
				ErrLimits, c.name, c.have, c.min, c.max)
		}
	}
	return nil
}

// MemoryBytes is the most memory a machine with these limits can need:
//
//	2·Locks    × (entry + table slots + longest name)
//	+ Claims   × (entry and stack + two tables' slots)
//	+ Claims   × (answer + table slots)
//	+ 2·(Sessions+Detached) × (entry + two tables' slots + heap + longest name)
//	+ 2·DataBytes
//	+ (8 + Claims/16) × table slots
//	+ registers at their largest
//
// Locks, sessions and detached holds count twice because one that is gone but
// still stands in the last checkpoint keeps its entry until the next. Table
// slots count at their lowest load, which is that of a small table that has just
// doubled: two of five are full. Data counts twice for what allocators and tables
// round up. Names count an eighth more than they take: they are
// packed when they have come to that. It is a bound, not a forecast: a held lock
// with a name of 24 bytes takes about 135 bytes.
func (l *Limits) MemoryBytes() uint64 {
	const slots = slotBytes * 5 / 2
	locks := 2 * uint64(l.Locks) * (lockBytes + slots)
	claims := uint64(l.Claims) * (claimBytes + stackBytes + answerBytes + 3*slots)
	sessions := 2 * (uint64(l.Sessions) + uint64(l.Detached)) *
		(sessionBytes + 2*slots + heapBytes)
	return locks + claims + sessions + l.nameStoreBytes() + 2*uint64(l.DataBytes) +
		uint64(l.Claims)*slots/16 + 8*slots +
		maxRegisters*(MaxRegisterBytes+maxRegisterNameBytes)
}

// nameStoreBytes is the size of the name store beyond which it is packed before
// anything more is put into it: an eighth above the longest names for all there
// may be, so that each time there is work for as many more.
func (l *Limits) nameStoreBytes() uint64 {
	locks := 2 * uint64(l.Locks) * (uint64(l.NameBytes) + nameUnit)
	sessions := 2 * (uint64(l.Sessions) + uint64(l.Detached)) * (uint64(l.SessionNameBytes) + nameUnit)
	return (locks+sessions)*9/8 + nameChunk*nameUnit
}
