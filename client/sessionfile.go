package client

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lockd/netio/wire"
)

// sessionFile is what Options.SessionFile keeps, as JSON. Whoever can read it can
// take the client's locks.
type sessionFile struct {
	Version int         `json:"version"` // 1
	Cluster uint64      `json:"cluster"`
	Starts  uint32      `json:"starts"`   // of clients with this file
	Nonce   secret      `json:"nonce"`    // base of the nonces of sessions
	Named   []namedFile `json:"sessions"` // that the base does not tell
}

type namedFile struct {
	Group uint16 `json:"group"`
	Nonce secret `json:"nonce"`
}

// secret is a nonce in hex.
type secret wire.Nonce

// MarshalText writes it.
func (s secret) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads it.
func (s *secret) UnmarshalText(b []byte) error {
	if len(b) != 2*len(s) {
		return fmt.Errorf("nonce of %d digits", len(b))
	}
	_, err := hex.Decode(s[:], b)
	return err
}

// nonces are those under which a group's session may be found, likeliest first.
func (f *sessionFile) nonces(group uint16) []wire.Nonce {
	var all []wire.Nonce
	for _, k := range f.Named {
		if k.Group == group {
			all = append(all, wire.Nonce(k.Nonce))
		}
	}
	return append(all, nonceAfter(wire.Nonce(f.Nonce), 1))
}

// nonceAfter is the nonce of the n-th session of a group.
func nonceAfter(base wire.Nonce, n uint64) wire.Nonce {
	low := binary.LittleEndian.Uint64(base[8:])
	binary.LittleEndian.PutUint64(base[8:], low+n)
	return base
}

var (
	errFileInUse  = errors.New("a process that runs uses it")
	errFileSilent = errors.New("its disk does not answer")
)

// readSessionFile returns nil if there is no file.
func readSessionFile(path string) (*sessionFile, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w: let this process read and write it, or name another file",
			ErrSessionFile, err)
	}
	var f sessionFile
	switch err := json.Unmarshal(b, &f); {
	case err == nil && f.Version == 1:
		return &f, nil
	case err == nil && f.Version > 1:
		return nil, fmt.Errorf("%w: %s is of version %d, this client knows version 1: use the client "+
			"that wrote it, or %s", ErrSessionFile, path, f.Version, fileRemedy)
	default:
		if err == nil {
			err = errors.New("it has no version")
		}
		return nil, fmt.Errorf("%w: %s is damaged (%w): %s", ErrSessionFile, path, err, fileRemedy)
	}
}

// fileRemedy is what to do about a file that is of no use.
const fileRemedy = "remove it: what its last client held comes free when its lease has run out"

// write replaces the file in one step, readable by its owner only.
func (f *sessionFile) write(path string, replace func(string, []byte) error) error {
	f.Version = 1
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSessionFile, err)
	}
	if err := replace(path, append(b, '\n')); err != nil {
		return fmt.Errorf("%w: %w", ErrSessionFile, err)
	}
	return nil
}

func replaceFile(path string, content []byte) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// openSessionFile locks and reads the file, before Dial connects.
func (c *Client) openSessionFile(ctx context.Context) (old *sessionFile, err error) {
	if c.opts.SessionFile == "" {
		return nil, nil
	}
	var read *sessionFile
	err = c.onFile(ctx, func() (err error) {
		read, err = c.lockSessionFile()
		return err
	})
	if err != nil {
		return nil, err // and somebody may yet be reading
	}
	return read, nil
}

// lockSessionFile does it, for as long as the disk takes.
func (c *Client) lockSessionFile() (*sessionFile, error) {
	lock, err := lockFile(c.opts.SessionFile + ".lock")
	switch {
	case errors.Is(err, errFileInUse):
		return nil, fmt.Errorf("%w: %s: %w: end that one, or give each process a file of its own",
			ErrSessionFile, c.opts.SessionFile, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w: name a file in a directory where this process may write",
			ErrSessionFile, err)
	}
	return c.keepFileLock(lock)(c.opts.SessionFile)
}

// keepSessions writes the file anew if the sessions it must name have changed. It
// is called by Dial and then by the loop that startFiling begins; a failure is logged, and
// costs what is not in the file when this process ends.
func (c *Client) keepSessions() error {
	c.mu.Lock()
	named, change := c.mu.core.kept()
	same := c.mu.fileWritten && change == c.mu.fileChange || c.mu.core.closed
	f := sessionFile{Cluster: c.mu.core.cluster, Starts: c.starts,
		Nonce: secret(c.mu.core.cfg.Nonce)}
	for _, k := range named {
		f.Named = append(f.Named, namedFile{k.group, secret(k.nonce)})
	}
	c.mu.fileWritten, c.mu.fileChange = true, change
	replace := c.mu.replaceFile
	c.mu.Unlock()
	if same {
		return nil
	}
	return f.write(c.opts.SessionFile, replace)
}

// closeSessionFile lets go of the file, and removes it if there is nothing to come
// back to. Only the first who calls it does: after that it may be another client's.
func (c *Client) closeSessionFile(path string) {
	lock := c.takeFileLock()
	if lock == nil {
		return
	}
	if path != "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			c.opts.Logger.Warn("session file stays", "path", path, "cause", err)
		}
	}
	lock.Close()
}

// fileStale reports whether the sessions have changed since Dial, or the loop that does so
// after it, last began to write the file.
func (c *Client) fileStale() bool {
	if c.opts.SessionFile == "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.fileWritten && c.mu.fileChange != c.mu.core.keptChange && !c.mu.core.closed
}

// takeFileLock returns the lock of the session file to the first who asks, nil to
// others and if there is none.
func (c *Client) takeFileLock() io.Closer {
	c.mu.Lock()
	defer c.mu.Unlock()
	lock := c.mu.fileLock
	c.mu.fileLock = nil
	return lock
}

// keepFileLock notes the lock of the session file, and returns what reads that.
func (c *Client) keepFileLock(lock io.Closer) func(path string) (*sessionFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.fileLock = lock
	return c.mu.readFile
}
