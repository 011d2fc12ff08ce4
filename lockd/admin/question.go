package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"lockd/client"
)

// requestTimeout bounds a question about locks.
const requestTimeout = 5 * time.Second

// maxPage bounds the locks of one answer, usualTop is how many names waited for most
// there are in one unless it is said.
const maxPage, usualTop = 10_000, 20

const (
	// maxAsking bounds the questions about locks that are answered at a time, maxToldRoom
	// what answers take that have not been read.
	maxAsking, maxToldRoom = 8, 64 << 20
	// askStep is how many locks of a list are asked for at a time, and maxPageBytes after
	// how many bytes of names a page is full. In JSON they may be six times as long.
	askStep, maxPageBytes = 250, 1 << 20
)

// unknownLock is what is said of a lock that the cluster does not know, by its name.
type unknownLock string

func (n unknownLock) Error() string {
	return fmt.Sprintf("lock %q: nobody holds it or waits for it", string(n))
}

// ask answers a request with what a question says, or with why it could not be put:
// wrong is what is wrong with the request itself.
func (h *handler) ask(w http.ResponseWriter, r *http.Request, wrong error,
	question func(context.Context, Locks) ([]byte, error)) {
	if wrong != nil {
		fail(w, http.StatusBadRequest, wrong.Error())
		return
	}
	body, err := h.answer(r.Context(), question)
	if err != nil {
		failWith(w, err)
		return
	}
	if !h.told.take(len(body)) {
		w.Header().Set(retryAfter, "1")
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("answers that nobody has read yet take all of "+
			"the %d MiB that there are for them: ask another node, or later", maxToldRoom>>20))
		return
	}
	defer h.told.give(len(body))
	write(w, body)
}

// answer makes an answer, if need be once others are made.
func (h *handler) answer(ctx context.Context,
	question func(context.Context, Locks) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	select {
	case h.asking <- struct{}{}:
		defer func() { <-h.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%d other questions were not answered in time: %w", maxAsking,
			context.Cause(ctx))
	}
	locks, err := h.opts.Locks(ctx)
	if err != nil {
		return nil, err
	}
	return question(ctx, locks)
}

func (h *handler) locks(w http.ResponseWriter, r *http.Request) {
	limit, err := atMost(r, "limit", 1000, maxPage)
	h.ask(w, r, err, func(ctx context.Context, locks Locks) ([]byte, error) {
		list, full, err := page(ctx, locks, r.FormValue("prefix"), r.FormValue("after"), limit)
		if err != nil {
			return nil, err
		}
		if full {
			limit = len(list)
		}
		return AppendList(nil, list, limit), nil
	})
}

// page asks for the locks of a page, which is full at limit, or at maxPageBytes.
func page(ctx context.Context, locks Locks, prefix, after string, limit int) (
	list []client.ListEntry, full bool, err error) {
	for bytes := 0; len(list) < limit; {
		step := min(askStep, limit-len(list))
		more, err := locks.List(ctx, prefix, client.ListOptions{After: after, Limit: step})
		if err != nil {
			return nil, false, err
		}
		list = append(list, more...)
		if len(more) < step {
			return list, false, nil
		}
		for i := range more {
			bytes += len(more[i].Name) + len(more[i].Client)
		}
		if after = more[len(more)-1].Name; bytes > maxPageBytes {
			break
		}
	}
	return list, true, nil
}

func (h *handler) lock(w http.ResponseWriter, r *http.Request) {
	h.ask(w, r, needName(r), func(ctx context.Context, locks Locks) ([]byte, error) {
		info, err := locks.Get(ctx, r.FormValue("name"))
		if errors.Is(err, client.ErrNotFound) {
			return nil, unknownLock(r.FormValue("name"))
		}
		if err != nil {
			return nil, err
		}
		return AppendLock(nil, info), nil
	})
}

// why answers what a request for a lock would wait for.
func (h *handler) why(w http.ResponseWriter, r *http.Request) {
	h.ask(w, r, needName(r), func(ctx context.Context, locks Locks) ([]byte, error) {
		why, err := locks.Why(ctx, r.FormValue("name"))
		if err != nil {
			return nil, err
		}
		return AppendWhy(nil, why), nil
	})
}

// top answers which names are waited for most.
func (h *handler) top(w http.ResponseWriter, r *http.Request) {
	limit, err := atMost(r, "limit", usualTop, maxPage)
	h.ask(w, r, err, func(ctx context.Context, locks Locks) ([]byte, error) {
		top, err := locks.Top(ctx, limit)
		if err != nil {
			return nil, err
		}
		return AppendTop(nil, top), nil
	})
}

// history answers who held a lock.
func (h *handler) history(w http.ResponseWriter, r *http.Request) {
	opts, err := historyOptions(r)
	h.ask(w, r, err, func(ctx context.Context, locks Locks) ([]byte, error) {
		past, err := locks.History(ctx, r.FormValue("name"), opts)
		if err != nil {
			return nil, err
		}
		return AppendHistory(nil, past), nil
	})
}

// needName refuses a request about one lock that names none.
func needName(r *http.Request) error {
	if r.FormValue("name") == "" {
		return fmt.Errorf("name is missing: %s?name=…", r.URL.Path)
	}
	return nil
}

// atMost reads a parameter that is a number from 1 to most; it is value if it is left
// out.
func atMost(r *http.Request, key string, value, most int) (int, error) {
	text := r.FormValue(key)
	if text == "" {
		return value, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s is %q, must be 1 to %d", key, text, most)
	}
	return n, nil
}

// failWith answers with an error of the client.
func failWith(w http.ResponseWriter, err error) {
	fail(w, statusOf(err), err.Error())
}

// statusOf is the status of an error of the client.
func statusOf(err error) int {
	var unknown unknownLock
	switch {
	case errors.As(err, &unknown), errors.Is(err, client.ErrNotFound),
		errors.Is(err, client.ErrNoHistory):
		return http.StatusNotFound
	case errors.Is(err, client.ErrBadName), errors.Is(err, client.ErrNameTooLong),
		errors.Is(err, client.ErrOptions):
		return http.StatusBadRequest
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	case errors.Is(err, client.ErrBusy):
		return http.StatusTooManyRequests
	}
	return http.StatusBadGateway
}
