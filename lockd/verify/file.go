package verify

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"lockd/lockd/verify/check"
)

// ErrFile: a file is no history, or one of a later version.
var ErrFile = errors.New("verify: not a history")

// fileVersion is of the first line of a file. Each further line is one operation.
const fileVersion = 1

// maxPermits is more than any run asks for, and far from where sums overflow.
const maxPermits = 1 << 16

// fileHead is the first line.
type fileHead struct {
	Version    int `json:"lockd_verify_history"`
	Operations int `json:"operations"`
}

// fileLine is an operation as a line. Times are in nanoseconds, on the clock of the
// run; a return that is missing is an operation without an answer.
type fileLine struct {
	Call     int64        `json:"call_ns"`
	Return   *int64       `json:"return_ns,omitempty"`
	Text     string       `json:"name,omitempty"`
	Op       string       `json:"op"`
	Outcome  string       `json:"outcome"`
	Client   int          `json:"client"`
	Worker   int          `json:"worker"`
	Token    uint64       `json:"token,omitempty"`
	Owner    uint64       `json:"owner,omitempty"`
	Mode     string       `json:"mode,omitempty"`
	Was      string       `json:"was,omitempty"`
	Permits  uint32       `json:"permits,omitempty"`
	Capacity uint32       `json:"capacity,omitempty"`
	Waits    bool         `json:"waits,omitempty"`
	Again    uint32       `json:"again,omitempty"`
	Holders  []fileHolder `json:"holders,omitempty"`
	Current  bool         `json:"current,omitempty"`
	Newest   uint64       `json:"newest,omitempty"`
	Value    string       `json:"value,omitempty"`
	Reads    *fileValue   `json:"reads,omitempty"`
}

type fileHolder struct {
	Token   uint64 `json:"token"`
	Mode    string `json:"mode"`
	Permits uint32 `json:"permits,omitempty"`
	Depth   uint32 `json:"depth,omitempty"`
}

type fileValue struct {
	Data  string `json:"data"`
	Token uint64 `json:"token,omitempty"`
}

// The words of a file, by number.
func opWords() []string {
	return []string{check.Acquire: "acquire", check.Release: "release", check.Get: "get",
		check.Test: "check-token", check.Write: "set-value", check.Loss: "may-be-lost",
		check.Force: "force", check.Convert: "convert"}
}

func outcomeWords() []string {
	return []string{check.Uncertain: "uncertain", check.Done: "done", check.Refused: "refused"}
}

func modeWords() []string {
	var all []string
	for m := check.Exclusive; m <= check.Null; m++ {
		all = append(all, m.String())
	}
	return all
}

// Write writes a history as lines of JSON.
func Write(to io.Writer, all []check.Operation) error {
	b := bufio.NewWriterSize(to, 1<<16)
	e := json.NewEncoder(b)
	if err := e.Encode(fileHead{Version: fileVersion, Operations: len(all)}); err != nil {
		return err
	}
	for i := range all {
		if err := e.Encode(lineOf(&all[i])); err != nil {
			return err
		}
	}
	return b.Flush()
}

func lineOf(o *check.Operation) *fileLine {
	l := &fileLine{Call: o.Call, Text: o.Name, Op: opWords()[o.Kind],
		Outcome: outcomeWords()[o.Outcome], Client: o.Client, Worker: o.Worker, Token: o.Token,
		Owner: o.Owner, Permits: o.Permits, Capacity: o.Capacity, Waits: o.Waits == check.Queues,
		Again: o.Again, Current: o.Current, Newest: o.Newest, Value: o.Value}
	if o.Return != check.Open {
		l.Return = &o.Return
	}
	if o.Kind == check.Acquire || o.Kind == check.Convert {
		l.Mode = o.Mode.String()
	}
	if o.Kind == check.Convert {
		l.Was = o.Was.String()
	}
	for _, h := range o.Holders {
		l.Holders = append(l.Holders, fileHolder{h.Token, h.Mode.String(), h.Permits, h.Depth})
	}
	if o.Reads != nil {
		l.Reads = &fileValue{o.Reads.Data, o.Reads.Token}
	}
	return l
}

// Read reads what Write wrote. The error matches ErrFile if it is something else.
func Read(from io.Reader) ([]check.Operation, error) {
	d := json.NewDecoder(bufio.NewReaderSize(from, 1<<16))
	var head fileHead
	if err := d.Decode(&head); err != nil {
		return nil, fmt.Errorf("%w: the first line: %w", ErrFile, err)
	}
	if head.Version != fileVersion {
		return nil, fmt.Errorf("%w of version %d: it is of version %d", ErrFile, fileVersion,
			head.Version)
	}
	var all []check.Operation
	for {
		var l fileLine
		err := d.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFile, len(all)+2, err)
		}
		o, err := operationOf(&l)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFile, len(all)+2, err)
		}
		if all = append(all, o); len(all) > MaxOperations*2 {
			return nil, fmt.Errorf("%w: more than %d operations", ErrFile, MaxOperations*2)
		}
	}
	if len(all) != head.Operations {
		return nil, fmt.Errorf("%w: cut off: %d of %d operations are there", ErrFile, len(all),
			head.Operations)
	}
	return all, nil
}

// modeIn is the mode of a word, the first if there is none.
func modeIn(word string) (check.Mode, error) {
	if word == "" {
		return 0, nil
	}
	mode, err := wordOf(modeWords(), word)
	return check.Mode(mode), err
}

func operationOf(l *fileLine) (check.Operation, error) {
	o := check.Operation{Call: l.Call, Return: check.Open, Name: l.Text, Client: l.Client,
		Worker: l.Worker, Token: l.Token, Owner: l.Owner, Permits: l.Permits, Capacity: l.Capacity,
		Again: l.Again, Current: l.Current, Newest: l.Newest, Value: l.Value}
	kind, err := wordOf(opWords(), l.Op)
	if err != nil {
		return o, err
	}
	outcome, err := wordOf(outcomeWords(), l.Outcome)
	if err != nil {
		return o, err
	}
	o.Kind, o.Outcome = check.Kind(kind), check.Outcome(outcome)
	if l.Return != nil {
		o.Return = *l.Return
	}
	if o.Return < o.Call || (o.Return == check.Open) != (o.Outcome == check.Uncertain) {
		return o, fmt.Errorf("%s from %d to %d and %s: an answer has an end, after its call", l.Op,
			o.Call, o.Return, l.Outcome)
	}
	if (o.Permits == 0) != (o.Capacity == 0) || o.Permits > o.Capacity || o.Capacity > maxPermits {
		return o, fmt.Errorf("%d of %d permits, must be at least 1, and at most %d", o.Permits,
			o.Capacity, maxPermits)
	}
	if l.Waits {
		o.Waits = check.Queues
	}
	if o.Mode, err = modeIn(l.Mode); err != nil {
		return o, err
	}
	if o.Was, err = modeIn(l.Was); err != nil {
		return o, err
	}
	for _, h := range l.Holders {
		mode, err := wordOf(modeWords(), h.Mode)
		if err != nil {
			return o, err
		}
		o.Holders = append(o.Holders, check.Holder{Token: h.Token, Mode: check.Mode(mode),
			Permits: h.Permits, Depth: h.Depth})
	}
	if l.Reads != nil {
		o.Reads = &check.Value{Data: l.Reads.Data, Token: l.Reads.Token}
	}
	return o, nil
}

// wordOf finds a word among those of a file.
func wordOf(words []string, word string) (int, error) {
	for i, w := range words {
		if w == word && w != "" {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is no word of a history", word)
}
