package client_test

import (
	"fmt"
	"sync"
	"testing"

	"lockd/client/locktest"
)

// nodes returns the addresses of a cluster. That of the examples runs in this process,
// from the first that asks for it to the end.
var nodes = sync.OnceValue(func() []string {
	return locktest.New(exampleTest{}, locktest.Options{}).Addrs()
})

// exampleTest is a test as far as an example has one.
type exampleTest struct{ testing.TB }

func (exampleTest) Helper()                           {}
func (exampleTest) Cleanup(func())                    {}
func (exampleTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
