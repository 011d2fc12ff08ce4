package main

import (
	"errors"
	"fmt"
	"testing"

	"lockd/lockd/admin"
	"lockd/lockd/config"
	"lockd/lockd/placement"
)

// TestAddressesOfTheBirthAreTaken proves that nobody is invited to, or comes back at, an
// address that only files name, and that a file does not speak for a node that has moved
// or gone since it was written.
func TestAddressesOfTheBirthAreTaken(t *testing.T) {
	listed := []config.Node{{ID: 1, Peer: "a:1", Client: "a:2"}, {ID: 2, Peer: "b:1", Client: "b:2"},
		{ID: 3, Peer: "c:1", Client: "c:2"}, {ID: 7, Peer: "h:1", Client: "h:2"}}
	r := placement.Record{Nodes: []placement.Node{
		{ID: 1, State: placement.Member},
		{ID: 2, State: placement.Member, Peer: "m:1", Client: "m:2"},
		{ID: 3, State: placement.Gone},
	}}
	for _, row := range []struct {
		name   string
		change placement.Change
		want   error
	}{
		{"its peer address", placement.Change{Node: 4, Peer: "a:1", Client: "d:2"}, placement.ErrRefused},
		{"its client address", placement.Change{Node: 2, Peer: "d:1", Client: "a:2"},
			placement.ErrRefused},
		{"the other way round", placement.Change{Node: 4, Peer: "a:2", Client: "d:2"},
			placement.ErrRefused},
		{"its own", placement.Change{Node: 1, Peer: "a:1", Client: "a:2"}, nil},
		{"of one that has moved", placement.Change{Node: 4, Peer: "b:1", Client: "b:2"}, nil},
		{"of one that has gone", placement.Change{Node: 4, Peer: "c:1", Client: "c:2"}, nil},
		{"of one that is not there", placement.Change{Node: 4, Peer: "h:1", Client: "h:2"}, nil},
		{"none", placement.Change{Node: 2}, nil},
	} {
		if err := clashes(listed, &r, &row.change); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

// TestRefusedChangeIsSaidPlainly proves that an operator reads why, and not from where.
func TestRefusedChangeIsSaidPlainly(t *testing.T) {
	err := adminFailure(fmt.Errorf("%w: %w: the cluster has no node 9", admin.ErrAsk,
		placement.ErrRefused))
	want := "the cluster was not changed: change refused: the cluster has no node 9"
	if err.Error() != want || exitCode(err) != exitFailure {
		t.Errorf("got %q and exit code %d, want %q and %d", err, exitCode(err), want, exitFailure)
	}
}
