package admin

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lockd/lockd/node"
)

// Kind says how a Sample is to be read.
type Kind uint8

// The kinds.
const (
	Gauge   Kind = iota // goes up and down
	Counter             // only grows; the name ends in _total
)

// Sample is one value of /metrics.
type Sample struct {
	// Name without the prefix lockd_, in base units: seconds, bytes.
	Name string
	// Help says what it counts; the same for every sample of a name.
	Help string
	Kind Kind
	// Peer is the number of a peer as a label, empty for none; either all
	// samples of a name have one or none. Names of locks are never labels.
	Peer  string
	Value float64
}

// collector turns samples into metrics whenever somebody asks. It describes
// nothing in advance: what there is to see depends on the peers.
type collector struct{ opts Options }

func newMetrics(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collector{o},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// Describe sends nothing: the metrics are found when they are collected.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends every value there is now.
func (c collector) Collect(out chan<- prometheus.Metric) {
	build := prometheus.NewDesc("lockd_build_info", "1, with the version as a label.",
		[]string{"version"}, nil)
	out <- prometheus.MustNewConstMetric(build, prometheus.GaugeValue, 1, c.opts.Build)
	samples := c.opts.Samples()
	if s := c.opts.Status(); s != nil {
		samples = append(samples, nodeSamples(s)...)
	}
	for i := range samples {
		s := &samples[i]
		kind := prometheus.GaugeValue
		if s.Kind == Counter {
			kind = prometheus.CounterValue
		}
		var labels, values []string
		if s.Peer != "" {
			labels, values = []string{"peer"}, []string{s.Peer}
		}
		desc := prometheus.NewDesc("lockd_"+s.Name, s.Help, labels, nil)
		out <- prometheus.MustNewConstMetric(desc, kind, s.Value, values...)
	}
}

// groupSums sum up the groups that a node keeps.
type groupSums struct {
	leading, leaderless, sessions, locks, waiters, behind, fullest float64
}

func sumGroups(all []node.GroupStatus) (sum groupSums) {
	for i := range all {
		g := &all[i]
		if g.Leading {
			sum.leading++
			sum.waiters += float64(g.Waiters)
		}
		if g.Leader == 0 {
			sum.leaderless++
		}
		sum.sessions += float64(g.Sessions)
		sum.locks += float64(g.Locks)
		sum.behind += float64(g.Chosen - g.Applied)
		sum.fullest = max(sum.fullest, g.Full)
	}
	return sum
}

// nodeSamples are the values that a picture of the node holds.
func nodeSamples(s *node.Status) []Sample {
	sum := sumGroups(s.Groups)
	gauge := func(name, help string, v float64) Sample {
		return Sample{Name: name, Help: help, Kind: Gauge, Value: v}
	}
	count := func(name, help string, v uint64) Sample {
		return Sample{Name: name + "_total", Help: help, Kind: Counter, Value: float64(v)}
	}
	is := func(v truth) float64 {
		if v {
			return 1
		}
		return 0
	}
	return []Sample{
		gauge("ready", "1 when the node can serve.", is(truth(s.Ready()))),
		gauge("born", "1 once the cluster has been born.", is(truth(s.Born))),
		gauge("draining", "1 while the node gives its leaderships away and takes none.",
			is(truth(s.Draining))),
		gauge("disk_stalled", "1 while a sync takes suspiciously long.", is(truth(s.Stalled))),
		gauge("groups", "Groups this node keeps.", float64(len(s.Groups))),
		gauge("groups_leading", "Groups this node leads.", sum.leading),
		gauge("groups_leaderless", "Groups of these without a leader known here.", sum.leaderless),
		gauge("sessions", "Sessions in the machines of this node.", sum.sessions),
		gauge("locks", "Locks held or waited for in the machines of this node.", sum.locks),
		gauge("waiting_requests", "Requests queued for a lock, to be answered here.", sum.waiters),
		gauge("slots_behind", "Slots chosen and not applied here.", sum.behind),
		gauge("fullest_group", "Share in use of the limit that some group is nearest to.",
			sum.fullest),
		gauge("conns_speaking", "Client conns that sent a request.", float64(s.Conns)),
		count("turns", "Turns of the engine.", s.Stats.Turns),
		count("turn_gaps", "Turns that came half an election timeout after the one before.",
			s.Stats.Gaps),
		count("requests", "Requests of clients.", s.Stats.Requests),
		count("reads", "Questions answered after a confirmation.", s.Stats.Reads),
		gauge("watches", "Watches of clients that are told of here.", float64(s.Watches)),
		count("watch_pushes", "Changes that watches were told of.", s.Stats.Pushes),
		count("searches", "Times that all names of a group were looked at, for lists and watches of "+
			"many.", s.Stats.Searches),
		count("watch_retellings", "Watches of a prefix that were told all anew.", s.Stats.Retold),
		count("forced_releases", "Holds ended by force at this node's hands.", s.Stats.Forced),
		count("slots_proposed", "Slots proposed by this node.", s.Stats.Proposed),
		count("slots_applied", "Slots applied by this node.", s.Stats.Applied),
		count("messages_received", "Messages of other replicas.", s.Stats.MessagesIn),
		count("messages_sent", "Messages to other replicas.", s.Stats.MessagesOut),
		count("requests_busy", "Requests refused for want of room.", s.Stats.Busy),
		count("requests_over_limit", "Requests refused for a limit of their group.",
			s.Stats.OverLimit),
		count("inbox_dropped", "Frames that found the inbox full.", s.Stats.Dropped),
		count("frames_malformed", "Frames of peers that did not decode.", s.Stats.BadFrames),
		count("records_disbelieved", "Records that strangers told and that proved nothing.",
			s.Stats.Disbelieved),
		count("checkpoints", "Checkpoints saved.", s.Stats.Saves),
		count("checkpoint_failures", "Checkpoints that could not be saved.", s.Stats.SaveFailures),
		count("snapshots_installed", "Snapshots taken over from peers.", s.Stats.Installs),
		count("snapshots_sent", "Snapshots that peers took over.", s.Stats.SnapshotsSent),
		count("snapshots_resumed", "Snapshots that went on with what a peer had of them.",
			s.Stats.SnapshotsResumed),
		count("snapshot_retries", "Chunks of snapshots that were lost or refused.",
			s.Stats.SnapshotRetries),
		count("snapshot_bytes_sent", "Bytes sent in snapshots.", s.Stats.SnapshotBytesOut),
	}
}
