package client

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// sentinels are the errors that every error of the package matches one of.
func sentinels() map[string]error {
	return map[string]error{
		"ErrHeld": ErrHeld, "ErrLost": ErrLost, "ErrUnavailable": ErrUnavailable,
		"ErrSessionEnded": ErrSessionEnded, "ErrBusy": ErrBusy, "ErrPermission": ErrPermission,
		"ErrClosed": ErrClosed, "ErrUnlocked": ErrUnlocked, "ErrBadName": ErrBadName,
		"ErrNameTooLong": ErrNameTooLong, "ErrNotFound": ErrNotFound, "ErrOptions": ErrOptions,
		"ErrProtocol": ErrProtocol, "ErrOtherKind": ErrOtherKind, "ErrOtherMode": ErrOtherMode,
		"ErrUnsupported": ErrUnsupported, "ErrRefused": ErrRefused, "ErrDeadlock": ErrDeadlock,
		"ErrAlreadySet": ErrAlreadySet, "ErrNotWriter": ErrNotWriter, "ErrBroken": ErrBroken,
		"ErrTooMuchData": ErrTooMuchData, "ErrSessionFile": ErrSessionFile,
		"ErrMaxHold":   ErrMaxHold,
		"ErrNoHistory": ErrNoHistory,
		"ErrForced":    ErrForced, "ErrStaleToken": ErrStaleToken,
	}
}

// typed reports whether a caller can react to an error.
func typed(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	for _, s := range sentinels() {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// TestSentinelsAreKnown proves that the list above has every exported error.
func TestSentinelsAreKnown(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR || strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, s := range g.Specs {
				for _, ident := range s.(*ast.ValueSpec).Names {
					if strings.HasPrefix(ident.Name, "Err") {
						found = append(found, ident.Name)
					}
				}
			}
		}
	}
	if len(found) != len(sentinels()) {
		t.Errorf("got %d exported errors, want the %d of sentinels", len(found), len(sentinels()))
	}
	for _, name := range found {
		if sentinels()[name] == nil {
			t.Errorf("sentinels lacks %s", name)
		}
	}
}

// walk is where a method is tried out.
type walk struct {
	n    *testNodes
	c    *Client
	name string // not used before
	held *Held  // of another name, asked for anew for each try
}

// methods calls every exported method that can fail, by type and name.
func methods() map[string]func(ctx context.Context, w *walk) error {
	async := func(ctx context.Context, start func(func(*Held, error))) error {
		done := make(chan error, 1)
		start(func(_ *Held, err error) { done <- err })
		select {
		case err := <-done:
			return err
		case <-ctx.Done(): // Close ends it
			return ctx.Err()
		}
	}
	held := func(_ *Held, err error) error { return err }
	all := func(ctx context.Context, a *HeldAll, err error) error {
		if err != nil {
			return err
		}
		return a.Unlock(ctx)
	}
	return map[string]func(ctx context.Context, w *walk) error{
		"Client.Lock": func(ctx context.Context, w *walk) error {
			return held(w.c.Lock(ctx, w.name))
		},
		"Client.TryLock": func(ctx context.Context, w *walk) error {
			return held(w.c.TryLock(ctx, w.name))
		},
		"Client.TryLockWith": entered,
		"Client.LockWith": func(ctx context.Context, w *walk) error {
			return held(w.c.LockWith(ctx, w.name, LockOptions{Owner: 7, Mode: Shared}))
		},
		"Client.LockAll": func(ctx context.Context, w *walk) error {
			a, err := w.c.LockAll(ctx, w.name, w.name+"2")
			return all(ctx, a, err)
		},
		"Client.LockAllWith": func(ctx context.Context, w *walk) error {
			a, err := w.c.LockAllWith(ctx, []Want{{Name: w.name, Mode: Shared}, {Name: w.name + "2"}},
				LockAllOptions{Weight: 1, Detect: true})
			return all(ctx, a, err)
		},
		"Client.TryLockAll": func(ctx context.Context, w *walk) error {
			a, err := w.c.TryLockAll(ctx, w.name, w.name+"2")
			return all(ctx, a, err)
		},
		"Client.TryLockAllWith": func(ctx context.Context, w *walk) error {
			a, err := w.c.TryLockAllWith(ctx, []Want{{Name: w.name, Mode: Update}},
				LockAllOptions{})
			return all(ctx, a, err)
		},
		"Client.LockAsync": func(ctx context.Context, w *walk) error {
			return async(ctx, func(then func(*Held, error)) {
				w.c.LockAsync(&Held{}, w.name, LockOptions{}, then)
			})
		},
		"Client.TryDetached": func(ctx context.Context, w *walk) error {
			return held(w.c.TryDetached(ctx, w.name, time.Second))
		},
		"Client.FindDetached": func(ctx context.Context, w *walk) error {
			_, err := w.c.FindDetached(ctx, w.name, 1)
			return err
		},
		"Client.RenewDetached": func(ctx context.Context, w *walk) error {
			_, err := w.c.RenewDetached(ctx, DetachedHold{w.name, wire.DetachedOwner | 7, 1},
				time.Second)
			return err
		},
		"Client.ReleaseDetached": func(ctx context.Context, w *walk) error {
			return w.c.ReleaseDetached(ctx, DetachedHold{w.name, wire.DetachedOwner | 7, 1})
		},
		"Client.Do": func(ctx context.Context, w *walk) error {
			return w.c.Do(ctx, w.name, func(context.Context, *Held) error { return nil })
		},
		"Client.DoWith": func(ctx context.Context, w *walk) error {
			return w.c.DoWith(ctx, w.name, LockOptions{Weight: 1},
				func(context.Context, *Held) error { return nil })
		},
		"Client.Get": func(ctx context.Context, w *walk) error {
			_, err := w.c.Get(ctx, w.name)
			return err
		},
		"Client.List": func(ctx context.Context, w *walk) error {
			_, err := w.c.List(ctx, w.name, ListOptions{})
			return err
		},
		"Client.Status": func(ctx context.Context, w *walk) error {
			_, err := w.c.Status(ctx)
			return err
		},
		"Client.Why": func(ctx context.Context, w *walk) error {
			_, err := w.c.Why(ctx, w.name)
			return err
		},
		"Client.History": func(ctx context.Context, w *walk) error {
			_, err := w.c.History(ctx, w.name, HistoryOptions{})
			return err
		},
		"Client.Top": func(ctx context.Context, w *walk) error {
			_, err := w.c.Top(ctx, 10)
			return err
		},
		"Client.Watch": func(ctx context.Context, w *walk) error {
			for _, err := range w.c.Watch(ctx, w.name, WatchOptions{}) {
				return err
			}
			return nil
		},
		"Client.WatchAndLock": func(ctx context.Context, w *walk) error {
			return held(w.c.WatchAndLock(ctx, w.name, LockOptions{}, func(WatchEvent) {}))
		},
		"Client.LockAgain": func(ctx context.Context, w *walk) error {
			for _, err := range w.c.LockAgain(ctx, w.name, LockOptions{}) {
				return err
			}
			return nil
		},
		"Election.Campaign": func(ctx context.Context, w *walk) error {
			_, err := w.c.Election(w.name, []byte("x")).Campaign(ctx)
			return err
		},
		"Election.Leader": func(ctx context.Context, w *walk) error {
			_, err := w.c.Election(w.name, nil).Leader(ctx)
			return err
		},
		"Client.Locks": func(ctx context.Context, w *walk) error {
			for _, err := range w.c.Locks(ctx, w.name, ListOptions{}) {
				return err
			}
			return nil
		},
		"Client.CheckToken": func(ctx context.Context, w *walk) error {
			_, err := w.c.CheckToken(ctx, w.name, 1)
			return err
		},
		"Client.CheckTokens": func(ctx context.Context, w *walk) error {
			_, err := w.c.CheckTokens(ctx, []NameToken{{w.name, 1}, {w.name + "2", 1}})
			return err
		},
		"Client.ForceRelease": func(ctx context.Context, w *walk) error {
			return w.c.ForceRelease(ctx, w.name, 1, "stuck")
		},
		"Client.Close": func(ctx context.Context, w *walk) error { return w.c.Close(ctx) },
		"Held.Unlock":  func(ctx context.Context, w *walk) error { return w.held.Unlock(ctx) },
		"Held.UnlockAsync": func(ctx context.Context, w *walk) error {
			return async(ctx, w.held.UnlockAsync)
		},
		"Held.SetPayload": func(ctx context.Context, w *walk) error {
			return w.held.SetPayload(ctx, []byte("x"))
		},
		"Held.SetValue": func(ctx context.Context, w *walk) error {
			return w.held.SetValue(ctx, []byte("x"))
		},
		"Held.SetLabels": func(ctx context.Context, w *walk) error {
			return w.held.SetLabels(ctx, map[string]string{"k": "v"})
		},
		"Client.TryDetachedWith": func(ctx context.Context, w *walk) error {
			return held(w.c.TryDetachedWith(ctx, w.name, time.Second, LockOptions{Mode: Shared}))
		},
		"Semaphore.TryAcquireWith": func(ctx context.Context, w *walk) error {
			return held(w.c.Semaphore(w.name, 3).TryAcquireWith(ctx, 2,
				LockOptions{Payload: []byte("x")}))
		},
		"Held.Renew":   renewed,
		"Held.Convert": func(ctx context.Context, w *walk) error { return w.held.Convert(ctx, Null) },
		"Held.ConvertWith": func(ctx context.Context, w *walk) error {
			return w.held.ConvertWith(ctx, Null, ConvertOptions{Detect: true})
		},
		"Held.TryConvert": func(ctx context.Context, w *walk) error {
			return w.held.TryConvert(ctx, Shared)
		},
		"RWMutex.Upgrade": func(ctx context.Context, w *walk) error {
			return converted(w, func(m RWMutex, h *Held) error { return m.Upgrade(ctx, h) })
		},
		"RWMutex.TryUpgrade": func(ctx context.Context, w *walk) error {
			return converted(w, func(m RWMutex, h *Held) error { return m.TryUpgrade(ctx, h) })
		},
		"RWMutex.Downgrade": func(ctx context.Context, w *walk) error {
			return converted(w, func(m RWMutex, h *Held) error { return m.Downgrade(ctx, h) })
		},
		"RWMutex.Lock": func(ctx context.Context, w *walk) error {
			return held(w.c.RWMutex(w.name).Lock(ctx))
		},
		"RWMutex.RLock": func(ctx context.Context, w *walk) error {
			return held(w.c.RWMutex(w.name).RLock(ctx))
		},
		"RWMutex.TryLock": func(ctx context.Context, w *walk) error {
			return held(w.c.RWMutex(w.name).TryLock(ctx))
		},
		"RWMutex.TryRLock": func(ctx context.Context, w *walk) error {
			return held(w.c.RWMutex(w.name).TryRLock(ctx))
		},
		"Semaphore.Acquire": func(ctx context.Context, w *walk) error {
			return held(w.c.Semaphore(w.name, 3).Acquire(ctx, 2))
		},
		"Semaphore.AcquireWith": func(ctx context.Context, w *walk) error {
			return held(w.c.Semaphore(w.name, 3).AcquireWith(ctx, 2, LockOptions{Weight: 3}))
		},
		"Semaphore.TryAcquireDetached": func(ctx context.Context, w *walk) error {
			return held(w.c.Semaphore(w.name, 3).TryAcquireDetached(ctx, 2, time.Second,
				LockOptions{}))
		},
		"Semaphore.TryAcquire": func(ctx context.Context, w *walk) error {
			return held(w.c.Semaphore(w.name, 3).TryAcquire(ctx, 2))
		},
	}
}

// entered enters and leaves.
func entered(ctx context.Context, w *walk) error {
	h, err := w.c.TryLockWith(ctx, w.name, LockOptions{Owner: 7})
	if err != nil {
		return err
	}
	return h.Unlock(ctx)
}

// renewed renews a detached hold that it takes while nothing is wrong.
func renewed(ctx context.Context, w *walk) error {
	filter := w.n.setFilter(nil)
	h, err := w.c.TryDetached(ctx, w.name, 10*time.Second)
	w.n.setFilter(filter)
	if err != nil {
		return err
	}
	return h.Renew(ctx, 20*time.Second)
}

// converted converts a hold to read that it takes while nothing is wrong.
func converted(w *walk, convert func(RWMutex, *Held) error) error {
	filter := w.n.setFilter(nil)
	m := w.c.RWMutex(w.name)
	h, err := m.RLock(context.Background())
	w.n.setFilter(filter)
	if err != nil {
		return err
	}
	return convert(m, h)
}

type dumbFilter = func(k *dumbConn, h wire.Header, body []byte) wire.Status

// setFilter puts in what answers instead of the cluster, and returns what did.
func (n *testNodes) setFilter(f dumbFilter) (old dumbFilter) {
	n.with(func(d *dumbCluster) { old, d.filter = d.filter, f })
	return old
}

// TestMethodsAreWalked proves that the table above has every method that can
// fail: one that returns an error, or hands one to a callback.
func TestMethodsAreWalked(t *testing.T) {
	errorType := reflect.TypeFor[error]()
	fails := func(f reflect.Type) bool {
		for i := range f.NumOut() {
			if f.Out(i) == errorType {
				return true
			}
		}
		for i := range f.NumIn() {
			if in := f.In(i); in.Kind() == reflect.Func {
				for j := range in.NumIn() {
					if in.In(j) == errorType {
						return true
					}
				}
			}
		}
		return false
	}
	for name, of := range map[string]reflect.Type{
		"Client": reflect.TypeFor[*Client](), "Held": reflect.TypeFor[*Held](),
		"RWMutex": reflect.TypeFor[RWMutex](), "Semaphore": reflect.TypeFor[Semaphore](),
		"Election": reflect.TypeFor[Election](),
	} {
		for i := range of.NumMethod() {
			method := name + "." + of.Method(i).Name
			if fails(of.Method(i).Type) && methods()[method] == nil {
				t.Errorf("%s can fail and is not in methods(): add a call of it", method)
			}
		}
	}
}

// TestErrorsAreTyped calls every method while the nodes answer it with every
// status there is, once with sessions as usual and once with theirs refused too,
// and wants to be able to react to whatever comes.
func TestErrorsAreTyped(t *testing.T) {
	for status := wire.Status(1); status < 255; status++ {
		if !status.Known() {
			continue
		}
		t.Run(status.String(), func(t *testing.T) {
			for _, sessions := range []string{"sessions open", "sessions refused"} {
				synctest.Test(t, func(t *testing.T) { walkAll(t, status, sessions) })
			}
		})
	}
}

// walkAll tries all methods against one status.
func walkAll(t *testing.T, status wire.Status, sessions string) {
	filter := func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
		if h.Kind == wire.KindOpenSession && sessions == "sessions open" {
			return 0
		}
		return status
	}
	n := newNodes(t, 4)
	var names []string
	for name := range methods() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w := &walk{n: n, name: fmt.Sprintf("%s/%s/%d", sessions, name, status)}
		w.c = n.client(t, Options{Lease: 2 * time.Second, RequestTimeout: 300 * time.Millisecond})
		if strings.HasPrefix(name, "Held.") {
			w.held = lock(t, w.c, w.name+"/held")
		}
		n.setFilter(filter)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		began := time.Now()
		err := methods()[name](ctx, w)
		took := time.Since(began)
		cancel()
		n.setFilter(nil)
		if err != nil && !typed(err) {
			t.Errorf("%s, %s: got %v, which nobody can react to", name, sessions, err)
		}
		if err := w.c.Close(t.Context()); err != nil && !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s, %s: close: %v", name, sessions, err)
		}
		if took > 2*time.Second {
			t.Errorf("%s, %s: took %s", name, sessions, took)
		}
	}
}

// TestStatusesHaveErrors proves that every status that refuses something is an
// error of its own sense, and that only those are taken for nonsense which no
// node gives where a plain error is made of them.
func TestStatusesHaveErrors(t *testing.T) {
	nonsense := []wire.Status{wire.StatusOK, wire.StatusQueued, wire.StatusHeld,
		wire.StatusAlreadyGranted, wire.StatusBadRequest, wire.StatusWrongGroup,
		wire.StatusOtherKind}
	for status := wire.Status(1); status < 255; status++ {
		if !status.Known() {
			continue
		}
		err := new(Core).statusError(&Call{Kind: wire.KindAcquire, Name: "a"}, status)
		if !typed(err) || errors.Is(err, ErrProtocol) != slices.Contains(nonsense, status) {
			t.Errorf("%s: got %v, want an error that says what it means", status, err)
		}
	}
}
