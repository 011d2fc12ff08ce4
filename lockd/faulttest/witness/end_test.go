package witness

import (
	"strings"
	"testing"

	"lockd/netio/wire"
)

const milli = int64(1_000_000)

// story is a short history of one name, told in order. Every answer comes one
// millisecond after its request was sent.
type story struct{ History }

func newStory() *story {
	s := &story{}
	s.Names = []string{"n"}
	s.Sessions = make(map[SessionKey]Session)
	return s
}

// session opens a session whose newest renewal was sent at a moment.
func (s *story) session(id uint64, renewedMillis int64) *story {
	s.Sessions[SessionKey{Session: id}] = Session{LeaseMillis: 1000, Renewed: renewedMillis * milli,
		Closed: Open, Over: Open}
	return s
}

// change edits a session.
func (s *story) change(id uint64, edit func(*Session)) *story {
	x := s.Sessions[SessionKey{Session: id}]
	edit(&x)
	s.Sessions[SessionKey{Session: id}] = x
	return s
}

// add tells what was sent at a moment, and answered from a slot; no slot is no
// answer.
func (s *story) add(atMillis int64, slot uint64, r Record) *story {
	r.Began, r.Ended, r.Slot = atMillis*milli, atMillis*milli+milli, slot
	if slot == 0 {
		r.Ended, r.Status = Open, 0
	}
	s.Records = append(s.Records, r)
	return s
}

func grant(session, token uint64) Record {
	return Record{Kind: wire.KindAcquire, Status: wire.StatusOK, Session: session, Request: token,
		Token: token, Mode: wire.ModeEX}
}

func release(session, token uint64, status wire.Status) Record {
	return Record{Kind: wire.KindRelease, Status: status, Session: session, Token: token}
}

func refusal(session, token uint64) Record {
	return Record{Kind: wire.KindAcquire, Status: wire.StatusHeld, Session: session,
		Request: 1000 + token, Token: token, Mode: wire.ModeEX}
}

func detached(r Record, ttlMillis uint32) Record {
	r.Session, r.TTLMillis = r.Session|wire.DetachedOwner, ttlMillis
	return r
}

// pulse is an answer that only shows how far the log is.
func pulse(session uint64) Record {
	return Record{Kind: wire.KindCancel, Status: wire.StatusCancelled, Session: session,
		Request: 1 << 50}
}

// TestEnds: a hold ends by a release, or when it may, and not before.
func TestEnds(t *testing.T) {
	two := func() *story { return newStory().session(1, 0).session(2, 5000) }
	cancelled := Record{Kind: wire.KindCancel, Status: wire.StatusCancelled, Session: 1, Request: 5}
	found := cancelled
	found.Status, found.Token = wire.StatusAlreadyGranted, 5
	unheard := grant(1, 5)
	renewal := detached(release(1, 5, wire.StatusOK), 1000)
	renewal.Kind = wire.KindRenewHold
	tooLate := newStory().session(1, 0).change(1, func(s *Session) { s.Over = 1001 * milli })
	for _, row := range []struct {
		name string
		want string // of the violation; empty for none
		s    *story
	}{
		{"lease over", "", two().add(0, 1, grant(1, 5)).add(980, 2, pulse(2)).
			add(1100, 3, grant(2, 6))},
		{"lease not over", "I14", two().add(0, 1, grant(1, 5)).add(900, 3, grant(2, 6)).
			add(995, 4, pulse(2))},
		{"lease over, slot from before", "I14", two().add(0, 1, grant(1, 5)).
			add(900, 7, pulse(2)).add(1100, 7, grant(2, 6))},
		{"closed", "", two().change(1, func(s *Session) { s.Closed = 50 * milli }).
			add(0, 1, grant(1, 5)).add(60, 2, grant(2, 6))},
		{"closed later", "I14", two().change(1, func(s *Session) { s.Closed = 70 * milli }).
			add(0, 1, grant(1, 5)).add(60, 2, grant(2, 6)).add(62, 3, pulse(2)).
			add(65, 4, pulse(2))},
		{"release not answered", "", two().add(0, 1, grant(1, 5)).
			add(50, 0, release(1, 5, 0)).add(60, 2, grant(2, 6))},
		{"release not answered, sent later", "I14", two().add(0, 1, grant(1, 5)).
			add(60, 2, grant(2, 6)).add(62, 3, pulse(2)).add(70, 0, release(1, 5, 0))},
		{"release of another not answered", "I14", two().add(0, 1, grant(1, 5)).
			add(50, 0, release(2, 5, 0)).add(60, 2, grant(2, 6))},
		{"refused release after the lease", "", two().add(0, 1, grant(1, 5)).
			add(1100, 2, release(1, 5, wire.StatusNotHolder))},
		{"refused release before the end of the lease", "I18", two().add(0, 1, grant(1, 5)).
			add(500, 2, release(1, 5, wire.StatusNotHolder)).add(995, 3, pulse(2))},
		{"said to hold after a refused release", "I18", two().add(0, 1, grant(1, 5)).
			add(1100, 2, release(1, 5, wire.StatusNotHolder)).add(1200, 3, refusal(2, 5))},
		{"cancel finds the grant", "", two().add(0, 0, unheard).add(10, 2, found).
			add(20, 3, release(1, 5, wire.StatusOK)).add(30, 4, grant(2, 6))},
		{"cancel finds what nobody asked for", "I19", two().add(10, 2, found).
			add(20, 3, release(1, 5, wire.StatusOK))},
		{"cancelled while it holds", "I18", two().add(0, 1, grant(1, 5)).add(10, 2, cancelled).
			add(20, 3, pulse(2)).add(30, 4, pulse(2))},
		{"refused because of an unheard grant", "", two().add(0, 0, unheard).
			add(10, 2, refusal(2, 5)).add(20, 3, grant(2, 6))},
		{"refused because of two unheard grants", "I23", two().add(0, 0, unheard).
			add(10, 2, refusal(2, 5)).add(20, 3, refusal(2, 6))},
		{"session nobody opened", "I16", newStory().session(2, 0).add(0, 1, grant(1, 5)).
			add(10, 2, grant(2, 6))},
		{"detached, over", "", two().add(0, 1, detached(grant(1, 5), 300)).
			add(310, 2, grant(2, 6))},
		{"detached, not over", "I14", two().add(0, 1, detached(grant(1, 5), 300)).
			add(250, 2, grant(2, 6)).add(280, 3, pulse(2)).add(290, 4, pulse(2))},
		{"detached, renewed", "I14", two().add(0, 1, detached(grant(1, 5), 300)).
			add(200, 2, renewal).add(350, 3, grant(2, 6)).add(400, 4, pulse(2)).
			add(410, 5, pulse(2))},
		{"session over too early", "I21", newStory().session(1, 100).
			change(1, func(s *Session) { s.Over = 1001 * milli })},
		{"session over in time", "", tooLate},
	} {
		t.Run(strings.ReplaceAll(row.name, " ", "_"), func(t *testing.T) {
			r := Check(&row.s.History, Options{Drift: drift})
			text := strings.Join(r.Violations, "\n")
			if (r.Err() == nil) != (row.want == "") || !strings.Contains(text, row.want) {
				t.Errorf("got %q, want %q", text, row.want)
			}
		})
	}
}

func take(session, token uint64, permits, capacity uint32) Record {
	r := grant(session, token)
	r.Kind, r.Mode, r.Permits, r.Capacity = wire.KindTake, wire.ModeNL, permits, capacity
	return r
}

func enter(session, request, token uint64) Record {
	r := grant(session, token)
	r.Kind, r.Request, r.Owner = wire.KindEnter, request, 9
	return r
}

func leave(session, request, token uint64) Record {
	r := release(session, token, wire.StatusOK)
	r.Kind, r.Request = wire.KindLeave, request
	return r
}

// TestKinds: permits are not exceeded, and what an owner entered it holds until
// it has left as often.
func TestKinds(t *testing.T) {
	two := func() *story { return newStory().session(1, 9000).session(2, 9000) }
	found := Record{Kind: wire.KindCancel, Status: wire.StatusAlreadyGranted, Session: 1, Request: 51,
		Token: 5}
	other := enter(1, 53, 5)
	other.Owner = 8
	for _, row := range []struct {
		name string
		want string
		s    *story
	}{
		{"permits up to capacity", "", two().add(0, 1, take(1, 5, 1, 3)).add(5, 2, take(2, 6, 2, 3))},
		{"permits above capacity", "I14", two().add(0, 1, take(1, 5, 2, 3)).
			add(5, 2, take(2, 6, 2, 3))},
		{"permits given back", "", two().add(0, 1, take(1, 5, 2, 3)).
			add(5, 2, release(1, 5, wire.StatusOK)).add(9, 3, take(2, 6, 2, 3))},
		{"permits given back later", "I14", two().add(0, 1, take(1, 5, 2, 3)).
			add(5, 2, take(2, 6, 2, 3)).add(9, 3, release(1, 5, wire.StatusOK))},
		{"another capacity", "I14", two().add(0, 1, take(1, 5, 1, 3)).add(5, 2, take(2, 6, 1, 4))},
		{"lock beside permits", "I14", two().add(0, 1, take(1, 5, 1, 3)).add(5, 2, grant(2, 6))},
		{"permits beside a lock", "I14", two().add(0, 1, grant(1, 5)).add(5, 2, take(2, 6, 1, 3))},
		{"entered twice", "", two().add(0, 1, enter(1, 50, 5)).add(5, 2, enter(1, 51, 5)).
			add(9, 3, leave(1, 50, 5)).add(12, 4, leave(1, 51, 5)).add(15, 5, enter(2, 52, 6))},
		{"passed on before the last leave", "I14", two().add(0, 1, enter(1, 50, 5)).
			add(5, 2, enter(1, 51, 5)).add(9, 3, leave(1, 50, 5)).add(12, 4, enter(2, 52, 6)).
			add(15, 5, leave(1, 51, 5))},
		{"passed on and never left", "I14", two().add(0, 1, enter(1, 50, 5)).
			add(5, 2, enter(1, 51, 5)).add(9, 3, leave(1, 50, 5)).add(12, 4, enter(2, 52, 6))},
		{"left twice", "I18", two().add(0, 1, enter(1, 50, 5)).add(5, 2, leave(1, 50, 5)).
			add(9, 3, leave(1, 50, 5))},
		{"left by a stranger", "I18", two().add(0, 1, enter(1, 50, 5)).add(5, 2, leave(2, 50, 5))},
		{"token of another owner", "I15", two().add(0, 1, enter(1, 50, 5)).add(5, 2, other)},
		{"leave not answered", "", two().add(0, 1, enter(1, 50, 5)).add(5, 0, leave(1, 50, 5)).
			add(9, 2, enter(2, 52, 6))},
		{"one of two leaves not sent", "I14", two().add(0, 1, enter(1, 50, 5)).
			add(5, 2, enter(1, 51, 5)).add(9, 0, leave(1, 50, 5)).add(12, 3, enter(2, 52, 6))},
		{"cancel finds one more", "I14", two().add(0, 1, enter(1, 50, 5)).
			add(5, 0, enter(1, 51, 5)).add(6, 2, found).add(9, 3, leave(1, 50, 5)).
			add(12, 4, enter(2, 52, 6))},
		{"perhaps entered once more", "", two().add(0, 1, enter(1, 50, 5)).
			add(5, 0, enter(1, 51, 5)).add(9, 3, leave(1, 50, 5)).add(12, 4, refusal(2, 5)).
			add(15, 5, enter(2, 52, 6))},
		{"said to hold after the last leave", "I23", two().add(0, 1, enter(1, 50, 5)).
			add(9, 3, leave(1, 50, 5)).add(12, 4, refusal(2, 5))},
	} {
		t.Run(strings.ReplaceAll(row.name, " ", "_"), func(t *testing.T) {
			r := Check(&row.s.History, Options{Drift: drift})
			text := strings.Join(r.Violations, "\n")
			if (r.Err() == nil) != (row.want == "") || !strings.Contains(text, row.want) {
				t.Errorf("got %q, want %q", text, row.want)
			}
		})
	}
}

// TestOrder: slots agree with real time.
func TestOrder(t *testing.T) {
	get := Record{Kind: wire.KindGet, Status: wire.StatusNotFound}
	for _, row := range []struct {
		name string
		want string
		s    *story
	}{
		{"in order", "", newStory().session(1, 0).add(0, 4, pulse(1)).add(5, 5, pulse(1))},
		{"overlapping, any order", "", newStory().session(1, 0).add(0, 5, pulse(1)).
			add(0, 4, pulse(1))},
		{"behind an answer, before it in the log", "I23", newStory().session(1, 0).
			add(0, 5, pulse(1)).add(5, 4, pulse(1))},
		{"behind an answer, at its slot", "I23", newStory().session(1, 0).
			add(0, 5, pulse(1)).add(5, 5, pulse(1))},
		{"read at the slot of an answer", "", newStory().session(1, 0).
			add(0, 5, pulse(1)).add(5, 5, get)},
		{"read before the slot of an answer", "I23", newStory().session(1, 0).
			add(0, 5, pulse(1)).add(5, 4, get)},
		{"far apart", "I23", newStory().session(1, 0).add(0, 9, pulse(1)).add(5, 10, pulse(1)).
			add(8, 8, pulse(1)).add(9, 11, pulse(1))},
	} {
		t.Run(strings.ReplaceAll(row.name, " ", "_"), func(t *testing.T) {
			r := Check(&row.s.History, Options{Drift: drift})
			if (r.Err() == nil) != (row.want == "") || r.Err() != nil &&
				!strings.Contains(r.Err().Error(), row.want) {
				t.Errorf("got %v, want %q", r.Err(), row.want)
			}
		})
	}
}
