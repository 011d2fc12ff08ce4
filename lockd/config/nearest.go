package config

import (
	"slices"
	"strings"
)

// Nearest returns the word of words that word was probably meant to be, empty
// when none is close: more than a third of its letters would have to change, and it is
// not the beginning, up to a dash, of one of them.
func Nearest(word string, words []string) string {
	if i := slices.IndexFunc(words, func(w string) bool {
		return strings.HasPrefix(w, word+"-")
	}); i >= 0 && word != "" {
		return words[i]
	}
	best, bestCost := "", max(1, len(word)/3)+1
	for _, w := range words {
		if cost := distance(word, w); cost < bestCost {
			best, bestCost = w, cost
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := last[j-1]
			if a[i-1] != b[j-1] {
				cost = 1 + min(last[j-1], last[j], row[j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cost = min(cost, before[j-2]+1)
			}
			row[j] = cost
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
