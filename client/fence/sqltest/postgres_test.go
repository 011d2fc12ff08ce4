package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	_ "github.com/lib/pq"

	"lockd/client/fence"
	"lockd/client/fence/fencetest"
)

// postgresDSN returns where a PostgreSQL is, or skips the test.
func postgresDSN(t *testing.T) string {
	t.Helper()
	if url := os.Getenv("LOCKD_POSTGRES"); url != "" {
		return url
	}
	bin := postgresPrograms()
	if bin == "" {
		t.Skip("NOT RUN: there is no PostgreSQL, so the guard was not proved on one. " +
			"Debian: apt-get install postgresql; or set LOCKD_POSTGRES to the URL of a database " +
			"that the test may write to")
	}
	dsn, err := startPostgres(t, bin)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// postgresPrograms returns the directory of initdb and postgres, empty if there
// are none.
func postgresPrograms() string {
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.Sort(all)
	if len(all) > 0 {
		return filepath.Dir(all[len(all)-1])
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// startPostgres runs one in a directory of its own, reached by a socket in it, and
// stops it when the test ends.
func startPostgres(t *testing.T, bin string) (string, error) {
	dir, err := os.MkdirTemp("", "fence-postgres-") // short, for the socket
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 { // it refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("NOT RUN: PostgreSQL does not run as root, and there is no user postgres: ", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", err
		}
	}
	run := func(name string, args ...string) error {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir, c.SysProcAttr = dir, attr
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
		return nil
	}
	data := filepath.Join(dir, "data")
	if err := run("initdb", "-D", data, "-A", "trust", "-U", "fence", "-N", "-E", "UTF8",
		"--no-locale"); err != nil {
		return "", err
	}
	if err := run("pg_ctl", "-D", data, "-w", "-s", "-l", filepath.Join(dir, "log"), "-o",
		"-c listen_addresses='' -c fsync=off -k "+dir, "start"); err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := run("pg_ctl", "-D", data, "-w", "-s", "-m", "immediate", "stop"); err != nil {
			t.Error(err)
		}
	})
	return "host=" + dir + " user=fence dbname=postgres sslmode=disable", nil
}

// emptied is a shelf in a database that other tests have used.
func emptied(t *testing.T, dsn, files string) *shelf {
	s := newShelf(t, "postgres", dsn, files)
	for _, table := range []string{"lockd_fence", "shelf"} {
		if _, err := s.db.ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestPostgres(t *testing.T) {
	dsn := postgresDSN(t)
	fencetest.Run(t, func(t *testing.T) fencetest.Resource { return emptied(t, dsn, "") })
	t.Run("beside files", func(t *testing.T) {
		fencetest.Run(t, func(t *testing.T) fencetest.Resource {
			return emptied(t, dsn, t.TempDir())
		})
	})
	t.Run("isolation", func(t *testing.T) { isolation(t, emptied(t, dsn, "")) })
	t.Run("new names", func(t *testing.T) { newNames(t, emptied(t, dsn, "")) })
}

// isolation proves that a writer in the middle of its transaction keeps a newer one
// waiting, at every level, and that the level only decides whether an older one
// is told that it is stale or that it cannot be serialized.
func isolation(t *testing.T, s *shelf) {
	ctx := t.Context()
	for i, level := range []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted,
		sql.LevelRepeatableRead, sql.LevelSerializable} {
		name := fmt.Sprint("level ", level)
		if err := s.Write(ctx, name, 1, "one"); err != nil {
			t.Fatal(err)
		}
		old, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
		if err != nil {
			t.Fatal(err)
		}
		var snapshot int // taken before the newer one writes
		if err := old.QueryRowContext(ctx, "SELECT count(*) FROM shelf").Scan(&snapshot); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(ctx, name, 3, "three"); err != nil {
			t.Fatal(err)
		}
		err = s.guard.Check(ctx, old, name, 2)
		if err == nil || i < 2 && !errors.Is(err, fence.ErrStale) {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
		old.Rollback()

		present, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.guard.Check(ctx, present, name, 3); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		waiting, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Write(waiting, name, 4, "four"); err == nil {
				t.Errorf("%s: token 4 passed token 3, which was writing", name)
			}
		})
		waitsForRow(t, s)
		cancel()
		wg.Wait()
		if err := present.Commit(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// waitsForRow returns when some conn waits for a lock that another has.
func waitsForRow(t *testing.T, s *shelf) {
	t.Helper()
	for {
		var n int
		err := s.db.QueryRowContext(t.Context(),
			"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
}

// newNames proves that writers who meet at a name that nobody knew yet are as
// ordered as all others.
func newNames(t *testing.T, s *shelf) {
	ctx := t.Context()
	for i := range 20 {
		name := fmt.Sprint("new ", i)
		var wg sync.WaitGroup
		for token := uint64(1); token <= 6; token++ {
			wg.Go(func() {
				err := s.Write(ctx, name, token, fmt.Sprint(token))
				if err != nil && !errors.Is(err, fence.ErrStale) {
					t.Errorf("token %d: %v", token, err)
				}
			})
		}
		wg.Wait()
		if got, err := s.Read(ctx, name); err != nil || got != "6" {
			t.Errorf("%s: got %q, %v, want that of token 6", name, got, err)
		}
	}
}
