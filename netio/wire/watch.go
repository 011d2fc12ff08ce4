package wire

import (
	"encoding/binary"
	"strconv"
)

// Scope says what a Watch is about.
type Scope uint8

// The scopes; append-only.
const (
	ScopeLock   Scope = 0 // the lock of that name
	ScopePrefix Scope = 1 // all locks of the group whose names begin so
	ScopeWaiter Scope = 2 // what one request in the queue of that lock waits for

	scopeEnd = 3
)

// Watch asks to be told of what becomes of a lock, or of many, until an Unwatch
// names it. Its Response comes at its end.
type Watch struct {
	From    uint64 // slot up to which the client knows the state; zero is nothing
	Session uint64 // with ScopeWaiter, of the request that waits
	Target  uint64 // with ScopeWaiter, that request
	Scope   Scope
	Name    []byte // or prefix; borrowed when decoded
}

// AppendWatch appends a whole Watch frame.
func AppendWatch(dst []byte, h Header, x *Watch) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindWatch, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.From)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Target)
	dst = append(dst, byte(x.Scope), 0)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeWatch decodes the body of a Watch.
func DecodeWatch(body []byte) (Watch, error) {
	c := cursor{b: body}
	x := Watch{From: c.u64(), Session: c.u64(), Target: c.u64(), Scope: Scope(c.u8())}
	c.zero(1)
	if x.Scope >= scopeEnd {
		c.fail(ErrField)
	}
	x.Name = c.text(MaxNameBytes)
	return x, c.end("Watch")
}

// Unwatch ends a Watch of the same group on the same conn, which is answered
// with StatusCancelled.
type Unwatch struct {
	Target uint64 // the request id of the Watch
}

// AppendUnwatch appends a whole Unwatch frame.
func AppendUnwatch(dst []byte, h Header, x *Unwatch) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindUnwatch, h)
	return finish(binary.LittleEndian.AppendUint64(dst, x.Target), start)
}

// DecodeUnwatch decodes the body of an Unwatch.
func DecodeUnwatch(body []byte) (Unwatch, error) {
	c := cursor{b: body}
	x := Unwatch{Target: c.u64()}
	return x, c.end("Unwatch")
}

// Seen says how many pushes of watches a client has taken on this conn so far. It
// is answered only if it finds no room, with StatusBusy, and is then to be sent
// again.
type Seen struct {
	Total uint64
}

// AppendSeen appends a whole Seen frame.
func AppendSeen(dst []byte, h Header, x *Seen) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindSeen, h)
	return finish(binary.LittleEndian.AppendUint64(dst, x.Total), start)
}

// DecodeSeen decodes the body of a Seen.
func DecodeSeen(body []byte) (Seen, error) {
	c := cursor{b: body}
	x := Seen{Total: c.u64()}
	return x, c.end("Seen")
}

// Change says what last happened to a lock of a Watched. It is a hint: the state
// counts.
type Change uint8

// The changes; append-only.
const (
	ChangePresent  Change = 1 // nothing: that is how it stands
	ChangeAcquired Change = 2 // it was granted
	ChangeReleased Change = 3 // a hold was given back
	ChangeExpired  Change = 4 // a hold ended unasked
	ChangeOther    Change = 5 // who waits, or anything else
	ChangeForced   Change = 6 // a hold was ended by force

	changeEnd = 7
)

// String returns the name of x as it appears in documents and tables.
func (x Change) String() string {
	switch x {
	case ChangePresent:
		return "present"
	case ChangeAcquired:
		return "acquired"
	case ChangeReleased:
		return "released"
	case ChangeExpired:
		return "expired"
	case ChangeForced:
		return "forced"
	case ChangeOther:
		return "changed"
	default:
		return "change " + strconv.Itoa(int(x))
	}
}

// Watched tells how one lock stands, to the Watch in the header. A lock that
// nobody holds or waits for has zeros.
type Watched struct {
	Slot       uint64 // as of which it is so
	Token      uint64 // of the newest hold
	Session    uint64 // of that, or owner id
	HeldMillis uint64 // log time since its grant
	Data       uint64 // changes with its payload and labels and the lock's value; zero for none
	Holders    uint32
	Waiters    uint32
	Capacity   uint32 // of a semaphore, else zero
	Taken      uint32
	Change     Change
	Mode       Mode   // of the newest hold
	Name       []byte // borrowed when decoded
	Client     []byte // of the newest hold; borrowed when decoded
}

// AppendWatched appends a whole Watched frame.
func AppendWatched(dst []byte, h Header, x *Watched) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindWatched, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Slot)
	dst = binary.LittleEndian.AppendUint64(dst, x.Token)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.HeldMillis)
	dst = binary.LittleEndian.AppendUint64(dst, x.Data)
	dst = binary.LittleEndian.AppendUint32(dst, x.Holders)
	dst = binary.LittleEndian.AppendUint32(dst, x.Waiters)
	dst = binary.LittleEndian.AppendUint32(dst, x.Capacity)
	dst = binary.LittleEndian.AppendUint32(dst, x.Taken)
	dst = append(dst, byte(x.Change), byte(x.Mode))
	dst = appendText(dst, x.Name, MaxNameBytes)
	dst = appendText(dst, x.Client, MaxClientNameBytes)
	return finish(dst, start)
}

// DecodeWatched decodes the body of a Watched.
func DecodeWatched(body []byte) (Watched, error) {
	c := cursor{b: body}
	x := Watched{Slot: c.u64(), Token: c.u64(), Session: c.u64(), HeldMillis: c.u64(),
		Data: c.u64(), Holders: c.u32(), Waiters: c.u32(), Capacity: c.u32(), Taken: c.u32(),
		Change: Change(c.u8())}
	if x.Change == 0 || x.Change >= changeEnd {
		c.fail(ErrField)
	}
	x.Mode = c.mode()
	x.Name = c.text(MaxNameBytes)
	x.Client = c.text(MaxClientNameBytes)
	return x, c.end("Watched")
}

// Phase is a moment in the telling of all locks of a prefix.
type Phase uint8

// The phases; append-only.
const (
	PhaseBegin Phase = 1 // from here on all that are in use are told
	PhaseEnd   Phase = 2 // all were told: what was not is free

	phaseEnd = 3
)

// WatchSynced says that a node begins to tell, or has told, all locks of a Watch
// with ScopePrefix: when it begins, and when it could not keep what changed.
type WatchSynced struct {
	Slot  uint64 // at which the telling began
	Phase Phase
}

// AppendWatchSynced appends a whole WatchSynced frame.
func AppendWatchSynced(dst []byte, h Header, x *WatchSynced) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindWatchSynced, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Slot)
	return finish(append(dst, byte(x.Phase), 0), start)
}

// DecodeWatchSynced decodes the body of a WatchSynced.
func DecodeWatchSynced(body []byte) (WatchSynced, error) {
	c := cursor{b: body}
	x := WatchSynced{Slot: c.u64(), Phase: Phase(c.u8())}
	c.zero(1)
	if x.Phase == 0 || x.Phase >= phaseEnd {
		c.fail(ErrField)
	}
	return x, c.end("WatchSynced")
}
