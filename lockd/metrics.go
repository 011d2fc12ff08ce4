package main

import (
	"strconv"

	"lockd/lockd/admin"
	"lockd/lockfsm/checkpoint"
	"lockd/netio"
	"lockd/wal"
	"lockd/wal/disk"
)

// samples are the values of /metrics that the engine does not know.
func (a *assembly) samples() []admin.Sample {
	all := walSamples(a.syncer.Stats(), a.syncer.SyncStarted())
	cfg := a.inForce()
	all = append(all,
		gauge("memory_bound_bytes", "What the bounds of memory add up to.",
			float64(cfg.Memory().Sum())),
		gauge("disk_bound_bytes", "What the bounds of the directory add up to.",
			float64(cfg.Disk().Sum())))
	allowed, lasts := 0.0, 0.0
	if a.faults != nil {
		if allowed = 1; a.faults.active.Load() != nil {
			lasts = 1
		}
	}
	all = append(all,
		gauge("faults_allowed", "1 if the node does faults to itself on request (faults.allow).",
			allowed),
		gauge("fault_active", "1 while the node does a fault to itself.", lasts))
	all = append(all, serverSamples(a.server.Stats())...)
	all = append(all, linkSamples(a.links.Stats())...)
	all = append(all, a.historySamples()...)
	return append(all,
		gauge("checkpoint_buffer_bytes", "Memory of the checkpoints' write buffers and cache.",
			float64(a.store.BufferBytes())),
		counter("checkpoint_background_errors", "Flushes and compactions that failed.",
			a.reports[checkpoint.ReportBackground].Load()),
		counter("checkpoint_slow_disk", "Operations of the checkpoints that took very long.",
			a.reports[checkpoint.ReportDiskSlow].Load()),
		counter("checkpoint_low_space", "Times the disk of the checkpoints was nearly full.",
			a.reports[checkpoint.ReportLowSpace].Load()))
}

func gauge(name, help string, v float64) admin.Sample {
	return admin.Sample{Name: name, Help: help, Kind: admin.Gauge, Value: v}
}

func counter(name, help string, v uint64) admin.Sample {
	return admin.Sample{Name: name + "_total", Help: help, Kind: admin.Counter, Value: float64(v)}
}

// seconds converts nanoseconds.
func seconds(nanos int64) float64 { return float64(nanos) / 1e9 }

func walSamples(s wal.Stats, syncSince int64) []admin.Sample {
	running := int64(0)
	if syncSince != 0 {
		running = disk.BootNanos() - syncSince
	}
	return []admin.Sample{
		gauge("wal_segments", "Segments in use.", float64(s.Segments)),
		gauge("wal_spares", "Segments ready for use.", float64(s.Spares)),
		gauge("wal_durable_position", "Position of the last synced record.", float64(s.Durable)),
		gauge("wal_pending_records", "Records appended and not synced.", float64(s.Pending)),
		gauge("wal_live_records", "Records that are still needed.", float64(s.LiveRecords)),
		gauge("wal_live_bytes", "Bytes of records that are still needed.", float64(s.LiveBytes)),
		gauge("wal_room_bytes", "Bytes that fit before a file must be made.",
			float64(s.RoomBytes)),
		gauge("wal_last_sync_seconds", "How long the last write and sync took.",
			seconds(s.LastSyncNanos)),
		gauge("wal_sync_running_seconds", "How long the running sync takes so far.",
			seconds(running)),
		counter("wal_records", "Records written.", s.Records),
		counter("wal_batches", "Batches written.", s.Batches),
		counter("wal_syncs", "Syncs.", s.Syncs),
		counter("wal_written_bytes", "Bytes written, headers and padding included.",
			s.WrittenBytes),
		counter("wal_copied_records", "Records copied forward to free a segment.",
			s.CopiedRecords),
		counter("wal_recycled_segments", "Segments freed.", s.Recycled),
	}
}

func serverSamples(s netio.ServerStats) []admin.Sample {
	return []admin.Sample{
		gauge("client_conns", "Client conns open.", float64(s.Open)),
		counter("client_conns_accepted", "Client conns accepted.", s.Accepted),
		counter("client_conns_over_limit", "Client conns refused for their number.", s.OverLimit),
		counter("client_conns_refused", "Client conns refused for what they sent.", s.Refused),
		counter("client_conns_reset", "Client conns that ended by an error.", s.Resets),
		counter("client_conns_overflowed", "Client conns closed for unread responses.",
			s.Overflows),
		counter("client_conns_paused", "Times a conn was not read for a while because it asked "+
			"for too much at once.", s.Pauses),
		counter("client_conn_pause_failures", "Times a conn could not be left unread, although it "+
			"asked for too much at once.", s.PauseFailures),
		counter("client_conns_silent", "Client conns closed for a timeout.",
			s.HelloTimeouts+s.FrameTimeouts+s.IdleTimeouts),
		counter("client_frames_received", "Frames of clients.", s.FramesIn),
		counter("client_received_bytes", "Bytes from clients.", s.BytesIn),
		counter("client_sent_bytes", "Bytes to clients.", s.BytesOut),
		counter("client_writes", "Writes to client conns.", s.Writes),
		counter("client_wakes", "Wakes of event loops.", s.Wakes),
	}
}

func linkSamples(s netio.LinkStats) []admin.Sample {
	all := []admin.Sample{
		counter("peer_conns_accepted", "Conns taken on the peer port.", s.Accepted),
		counter("peer_conns_refused", "Handshakes refused by this node.", s.Refused),
		counter("peer_conns_failed", "Conns on the peer port that led to no link.", s.Failed),
		counter("peer_conns_crowded", "Conns closed because too many shook hands.", s.Crowded),
		counter("peer_introductions", "Strangers that were let in to tell a newer record.", s.Introduced),
	}
	for _, p := range s.Peers {
		all = append(all, peerSamples(p)...)
	}
	return all
}

func peerSamples(p netio.PeerStats) []admin.Sample {
	up := 0.0
	if p.Up {
		up = 1
	}
	all := []admin.Sample{
		gauge("peer_up", "1 while the link to a peer stands.", up),
		gauge("peer_queued_bytes", "Bytes that wait for a peer.", float64(p.QueuedBytes)),
		counter("peer_links", "Links that came up.", p.Connects),
		counter("peer_link_failures", "Attempts that led to no link.", p.Failures),
		counter("peer_refused_us", "Times the peer refused this node.", p.Refused),
		counter("peer_overflows", "Links reset because the queue was full.", p.Overflows),
		counter("peer_garbled", "Links closed for what they carried.", p.Garbled),
		counter("peer_frames_received", "Frames of a peer.", p.FramesIn),
		counter("peer_frames_sent", "Frames to a peer.", p.FramesOut),
		counter("peer_received_bytes", "Bytes from a peer.", p.BytesIn),
		counter("peer_sent_bytes", "Bytes to a peer.", p.BytesOut),
		counter("peer_frames_dropped", "Frames for a peer without a link.", p.Dropped),
	}
	for i := range all {
		all[i].Peer = strconv.Itoa(int(p.Node))
	}
	return all
}
