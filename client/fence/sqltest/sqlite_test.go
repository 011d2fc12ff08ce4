package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"lockd/client/fence"
	"lockd/client/fence/fencetest"
)

// sqliteDSN names a database in a directory of its own. Writers wait for each
// other instead of failing.
func sqliteDSN(t *testing.T) string {
	return "file:" + filepath.Join(t.TempDir(), "shelf.db") +
		"?_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)&_pragma=synchronous(off)"
}

func TestSQLite(t *testing.T) {
	fencetest.Run(t, func(t *testing.T) fencetest.Resource {
		return newShelf(t, "sqlite", sqliteDSN(t), "")
	})
}

// TestSQLiteBesideFiles proves SQL.Guard, for values that are not in the database.
func TestSQLiteBesideFiles(t *testing.T) {
	fencetest.Run(t, func(t *testing.T) fencetest.Resource {
		return newShelf(t, "sqlite", sqliteDSN(t), t.TempDir())
	})
}

// TestSQLRollsBack proves that a token whose write failed is not remembered, and
// that one transaction may write for several names.
func TestSQLRollsBack(t *testing.T) {
	s := newShelf(t, "sqlite", sqliteDSN(t), "")
	ctx, failed := t.Context(), errors.New("the write failed")
	err := s.guard.Do(ctx, fence.Grant{Lock: "a", Value: 9}, func(tx *sql.Tx) error {
		if err := s.guard.Check(ctx, tx, "b", 4); err != nil {
			t.Error(err)
		}
		return failed
	})
	a, errA := s.guard.Newest(ctx, "a")
	b, errB := s.guard.Newest(ctx, "b")
	if !errors.Is(err, failed) || a != 0 || b != 0 || errA != nil || errB != nil {
		t.Errorf("got %v, newest %d, %d, %v, %v, want nothing remembered", err, a, b, errA, errB)
	}
	if err := s.Write(ctx, "a", 8, "eight"); err != nil {
		t.Error(err)
	}
	if a, err := s.guard.Newest(ctx, "a"); a != 8 || err != nil {
		t.Errorf("got newest %d, %v, want 8", a, err)
	}
}

// lapsed is a hold that knows that it is over.
type lapsed struct{ fence.Grant }

func (lapsed) Valid() bool { return false }

// TestSQLErrors proves what is refused before anything is asked of the database,
// and that its own errors are passed on.
func TestSQLErrors(t *testing.T) {
	s := newShelf(t, "sqlite", sqliteDSN(t), "")
	ctx := t.Context()
	nothing := func(*sql.Tx) error { t.Error("was run"); return nil }
	if err := s.guard.Do(ctx, lapsed{fence.Grant{Lock: "a", Value: 1}}, nothing); !errors.Is(err,
		fence.ErrNotHeld) {
		t.Errorf("a hold that is over: got %v", err)
	}
	if err := s.guard.Do(ctx, fence.Grant{Lock: "a"}, nothing); !errors.Is(err, fence.ErrToken) {
		t.Errorf("no token: got %v", err)
	}
	if _, err := fence.NewSQL(s.db, fence.SQLOptions{Table: "a; drop table b"}); !errors.Is(err,
		fence.ErrOptions) {
		t.Errorf("odd table: got %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for what, err := range map[string]error{
		"do":    s.guard.Do(ended, fence.Grant{Lock: "a", Value: 1}, nothing),
		"guard": s.guard.Guard(ended, "a", 1, func(context.Context) error { return nil }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want canceled", what, err)
		}
	}
	s.db.Close()
	if err := s.Write(ctx, "a", 1, "x"); err == nil {
		t.Error("a closed database took a write")
	}
}
