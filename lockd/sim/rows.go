package sim

// Row is a row of the fault matrix of lockd/doc/reliability.md that worlds show.
type Row struct {
	ID string
	// Counts name what some seed of a long run must have reached for the row to
	// be shown: classes of faults, what they did, and what was asked afterwards.
	Counts []string
}

// Rows are the rows in the order of the document. A test of package house holds
// the two against each other.
func Rows() []Row {
	return []Row{
		{"F-D1", []string{"fault power", "power cut", "power cut at start",
			"power cut inside a flush", "died between two operations of a flush"}},
		{"F-D3", []string{"fault damage", "damage: flipped bit", "damage: zeroed sector",
			"damage: garbage", "damage found", "damage found at work"}},
		{"F-D4", []string{"damage: misdirected write", "damage: lost write"}},
		{"F-D5", []string{"fault disk error", "disk error stopped a node"}},
		{"F-D7", []string{"fault wipe", "wiped node stopped", "directory rolled back",
			"rolled back node stopped"}},
		{"F-D8", []string{"fault stall", "fault hang", "event disk stalled",
			"event disk moves again", "episode: disk stalls"}},
		{"F-D9", []string{"segments recycled", "records copied forward"}},
		{"F-D10", []string{"fault disk full", "full disk stopped a node", "log cramped"}},
		{"F-C2", []string{"event checkpoint failed", "damage: lost checkpoint",
			"lost checkpoint found"}},
		{"F-C3", []string{"snapshot", "snapshot resumed", "event snapshot failed"}},
		{"F-N1", []string{"fault cut", "shape quorum loss", "shape constrained", "shape chained",
			"graph with progress", "graph without", "episode: network is a graph",
			"episode: link is cut"}},
		{"F-N2", []string{"fault stale", "stale frames", "fault reset"}},
		{"F-N3", []string{"fault flap", "fault clog", "episode: link flaps", "link overflow"}},
		{"F-N6", []string{"stranger refused", "peer refused"}},
		{"F-T2", []string{"fault freeze", "session expired", "lease ran out"}},
		{"F-T3", []string{"fault pause", "event deposed", "episode: node lags"}},
		{"F-T4", []string{"fault silence", "lease ran out", "core lost a hold",
			"stale write refused"}},
		{"F-P1", []string{"fault crash", "fault crash in turn", "fault all down",
			"episode: node returns"}},
		{"F-P3", []string{"fault mixed builds", "build of format 1", "build of format 2",
			"older build stopped"}},
		{"F-M1", []string{"change made: add", "change made: remove", "change made: replace",
			"change made: keep", "lost node removed", "node has gone",
			"seats changed", "event acceptors changed"}},
		{"F-M2", []string{"removed node stopped", "event group has left"}},
		{"F-K1", []string{"cancel lost to grant", "stale frames", "operations searched"}},
		{"F-K2", []string{"fault death", "client died", "session of a dead client checked",
			"stale write refused"}},
		{"F-K3", []string{"episode: crowd ends", "crowd of sessions"}},
	}
}
