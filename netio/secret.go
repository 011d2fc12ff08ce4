package netio

import (
	"crypto/hmac"
	"crypto/sha256"

	"lockd/netio/wire"
)

// role separates the two proofs of a handshake, so that neither can be sent back
// as the other.
type role string

const (
	acceptorRole role = "lockd link, accepting side\x00"
	dialerRole   role = "lockd link, dialing side\x00"
)

// transcript is what both sides of a handshake have seen: the payloads of hello
// and welcome as sent, each with the nonce of its side. A proof over it shows
// that its sender knows the secret now, in this handshake, and that nobody
// changed a field of either.
type transcript struct {
	hello, welcome []byte
}

// proof computes the proof of one side, zero without a secret.
func (t transcript) proof(secret []byte, by role) wire.Proof {
	var p wire.Proof
	if len(secret) == 0 {
		return p
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(by))
	writeWithoutProof(mac, t.hello)
	writeWithoutProof(mac, t.welcome)
	mac.Sum(p[:0])
	return p
}

// matches reports whether p is the proof of the other side. Without a secret
// only the zero proof matches: a side with a secret talks to no side without.
func (t transcript) matches(secret []byte, by role, p wire.Proof) bool {
	want := t.proof(secret, by)
	return hmac.Equal(want[:], p[:])
}

// writeWithoutProof adds a payload to mac with zeros for its proof.
func writeWithoutProof(mac interface{ Write([]byte) (int, error) }, payload []byte) {
	var zero wire.Proof
	_, _ = mac.Write(payload[:wire.PeerProofAt])
	_, _ = mac.Write(zero[:])
	_, _ = mac.Write(payload[wire.PeerProofAt+len(zero):])
}
