package main

import (
	"bytes"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestSignalEndsDial tells verbs to end that look for a node, where somebody listens
// who does not answer.
func TestSignalEndsDial(t *testing.T) {
	const interrupted = exitSignal + int(syscall.SIGINT)
	for _, x := range []struct {
		want int
		args []string
	}{
		{interrupted, []string{"run", "a", "--", "true"}},
		{interrupted, []string{"election", "run", "a", "--", "true"}},
		{interrupted, []string{"lock", "a"}},
		{interrupted, []string{"try", "a"}},
		{exitOK, []string{"watch", "a"}}, // as they end with any signal
		{exitOK, []string{"election", "observe", "a"}},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("LOCKD_ADDR", ln.Addr().String())
		ended := make(chan int, 1)
		var out, problems bytes.Buffer
		go func() {
			ended <- (&shell{out: &out, err: &problems, env: os.Environ()}).run(x.args)
		}()
		conn, err := ln.Accept() // then signals are listened to
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		code := <-ended
		if took := time.Since(began); code != x.want || took > 4*time.Second || problems.Len() > 0 {
			t.Errorf("lockd %q: got exit code %d after %s, %q, want %d at once and no word", x.args, code,
				took, problems.String(), x.want)
		}
		conn.Close()
		ln.Close()
	}
}
