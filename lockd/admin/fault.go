package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"
)

// Kinds of faults that a node does to itself.
const (
	FaultCut    = "cut"     // frames of peers are lost, both ways
	FaultCutIn  = "cut-in"  // those that come
	FaultCutOut = "cut-out" // those that leave
	FaultSlow   = "slow"    // those that leave are late
	FaultDisk   = "disk"    // syncs of the log stand still
	FaultPause  = "pause"   // no turn runs
	FaultCrash  = "crash"   // the process ends at once
)

// FaultKinds lists the kinds.
func FaultKinds() []string {
	return []string{FaultCut, FaultCutIn, FaultCutOut, FaultSlow, FaultDisk, FaultPause, FaultCrash}
}

// Bounds of a fault.
const (
	MaxFault = 60 * time.Second // how long it lasts
	MaxDelay = 5 * time.Second  // of FaultSlow
)

// Fault is a fault that a node does to itself.
type Fault struct {
	Kind string
	// For is how long it lasts, up to MaxFault. It ends then, whoever is gone.
	For time.Duration
	// Peer is the node to which links are cut or slow, zero for all.
	Peer uint16
	// Delay is how late frames are, for FaultSlow.
	Delay time.Duration
}

// ErrFaultActive: a fault lasts already; one is done at a time.
var ErrFaultActive = errors.New("admin: another fault lasts already")

// Errors of AskFault, besides ErrAsk.
var (
	// ErrFaultsOff: the node takes no faults: its faults.allow is false.
	ErrFaultsOff = errors.New("admin: the node takes no faults")
	// ErrFaultSecret: the secret is not that of the node's faults.secret_file.
	ErrFaultSecret = errors.New("admin: wrong secret for faults")
)

// Faults are what does them in a node that may. Its functions may be called from any
// goroutine.
type Faults struct {
	Secret []byte
	Begin  func(Fault) error
	Heal   func()
	Active func() (Fault, time.Duration)
}

// fault has this node do something to itself:
//
//	POST /v1/faults/{kind}?for=10s[&peer=2][&delay=50ms]
//	POST /v1/faults/heal
//
// with the secret of faults.secret_file in the header, Authorization: Bearer SECRET.
// 200 says that it has begun, 403 that the node takes none, 401 that the secret is
// wrong, 409 that one lasts already, 400 why never.
func (h *handler) fault(w http.ResponseWriter, r *http.Request) {
	f := h.opts.Faults
	if f == nil {
		fail(w, http.StatusForbidden, "this node takes no faults: its setting faults.allow is false")
		return
	}
	given := []byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if subtle.ConstantTimeCompare(given, f.Secret) != 1 {
		fail(w, http.StatusUnauthorized,
			"the secret is not that of this node's faults.secret_file (Authorization: Bearer SECRET)")
		return
	}
	if r.PathValue("kind") == "heal" {
		f.Heal()
		write(w, appendFault(nil, Fault{Kind: "heal"}))
		return
	}
	x, err := parseFault(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := f.Begin(x); err != nil {
		fail(w, http.StatusConflict, err.Error())
		return
	}
	write(w, appendFault(nil, x))
}

func parseFault(r *http.Request) (Fault, error) {
	x := Fault{Kind: r.PathValue("kind")}
	known := false
	for _, kind := range FaultKinds() {
		known = known || kind == x.Kind
	}
	if !known {
		return x, fmt.Errorf("%q is no fault, must be %s or heal", x.Kind,
			strings.Join(FaultKinds(), ", "))
	}
	var err error
	if x.For, err = time.ParseDuration(r.FormValue("for")); err != nil || x.For <= 0 ||
		x.For > MaxFault {
		return x, fmt.Errorf("for is %q, must be a length of time up to %s", r.FormValue("for"), MaxFault)
	}
	if text := r.FormValue("peer"); text != "" {
		peer, err := strconv.ParseUint(text, 10, 16)
		if err != nil || peer == 0 {
			return x, fmt.Errorf("peer is %q, must be 1 to 65535", text)
		}
		x.Peer = uint16(peer)
	}
	if x.Kind != FaultSlow {
		return x, nil
	}
	if x.Delay, err = time.ParseDuration(r.FormValue("delay")); err != nil || x.Delay <= 0 ||
		x.Delay > MaxDelay {
		return x, fmt.Errorf("delay is %q, must be a length of time up to %s", r.FormValue("delay"),
			MaxDelay)
	}
	return x, nil
}

func appendFault(dst []byte, x Fault) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("fault", x.Kind)
	if x.For > 0 {
		o.millis("for_ms", x.For)
	}
	return o.end(dst)
}

// faults adds whether the node takes faults, and which lasts.
func (o object) faults(f *Faults) {
	o.truth("faults_allowed", truth(f != nil))
	if f == nil {
		return
	}
	if x, left := f.Active(); x.Kind != "" {
		o.text("fault", x.Kind)
		o.millis("fault_left_ms", left)
	}
}

// AskFault has the node at address, host:port, do a fault to itself.
func AskFault(ctx context.Context, address, secret string, x Fault) error {
	form := url.Values{"for": {x.For.String()}}
	if x.Peer != 0 {
		form.Set("peer", strconv.Itoa(int(x.Peer)))
	}
	if x.Delay != 0 {
		form.Set("delay", x.Delay.String())
	}
	_, err := askWith(ctx, http.MethodPost, "http://"+address+"/v1/faults/"+x.Kind+"?"+form.Encode(),
		secret)
	return err
}

// AskHeal has the node at address end the fault that it does to itself, if there is one.
func AskHeal(ctx context.Context, address, secret string) error {
	_, err := askWith(ctx, http.MethodPost, "http://"+address+"/v1/faults/heal", secret)
	return err
}
