// Package netio owns the sockets of a node: the client port and one link to every
// peer, both read by event loops of gnet. What the bytes mean is decided in
// package wire and above; this package bounds them, cuts them into frames,
// refuses what is no frame, and says who is at the other end.
//
// # Client port
//
// Listen opens it, a Handler receives what comes, Server.Send and Server.Flush
// answer. A conn goes through these states:
//
//	greeting  the first frame must be a Hello, whole within HelloTimeout and of
//	          at most 4 KiB; the handler answers it
//	open      every frame is a request: known kind, bounded length; a frame once
//	          begun ends within FrameTimeout; some frame comes within IdleTimeout
//	refused   a Refused with code and text was sent and our half is shut down;
//	          what still comes is dropped; closed by the other side or after
//	          FrameTimeout
//
// A conn never disturbs another one: whatever it sends or does not read costs
// it alone. Above MaxConns a conn gets its Refused and is closed on the loop that
// accepted it, or one of that loop that has said no hello gives way to it, before that
// loop accepts again, so that a flood cannot use up the descriptors; accept without
// descriptors would end gnet's engine. Should the engine end all the same, Done closes,
// Err tells why, and the node must end.
//
// A conn that half-closes is closed: a client must not shut its sending half
// down before it has its responses.
//
// # Responses
//
// Every event loop has an outbox. Send appends to it under a short lock, from
// any goroutine, and Flush wakes each loop that has something, once per turn
// whatever the number of conns and responses. The loop swaps the outbox with an
// empty one and makes one write per conn. What the kernel does not take stays in
// gnet's buffer of the conn, which is then not read until it has taken all of it
// (pause.go). The kernel takes 64 KiB beyond what the client's has room for, not
// the megabytes it would by itself (setUnsentLimit). Above MaxOutboundBytes, or when
// all conns together pass MaxBufferedBytes and it is among those that keep most
// (kept.go), or when the conn has taken nothing for UnreadTimeout, it is closed: its
// client reconnects and asks again, which the epoch rule makes safe. To write from the
// sender's goroutine instead of waking the loop gains nothing that can be measured, with
// one conn or many, and would need the descriptor guarded against the loop's close.
//
// # Links
//
// The node with the lower id dials, so two nodes that know each other never cross:
// a node refuses to be dialed by a peer with a higher id. Three frames open
// a link, each on both sides bounded by HandshakeTimeout:
//
//	dialing                    accepting
//	PeerHello       ─────▶     ids, versions; PeerHandler.Check; identity in use?
//	ids, versions,  ◀─────     PeerWelcome with its proof
//	proof, Check
//	PeerProof       ─────▶     proof
//
// Instead of any of them comes PeerRefused with code and text. With a secret nobody is
// judged before its proof: Check and the question whether the identity is in use come
// after the PeerProof, and a fourth frame is the verdict, a zero PeerProof or a
// PeerRefused. A refusal counts only from one who has proved that it knows the secret
// (refusal.go); others are told to LinkOptions.Unproven. The nonce of a
// hello is the incarnation of the process (8 bytes, random, the same for its
// whole life) and a challenge (8 bytes, random, of this handshake). A proof is
//
//	HMAC-SHA-256(secret, role ‖ payload of PeerHello ‖ payload of PeerWelcome)
//
// with zeros in place of the proofs inside, and all zeros where no secret is set.
// It shows that the other side knows the secret now; it does not protect the
// frames that follow.
//
// The node with the higher id dials only if no link has come up for IntroduceAfter:
// the other side may not know it. Whoever dials a node of which it is no peer is a
// stranger there, whatever its id. It goes through the same handshake, LinkOptions.
// Stranger taking the place of PeerHandler.Check, and is then heard for
// IntroductionTime, two at a time: its frames, of 1 MiB at most, are handed over, and
// nothing is sent to it. SetPeer ends that, and the link of the peer that it now is
// comes up as any other.
//
// A second link of the same node (F-N6): of the same incarnation it replaces the
// first, which that process has given up. Of another incarnation it is refused
// with RefusedDuplicate while the first one lives, because then two processes
// share a copied identity; the first counts as dead when its connection ended,
// or has brought nothing for two seconds. Who does not know the secret cannot end a
// link: the place is taken only after the proof.
//
// The handshake runs on a goroutine of the link, which then waits for its end; an
// event loop of the server reads the link from there on. A round of a loop reads
// everything that is ready, of peers, and of clients up to a budget (budget.go), and
// ends with one Handler.Flush: what the handler does there has all of it, and needs no
// other thread to be woken. What was read of a client beyond the budget waits for the
// next rounds, and the client is not read until then.
//
// Links.Send writes at once if nothing is before it; what the kernel does not take
// goes to the link's event loop, bounded by QueueBytes, above which the link is
// reset (DownOverflow). A wrong checksum or an unexpected kind ends the link
// (DownGarbled). The end of a peer's process is seen at once as
// DownReset; the end of its machine after UserTimeout as DownTimeout.
//
// # Who may call
//
// Handler methods and PeerFrame run on event loops and must not block. The other
// PeerHandler methods run on goroutines of links, one at a time for one peer.
// Methods of Server and Links are safe for concurrent use; those that end
// something wait for the callbacks and must not be called from one.
package netio
