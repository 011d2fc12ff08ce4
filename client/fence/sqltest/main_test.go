package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lockd/client/fence"
)

// crashAt tells a child of the test where to crash, and in what.
const crashAt = "FENCE_CRASH"

// TestMain runs the tests, or, in a child of them, one write that does not end.
func TestMain(m *testing.M) {
	if point := os.Getenv(crashAt); point != "" {
		fmt.Println(crashChild(point))
		os.Exit(1) // it should have been killed
	}
	os.Exit(m.Run())
}

// shelf keeps values in a database, beside the table of the guard, or in files
// behind SQL.Guard.
type shelf struct {
	driver, dsn string
	files       string // directory, empty for values in the database
	db          *sql.DB
	guard       *fence.SQL
}

// openShelf opens a database that may have been used before.
func openShelf(ctx context.Context, driver, dsn, files string) (*shelf, error) {
	s := &shelf{driver: driver, dsn: dsn, files: files}
	var err error
	if s.db, err = sql.Open(driver, dsn); err != nil {
		return nil, err
	}
	dialect := fence.SQLite
	if driver == "postgres" {
		dialect = fence.Postgres
	}
	if s.guard, err = fence.NewSQL(s.db, fence.SQLOptions{Dialect: dialect}); err != nil {
		return nil, err
	}
	if err := s.guard.CreateTable(ctx); err != nil {
		return nil, err
	}
	_, err = s.db.ExecContext(ctx,
		"CREATE TABLE IF NOT EXISTS shelf (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)")
	return s, err
}

// newShelf is that of a test.
func newShelf(t *testing.T, driver, dsn, files string) *shelf {
	t.Helper()
	s, err := openShelf(t.Context(), driver, dsn, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	return s
}

func (s *shelf) Write(ctx context.Context, name string, token uint64, value string) error {
	return s.write(ctx, name, token, value, func(string) {})
}

// write tells where it is.
func (s *shelf) write(ctx context.Context, name string, token uint64, value string,
	at func(point string)) error {
	if s.files != "" {
		return s.guard.Guard(ctx, name, token, func(context.Context) error {
			at("after the check")
			err := s.writeFile(name, value)
			at("after the write")
			return err
		})
	}
	err := s.guard.Do(ctx, fence.Grant{Lock: name, Value: token}, func(tx *sql.Tx) error {
		at("after the check")
		_, err := tx.ExecContext(ctx, s.sql("INSERT INTO shelf (name, value) VALUES (?, ?) "+
			"ON CONFLICT (name) DO UPDATE SET value = excluded.value"), name, value)
		at("after the write")
		return err
	})
	if err == nil {
		at("after the commit")
	}
	return err
}

// sql writes placeholders as the database wants them.
func (s *shelf) sql(statement string) string {
	for i := 1; s.driver == "postgres" && strings.Contains(statement, "?"); i++ {
		statement = strings.Replace(statement, "?", fmt.Sprint("$", i), 1)
	}
	return statement
}

// writeFile replaces a file, durably enough for a killed process.
func (s *shelf) writeFile(name, value string) error {
	path := s.path(name)
	if err := os.WriteFile(path+".new", []byte(value), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (s *shelf) path(name string) string {
	return filepath.Join(s.files, fmt.Sprintf("%x", name))
}

func (s *shelf) Read(ctx context.Context, name string) (string, error) {
	if s.files != "" {
		b, err := os.ReadFile(s.path(name))
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return string(b), err
	}
	var value string
	query := s.sql("SELECT value FROM shelf WHERE name = ?")
	err := s.db.QueryRowContext(ctx, query, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return value, err
}

func (s *shelf) CrashPoints() []string {
	if s.files != "" {
		return []string{"after the check", "after the write"}
	}
	return []string{"after the check", "after the write", "after the commit"}
}

// WriteAndCrash has a process of its own write, which kills itself.
func (s *shelf) WriteAndCrash(ctx context.Context, point, name string, token uint64,
	value string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, self)
	c.Env = append(os.Environ(), crashAt+"="+point, "FENCE_DRIVER="+s.driver, "FENCE_DSN="+s.dsn,
		"FENCE_FILES="+s.files, "FENCE_NAME="+name, fmt.Sprint("FENCE_TOKEN=", token),
		"FENCE_VALUE="+value)
	out, err := c.CombinedOutput()
	status, ok := c.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("the child was not killed: %w: %s", err, out)
	}
	return nil
}

// crashChild writes and kills its process at a point.
func crashChild(point string) error {
	ctx := context.Background()
	s, err := openShelf(ctx, os.Getenv("FENCE_DRIVER"), os.Getenv("FENCE_DSN"),
		os.Getenv("FENCE_FILES"))
	if err != nil {
		return err
	}
	token, err := strconv.ParseUint(os.Getenv("FENCE_TOKEN"), 10, 64)
	if err != nil {
		return err
	}
	return s.write(ctx, os.Getenv("FENCE_NAME"), token, os.Getenv("FENCE_VALUE"),
		func(at string) {
			if at == point {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // until that arrives
			}
		})
}
