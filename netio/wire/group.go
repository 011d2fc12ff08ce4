package wire

// GroupOf returns the group that owns name in a cluster of the given number of
// groups. It is part of the protocol: doc.go specifies it with test vectors.
// Requires: groups > 0. The tenant of a cluster without tenants is "".
func GroupOf[N string | []byte](tenant string, name N, groups uint16) uint16 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := 0; i < len(tenant); i++ {
		h = (h ^ uint64(tenant[i])) * prime
	}
	h *= prime // the zero byte between tenant and name
	for i := 0; i < len(name); i++ {
		h = (h ^ uint64(name[i])) * prime
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return uint16(h % uint64(groups))
}
