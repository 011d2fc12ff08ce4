package wire

import "testing"

// watchSamples are the frames of watches and of what asks about contention.
func watchSamples() []sample {
	orders, gpu := []byte("orders/42"), []byte("gpu")
	blockage := Blockage{Position: 2, Samples: 8, UsualMillis: 1500, EstimateMillis: 2500,
		Info: LockInfo{HolderCount: 1, WaiterCount: 3, Name: orders,
			Holders: []Holder{{Session: 9, Token: 88123, HeldMillis: 500, LeaseMillis: 7400,
				Mode: ModeEX, Client: []byte("ci"), Kind: ClaimKind{Depth: 1},
				Data: HolderData{0, []byte{}, []byte{}}}}}}
	return []sample{
		frame("watch", Header{KindWatch, 0, 10, 15},
			Watch{4711, 0, 0, ScopeLock, orders}, AppendWatch, DecodeWatch),
		frame("watch_prefix", Header{KindWatch, 0, 10, 16},
			Watch{0, 0, 0, ScopePrefix, []byte("orders/")}, AppendWatch, DecodeWatch),
		frame("watch_waiter", Header{KindWatch, 0, 10, 17},
			Watch{0, 9, 2, ScopeWaiter, orders}, AppendWatch, DecodeWatch),
		frame("unwatch", Header{KindUnwatch, 0, 10, 18}, Unwatch{15}, AppendUnwatch, DecodeUnwatch),
		frame("why", Header{KindWhy, 0, 10, 19}, Why{9, 2, ModeEX, orders}, AppendWhy, DecodeWhy),
		frame("top", Header{Kind: KindTop, Request: 20}, Top{10}, AppendTop, DecodeTop),
		frame("history", Header{Kind: KindHistory, Request: 22}, History{1764338400000,
			1764338587000, 7, 41, 64, orders}, AppendHistory, DecodeHistory),
		frame("seen", Header{Kind: KindSeen, Request: 21}, Seen{64}, AppendSeen, DecodeSeen),
		frame("watched", Header{KindWatched, 0, 10, 15}, Watched{Slot: 4712, Token: 88123,
			Session: 9, HeldMillis: 500, Data: 77, Holders: 1, Waiters: 3, Change: ChangeAcquired,
			Mode: ModeEX, Name: orders, Client: []byte("ci")}, AppendWatched, DecodeWatched),
		frame("watched_permits", Header{KindWatched, 0, 10, 16}, Watched{Slot: 4713, Token: 88125,
			Session: 9, HeldMillis: 60000, Holders: 2, Capacity: 8, Taken: 6, Change: ChangePresent,
			Mode: ModeNL, Name: gpu, Client: []byte{}}, AppendWatched, DecodeWatched),
		frame("watch_synced", Header{KindWatchSynced, 0, 10, 16}, WatchSynced{4713, PhaseEnd},
			AppendWatchSynced, DecodeWatchSynced),
		frame("waiting", Header{KindWaiting, 0, 10, 17}, Waiting{4714, blockage},
			AppendWaiting, DecodeWaiting),
		response("response_why", Header{KindResponse, 0, 10, 19}, Response{Slot: 4714,
			Status: StatusOK}, blockage, AppendBlockage, DecodeBlockage),
		response("response_top", Header{Kind: KindResponse, Request: 20}, Response{Status: StatusOK},
			TopPage{[]TopEntry{{17, 1000, 3, UnknownMillis, orders}}}, AppendTopPage, DecodeTopPage),
		response("response_history", Header{Kind: KindResponse, Request: 22},
			Response{Status: StatusOK}, HistoryPage{NowMillis: 1764338600000, Block: 6, Index: 3,
				Spans: []Span{{10, 4711, 1764338000000, 1764338599900, 0}},
				Holds: []PastHold{{Slot: 4700, Index: 1, How: EndForced, Flags: PastMoved, Mode: ModeEX,
					Session: 9, Token: 88123, StartMillis: 1764338500000, EndMillis: 1764338560000,
					StartAbout: UnknownMillis, Client: []byte("ci"), Who: []byte("ops"),
					Reason: []byte("stuck")}}}, AppendHistoryPage, DecodeHistoryPage),
	}
}

// watchesAgain feeds the decoders of watches and of what asks about contention.
func watchesAgain(t *testing.T, b []byte) {
	again(t, b, DecodeWatch, AppendWatch)
	again(t, b, DecodeUnwatch, AppendUnwatch)
	again(t, b, DecodeWhy, AppendWhy)
	again(t, b, DecodeTop, AppendTop)
	again(t, b, DecodeSeen, AppendSeen)
	again(t, b, DecodeWatched, AppendWatched)
	again(t, b, DecodeWatchSynced, AppendWatchSynced)
	again(t, b, DecodeWaiting, AppendWaiting)
	again(t, b, DecodeTopPage, payload(AppendTopPage))
	again(t, b, DecodeHistory, AppendHistory)
	again(t, b, DecodeHistoryPage, payload(AppendHistoryPage))
}
