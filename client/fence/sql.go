package fence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Dialect is how a database says what the guard asks of it.
type Dialect uint8

// The dialects.
const (
	SQLite   Dialect = iota // and what takes ? and ON CONFLICT
	Postgres                // and what takes $1 and ON CONFLICT
	MySQL                   // and MariaDB: no test of this tree runs one; fencetest can
)

// SQLOptions configure a guard. The zero value of each field is its default.
type SQLOptions struct {
	// Table keeps one row a name. Default lockd_fence. It is written into
	// statements as it is: letters, digits, underscores and dots.
	Table string
	// Dialect is that of the database. Default SQLite.
	Dialect Dialect
}

// SQL guards what is in a database, by a table beside it, and is a Store for what
// is not. It may be used by any number of goroutines and of processes. The error
// of a transaction that cannot be serialized, or of a locked database, is that of
// the driver: nothing was written, and the caller may try again.
//
// The statements are plain: an update that matches the name and no larger token.
// It locks the row, so that whoever comes with a larger one waits for the end of
// the transaction, at every isolation level. Of several names in one transaction
// check them in one order everywhere, or databases will find deadlocks.
type SQL struct {
	db                           *sql.DB
	create, insert, raise, query string
}

// NewSQL makes a guard. Nothing is sent; CreateTable makes the table.
func NewSQL(db *sql.DB, opts SQLOptions) (*SQL, error) {
	if opts.Table == "" {
		opts.Table = "lockd_fence"
	}
	good := func(r rune) bool {
		return r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' ||
			r >= 'A' && r <= 'Z'
	}
	if strings.TrimFunc(opts.Table, good) != "" || opts.Dialect > MySQL {
		return nil, fmt.Errorf("%w: table %q, dialect %d", ErrOptions, opts.Table, opts.Dialect)
	}
	text, head, tail := "TEXT", "INSERT INTO ", " ON CONFLICT (name) DO NOTHING"
	first, second, third := "?", "?", "?"
	switch opts.Dialect {
	case Postgres:
		first, second, third = "$1", "$2", "$3"
	case MySQL:
		text, head, tail = "VARBINARY(512)", "INSERT IGNORE INTO ", ""
	}
	t := opts.Table
	return &SQL{
		db: db,
		// Writes counts, so that a row that keeps its token counts as changed
		// where that decides how many are reported.
		create: "CREATE TABLE IF NOT EXISTS " + t + " (name " + text +
			" NOT NULL PRIMARY KEY, token BIGINT NOT NULL, writes BIGINT NOT NULL)",
		insert: head + t + " (name, token, writes) VALUES (" + first + ", 0, 0)" + tail,
		raise: "UPDATE " + t + " SET token = " + first + ", writes = writes + 1 WHERE name = " +
			second + " AND token <= " + third,
		query: "SELECT token FROM " + t + " WHERE name = " + first,
	}, nil
}

// CreateTable makes the table if it is not there.
func (s *SQL) CreateTable(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, s.create); err != nil {
		return fmt.Errorf("fence: creating the table: %w", err)
	}
	return nil
}

// Newest returns the largest token seen of a name, zero if none was.
func (s *SQL) Newest(ctx context.Context, name string) (uint64, error) {
	var token uint64
	err := s.db.QueryRowContext(ctx, s.query, name).Scan(&token)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("fence: reading the token of %q: %w", name, err)
	}
	return token, nil
}

// Check lets the rest of tx write for the holder of a token, or fails with a
// *StaleError; then tx must be rolled back. Call it before the writes. What it
// remembers is committed, or not, with them.
func (s *SQL) Check(ctx context.Context, tx *sql.Tx, name string, token uint64) error {
	if err := check(name, token); err != nil {
		return err
	}
	raised, err := s.change(ctx, tx, name, s.raise, int64(token), name, int64(token))
	if err != nil || raised > 0 {
		return err
	}
	// Either the name is new, or a larger token was seen.
	if _, err = s.change(ctx, tx, name, s.insert, name); err != nil {
		return err
	}
	raised, err = s.change(ctx, tx, name, s.raise, int64(token), name, int64(token))
	if err != nil || raised > 0 {
		return err
	}
	stale := &StaleError{Name: name, Token: token}
	if err := tx.QueryRowContext(ctx, s.query, name).Scan(&stale.Newest); err != nil {
		return fmt.Errorf("fence: reading the token of %q: %w", name, err)
	}
	return stale
}

// change runs one statement and returns how many rows it met.
func (s *SQL) change(ctx context.Context, tx *sql.Tx, name, statement string,
	args ...any) (int64, error) {
	r, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, fmt.Errorf("fence: checking the token of %q: %w", name, err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("fence: checking the token of %q: %w", name, err)
	}
	return n, nil
}

// Do runs fn in a transaction that writes for a hold, and commits it if fn
// returns nil. A stale token is a *StaleError, and fn is not run.
func (s *SQL) Do(ctx context.Context, h Hold, fn func(tx *sql.Tx) error) error {
	if err := valid(h); err != nil {
		return err
	}
	return s.within(ctx, h.Name(), h.Token(), fn)
}

// within runs fn in a transaction of its own after a check. If ctx ends it is
// rolled back.
func (s *SQL) within(ctx context.Context, name string, token uint64,
	fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("fence: beginning a transaction: %w", err)
	}
	return s.finish(ctx, tx, name, token, fn)
}

// finish checks, runs fn and commits, or rolls back.
func (s *SQL) finish(ctx context.Context, tx *sql.Tx, name string, token uint64,
	fn func(tx *sql.Tx) error) error {
	defer tx.Rollback() // of what is not committed
	if err := s.Check(ctx, tx, name, token); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("fence: committing: %w", err)
	}
	return nil
}

// Guard is that of Store, for writes that are not in this database: the token is
// committed before fn runs, so that a crash after the write has not forgotten
// it, and its row stays locked until fn returns, so that nobody with a larger one
// is let in. The lock is as good as the conn to the database: if that breaks
// while fn runs, somebody may be let in beside it. Fn must not write to a
// database that locks as a whole (SQLite). For what is in the database there is
// Do, which has neither limit.
func (s *SQL) Guard(ctx context.Context, name string, token uint64,
	fn func(ctx context.Context) error) error {
	if err := s.within(ctx, name, token, func(*sql.Tx) error { return nil }); err != nil {
		return err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("fence: beginning a transaction: %w", err)
	}
	defer conn.Close()
	// The end of ctx must not unlock the row under a fn that still runs.
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return fmt.Errorf("fence: beginning a transaction: %w", err)
	}
	return s.finish(ctx, tx, name, token, func(*sql.Tx) error { return fn(ctx) })
}
