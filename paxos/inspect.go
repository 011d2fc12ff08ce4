package paxos

// ReadRecord returns what a record says, for tools that show a log. Slot is
// that of the record; a promise has only a ballot, an accept all, and a record
// of what is chosen only a slot. The value borrows rec.Data. The error is
// ErrMalformed or ErrTooNew.
func ReadRecord(rec *Record) (Entry, error) { return decodeRecord(rec) }
