package sim

// Planting is a bug that can be planted: one line, at the place where the rule
// stands that it breaks. The packages that have it name it in the same words.
type Planting struct {
	Name string
	// Rule is what holds no longer, with the invariant it serves.
	Rule string
}
