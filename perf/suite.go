package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lockd/perf/report"
)

const (
	// quietCores is how much of a core others may use, in the middle of all
	// measurements, for the figures to be published without being asked.
	quietCores = 0.25
	// The document and, beside it, its pictures and figures.
	documentPath = "../lockd/doc/performance.md"
	picturesDir  = "perf"
	lastName     = "last.json"
)

// errNotPublished means that a run was measured and its figures are not to be
// trusted.
var errNotPublished = errors.New("nothing was published")

// flagsOf reads the flags of a command that takes no arguments.
func flagsOf(name string, args []string, define func(*flag.FlagSet)) error {
	flags := flag.NewFlagSet("perf "+name, flag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	define(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; flags come with two dashes", flags.Arg(0))
	}
	return nil
}

// allCommand measures everything and publishes it if the machine was quiet.
func allCommand(ctx context.Context, args []string) error {
	p := plan{baseline: "redis", prewarm: 3 * time.Second}
	var budget time.Duration
	var document, results string
	err := flagsOf("all", args, func(flags *flag.FlagSet) {
		flags.DurationVar(&budget, "budget", 45*time.Minute, "about how long all may take; "+
			"measurements are shortened or lengthened for it")
		flags.StringVar(&document, "doc", documentPath, "`file` whose measured part is rewritten; "+
			"pictures and figures go to perf/ beside it")
		flags.StringVar(&results, "results", "results", "`directory` for every round, the tables "+
			"and the pictures")
		p.servers.add(flags)
	})
	if err != nil {
		return err
	}
	p.lockdFlags = strings.Fields(p.flagText)
	p.fit(budget)
	fmt.Fprintf(os.Stderr, "perf: %d measurements, about %s", p.measurements(),
		minutes(p.estimate()))
	if over := p.estimate() - budget; over > time.Minute {
		fmt.Fprintf(os.Stderr, " (the budget of %v is too small: this is the least)", budget)
	}
	fmt.Fprintln(os.Stderr, "; leave the machine alone meanwhile")
	r := newReport("all", args)
	err = p.measure(ctx, r)
	if len(r.Cells) == 0 {
		return err
	}
	err = errors.Join(err, save(r, results))
	if err != nil {
		return err // half a run is not published
	}
	whole := filepath.Join(results, "run.json")
	if count, first := r.Broken(); count > 0 {
		return fmt.Errorf("%w: %d measurements ended before their time; the first: %s. The figures "+
			"are in %s; publish them all the same with: perf publish --json %s",
			errNotPublished, count, first, results, whole)
	}
	if noise := r.Noise(); noise > quietCores {
		return fmt.Errorf("%w: the machine was not quiet: others took %.2f cores, more than %.2f. "+
			"The figures are in %s; publish them all the same with: perf publish --json %s",
			errNotPublished, noise, quietCores, results, whole)
	}
	return publish(r, document)
}

// save writes every round, the tables and the pictures to a directory.
func save(r *report.Report, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		writeFile(filepath.Join(dir, "run.json"), r.WriteJSON),
		writeFile(filepath.Join(dir, "run.md"), r.WriteMarkdown),
		writePictures(r.Pictures(), dir))
}

func writePictures(pictures []report.Picture, dir string) error {
	var errs []error
	for _, p := range pictures {
		errs = append(errs, os.WriteFile(filepath.Join(dir, p.Name), p.SVG, 0o644))
	}
	return errors.Join(errs...)
}

// publishCommand publishes what an earlier run measured.
func publishCommand(args []string) error {
	var document, name string
	err := flagsOf("publish", args, func(flags *flag.FlagSet) {
		flags.StringVar(&name, "json", "results/run.json", "`file` that a run has written")
		flags.StringVar(&document, "doc", documentPath, "`file` whose measured part is rewritten")
	})
	if err != nil {
		return err
	}
	r, err := readReport(name)
	if err != nil {
		return err
	}
	return publish(r, document)
}

// publish rewrites the measured part of a document, and the pictures and the
// figures beside it. If the document has no place for it nothing is written.
func publish(r *report.Report, document string) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	pictures := r.Pictures()
	for i := range pictures {
		pictures[i].Path = picturesDir + "/" + pictures[i].Name
	}
	rewritten, err := r.Rewrite(string(text), pictures)
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	dir := filepath.Join(filepath.Dir(document), picturesDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err = errors.Join(
		writePictures(pictures, dir),
		writeFile(filepath.Join(dir, lastName), r.Summary().WriteJSON),
		os.WriteFile(document, []byte(rewritten), 0o644))
	if err == nil {
		fmt.Fprintf(os.Stderr, "perf: wrote %s and %s\n", document, dir)
	}
	return err
}

// smokeCommand measures lockd and Redis for a minute and compares.
func smokeCommand(ctx context.Context, args []string) error {
	o := options{
		targets: []string{"lockd", "redis"}, workloads: []string{"uncontended"},
		workers: []int{1, 20, 80, 320}, baseline: "redis", warmup: 500 * time.Millisecond, rounds: 2,
		prewarm: time.Second,
	}
	last := filepath.Join(filepath.Dir(documentPath), picturesDir, lastName)
	err := flagsOf("smoke", args, func(flags *flag.FlagSet) {
		flags.DurationVar(&o.duration, "duration", 2*time.Second, "length of one measurement")
		flags.StringVar(&last, "last", last, "`file` of the run to compare with")
		flags.StringVar(&o.json, "json", "", "`file` for every round")
		o.servers.add(flags)
	})
	if err != nil {
		return err
	}
	o.lockdFlags = strings.Fields(o.flagText)
	p := o.plan()
	fmt.Fprintf(os.Stderr, "perf: %d measurements, about %s\n", p.measurements(),
		minutes(p.estimate()))
	r := newReport("smoke", args)
	if err := p.measure(ctx, r); err != nil {
		return err
	}
	if o.json != "" {
		if err := writeFile(o.json, r.WriteJSON); err != nil {
			return err
		}
	}
	return smokeResult(os.Stdout, r, last)
}

// smokeResult prints the comparison. Noise is no error; something that failed or
// did nothing is.
func smokeResult(out io.Writer, r *report.Report, last string) error {
	other, err := readReport(last)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := r.WriteComparison(out, other, last); err != nil {
		return err
	}
	fmt.Fprintf(out, "others took %.2f cores meanwhile\n", r.Noise())
	if count, first := r.Broken(); count > 0 {
		return fmt.Errorf("%d measurements are broken; the first: %s", count, first)
	}
	for _, c := range r.Cells {
		for _, round := range c.Rounds {
			if round.Errors > 0 {
				return fmt.Errorf("%s, %s: %d calls failed; the first: %s", c.Target, c.Load,
					round.Errors, round.FirstError)
			}
			if round.PairsPerSecond <= 0 {
				return fmt.Errorf("%s, %s: no pair ended", c.Target, c.Load)
			}
		}
	}
	return nil
}
