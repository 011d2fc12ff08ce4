package fence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"lockd/client/fence"
)

// A writer that was paused comes back when another has the lock, and is refused by
// what the lock guards.
func ExampleMemory() {
	var store fence.Memory
	balance := 100
	withdraw := func(h fence.Hold, amount int) error {
		return store.Guard(context.Background(), h.Name(), h.Token(), func(context.Context) error {
			balance -= amount
			return nil
		})
	}
	paused := fence.Grant{Lock: "account/7", Value: 33} // a *client.Held, in earnest
	present := fence.Grant{Lock: "account/7", Value: 34}
	fmt.Println(withdraw(present, 30))
	err := withdraw(paused, 100)
	fmt.Println(err)
	fmt.Println(errors.Is(err, fence.ErrStale), balance)
	// Output:
	// <nil>
	// fence: token 33 of "account/7" is stale: 34 was seen
	// true 70
}

// A table beside the data keeps the largest token of each name, and the transaction that
// writes raises it: whoever comes with a smaller one writes nothing.
func ExampleSQL() {
	pay := func(ctx context.Context, db *sql.DB, h fence.Hold) error {
		guard, err := fence.NewSQL(db, fence.SQLOptions{})
		if err != nil {
			return err
		}
		if err := guard.CreateTable(ctx); err != nil { // once, where tables are made
			return err
		}
		return guard.Do(ctx, h, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE orders SET paid = 1 WHERE id = 42")
			return err
		})
	}
	_ = pay // with a database, and the *client.Held of "orders/42"
}

// A service asks those who write for the token of the lock that guards what they
// write.
func ExampleMiddleware() {
	service := httptest.NewServer(&fence.Middleware{
		Store: &fence.Memory{},
		Lock:  func(r *http.Request) string { return "reports" + r.URL.Path },
		Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}),
	})
	defer service.Close()
	for _, token := range []uint64{33, 34, 33} {
		held := fence.Grant{Lock: "reports/today", Value: token}
		c := http.Client{Transport: &fence.Transport{Holds: []fence.Hold{held}}}
		r, err := c.Get(service.URL + "/today")
		if err != nil {
			fmt.Println(err)
			return
		}
		r.Body.Close()
		fmt.Println(token, r.Status, fence.Refused(r))
	}
	// Output:
	// 33 204 No Content <nil>
	// 34 204 No Content <nil>
	// 33 412 Precondition Failed fence: token 33 of "reports/today" is stale: 34 was seen
}
