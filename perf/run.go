package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"lockd/perf/report"
)

// runCommand measures what the flags ask for and writes the report.
func runCommand(ctx context.Context, args []string) error {
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		return err
	}
	r := newReport("run", args)
	// What was measured before an error or an interrupt is worth reading.
	err = o.plan().measure(ctx, r)
	return errors.Join(err, write(o.output, r))
}

// newReport begins the report of a command.
func newReport(command string, args []string) *report.Report {
	return &report.Report{
		Format: report.Format, Version: commit(),
		Command: append([]string{"perf", command}, args...),
	}
}

// write writes the report where the flags say.
func write(o output, r *report.Report) error {
	if len(r.Cells) == 0 {
		return nil
	}
	if o.json != "" {
		if err := writeFile(o.json, r.WriteJSON); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		return writeFile(o.markdown, r.WriteMarkdown)
	}
	return r.WriteMarkdown(os.Stdout)
}

func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}

// commit names the commit that is measured, or says that git cannot tell.
func commit() string {
	text, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "unknown at " + time.Now().UTC().Format(time.DateOnly)
	}
	return strings.TrimSpace(string(text))
}

// readReport reads a file that a run has written.
func readReport(name string) (r *report.Report, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if r, err = report.ReadJSON(f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}
