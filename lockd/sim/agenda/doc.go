// Package agenda is the time of a simulated world: a moment, and what is to
// happen from it on. Nothing in such a world waits; the next thing happens as
// soon as the one before is done.
package agenda
