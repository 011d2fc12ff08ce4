// Package proxy stands between the two ends of lockd's connections and harms
// what they say to each other. It cuts the bytes of either protocol, that of
// clients or that of peers, into frames, and decides frame by frame:
//
//	Lose       the frame never arrives
//	Repeat     it arrives twice
//	Swap       it arrives behind the frame that follows it
//	Replay     an old frame, perhaps of an earlier connection, follows it
//	Garble     one of its bytes arrives as another
//	Sever      a part of it arrives; then both ends are reset
//	HalfClose  it arrives; then its receiver is told that nothing more comes
//	Endless    it arrives with a length that is never completed
//
// A Gate shuts a whole direction: Hold keeps what is sent and lets it arrive
// when the gate opens, even if the sender has long gone; Swallow forgets it, so
// that both ends believe in a connection that carries nothing. Delay, Jitter
// and BytesPerSecond make a direction slow: a slow reader is a slow direction
// towards it, a slow writer one away from it. Reset cuts connections off, and
// Orphan lets what they carried arrive late.
//
// What happens to a frame is drawn from Options.Seed, the number of its
// connection, the direction and the number of the frame, and from nothing else.
// Odds spare the greeting that opens a connection; Strike does not.
//
// A Proxy is a loop: New starts it, connections and frames wake it, each
// direction of each connection holds a bounded number of bytes, and Close stops
// it. All its methods may be called from any goroutine.
package proxy
