package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/valyala/fastjson"

	"lockd/lockd/node"
	"lockd/lockd/placement"
)

// ErrAsk is wrapped by what a node answers to a change that it did not make.
var ErrAsk = errors.New("admin: the cluster was not changed")

// ErrAskAgain is an ErrAsk for a reason that ends by itself, within seconds as a rule.
var ErrAskAgain = fmt.Errorf("%w yet", ErrAsk)

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 4 << 20

// ChangeRequest is a change that is asked for.
type ChangeRequest struct {
	placement.Change
	// Force has a node replaced although it is up.
	Force bool
}

// Ask has a node make a change, by its admin listener at address, host:port.
func Ask(ctx context.Context, address string, c *ChangeRequest) error {
	form := url.Values{"node": {strconv.Itoa(int(c.Node))}}
	if c.Peer != "" {
		form.Set("peer", c.Peer)
	}
	if c.Client != "" {
		form.Set("client", c.Client)
	}
	if c.Kind == placement.Move {
		form.Set("group", strconv.Itoa(int(c.Group)))
	}
	if c.Force {
		form.Set("force", "true")
	}
	verb := c.Kind
	if verb == placement.Keep {
		verb = placement.Remove
		form.Set("undo", "true")
	}
	_, err := ask(ctx, http.MethodPost,
		"http://"+address+"/v1/cluster/"+verb.String()+"?"+form.Encode())
	return err
}

// AskDrain tells the node at address, host:port, how to drain: node.DrainAside or
// node.NotDraining.
func AskDrain(ctx context.Context, address string, to node.Draining) error {
	form := url.Values{"undo": {strconv.FormatBool(to == node.NotDraining)}}
	_, err := ask(ctx, http.MethodPost, "http://"+address+"/v1/cluster/drain?"+form.Encode())
	return err
}

// Progress is how far the cluster has come with its changes, as a node knows it.
type Progress struct {
	Cluster string // its name
	Node    int    // who was asked
	// Draining says that this node gives its leaderships away, Leads are the
	// groups that it leads.
	Draining bool
	Leads    []int
	// TakesFaults says that it does faults to itself (faults.allow).
	TakesFaults bool
	// Moving counts the groups that are not at home yet.
	Moving int
	// Record is the version of the cluster's record, States what it says of each
	// node.
	Record uint64
	States map[int]string
	// Awaited are the nodes whose disk has not been seen.
	Awaited map[int]bool
	// Leaders is who leads each group, zero if that is not known; Preferred is who
	// is to.
	Leaders, Preferred map[int]int
}

// AskProgress asks a node how far the cluster has come.
func AskProgress(ctx context.Context, address string) (Progress, error) {
	p := Progress{States: make(map[int]string), Awaited: make(map[int]bool),
		Leaders: make(map[int]int), Preferred: make(map[int]int)}
	v, err := ask(ctx, http.MethodGet, "http://"+address+"/v1/status")
	if err != nil {
		return p, err
	}
	p.Cluster, p.Node = string(v.GetStringBytes("cluster")), v.GetInt("node")
	p.Draining = v.GetBool("draining")
	p.TakesFaults = v.GetBool("faults_allowed")
	for _, x := range v.GetArray("groups") {
		if x.GetBool("leading") {
			p.Leads = append(p.Leads, x.GetInt("group"))
		}
	}
	for _, x := range v.GetArray("leaders") {
		g := x.GetInt("group")
		p.Leaders[g], p.Preferred[g] = x.GetInt("leader"), x.GetInt("preferred")
	}
	p.Moving, p.Record = v.GetInt("moving"), v.GetUint64("record")
	for _, x := range v.GetArray("nodes") {
		id := x.GetInt("node")
		p.States[id] = string(x.GetStringBytes("state"))
		p.Awaited[id] = string(x.GetStringBytes("disk")) == "0000000000000000"
	}
	return p, nil
}

func ask(ctx context.Context, method, address string) (*fastjson.Value, error) {
	return askWith(ctx, method, address, "")
}

// askWith is ask of what needs a secret.
func askWith(ctx context.Context, method, address, secret string) (*fastjson.Value, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the admin listener: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	v, err := fastjson.ParseBytes(body)
	if err != nil {
		return nil, fmt.Errorf("%s answers %s with what is no JSON: %w", address, res.Status, err)
	}
	if res.Header.Get(retryAfter) != "" {
		return nil, fmt.Errorf("%w: %s", ErrAskAgain, v.GetStringBytes("error"))
	}
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return nil, fmt.Errorf("%w: %s", ErrFaultSecret, v.GetStringBytes("error"))
	case http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s", ErrFaultsOff, v.GetStringBytes("error"))
	default:
		return nil, fmt.Errorf("%w: %s", ErrAsk, v.GetStringBytes("error"))
	}
	return v, nil
}
