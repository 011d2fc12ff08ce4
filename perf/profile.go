package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lockd/perf/workload"
)

// fetchProfiles fetches a CPU profile of the length of the measurement, and a
// heap profile after it, from every server that has an admin listener. It adds
// to the cost of what is measured.
func fetchProfiles(ctx context.Context, dir string, s *service, load workload.Load) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	seconds := max(1, int(load.Duration/time.Second))
	var waits []func() error
	for i, base := range s.cluster.Admin {
		name := fileName(s.cluster.Processes[i].Name(), load)
		cpu := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", base, seconds)
		waits = append(waits, background(func() error {
			err := download(ctx, cpu, filepath.Join(dir, name+".cpu.pprof"))
			heap := download(ctx, base+"/debug/pprof/heap", filepath.Join(dir, name+".heap.pprof"))
			return errors.Join(err, heap)
		}))
	}
	var errs []error
	for _, wait := range waits {
		errs = append(errs, wait())
	}
	return errors.Join(errs...)
}

// fileName names the profiles of one server under one load.
func fileName(server string, load workload.Load) string {
	text := fmt.Sprintf("%s-%s-%d", server, load.Workload, load.Workers)
	return strings.ReplaceAll(text, "/", "-")
}

// download fetches an address into a file.
func download(ctx context.Context, address, name string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s: %s", address, response.Status)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, response.Body)
	return err
}
