package paxos

// draws is a sequence of numbers fixed by its seed (Steele, Lea and Flood,
// "Fast Splittable Pseudorandom Number Generators", §4: SplitMix64).
type draws struct{ state uint64 }

func newDraws(seed, stream uint64) draws {
	d := draws{state: seed}
	d.state ^= d.next() ^ stream*0x9e3779b97f4a7c15
	return d
}

func (d *draws) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below draws a length in [0, n); zero if n is zero.
func (d *draws) below(n Ticks) Ticks {
	if n == 0 {
		return 0
	}
	return Ticks(d.next() % uint64(n))
}
