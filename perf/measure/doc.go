// Package measure turns what happens into figures: latencies into histograms,
// rounds into medians with their spread, processes into CPU time, and the
// machine into the lines that stand above any figure.
//
// Latencies are kept in HdrHistograms of three significant digits from 1 µs to
// 60 s; a longer one counts as 60 s. Nothing here runs a load.
package measure
