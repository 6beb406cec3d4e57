package usage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// waiting is what was counted and is not written yet.
type waiting struct {
	writer string // names this process
	number int64  // of the last batch
	// sent is a batch of which nobody knows whether it was written: it is sent
	// again as it was, so that it is not counted twice.
	sent   *keys.UsageBatch
	counts map[place]count
	lost   int64 // requests for which there was no room
}

// place is where requests are counted: of the time, the minute.
type place struct {
	at   int64 // Unix seconds
	key  keys.ID
	what keys.What
}

type count struct{ n, last int64 } // last in Unix milliseconds

// add adds n requests. While the store is down this grows: from three quarters of
// most on, requests of an hour are counted together, and beyond it there is no room
// for what is new.
func (w *waiting) add(key keys.ID, what keys.What, n, last int64, most int) {
	at := place{keys.Minute.Floor(time.UnixMilli(last)).Unix(), key, what}
	c, known := w.counts[at]
	if !known && len(w.counts) >= most/4*3 {
		at.at = keys.Hour.Floor(time.UnixMilli(last)).Unix()
		c, known = w.counts[at]
	}
	if !known && len(w.counts) >= most {
		w.lost += n
		return
	}
	w.counts[at] = count{c.n + n, max(c.last, last)}
}

// write writes all, some at a time.
func (w *waiting) write(ctx context.Context, store Store, some int) error {
	if err := w.send(ctx, store); err != nil {
		return err
	}
	for places := range slices.Chunk(w.places(), some) {
		w.number++
		w.sent = &keys.UsageBatch{Writer: w.writer, Number: w.number, Used: make([]keys.Used, len(places))}
		for i, at := range places {
			c := w.counts[at]
			w.sent.Used[i] = keys.Used{Key: at.key, What: at.what, N: c.n, LastAt: time.UnixMilli(c.last)}
			delete(w.counts, at)
		}
		if err := w.send(ctx, store); err != nil {
			return err
		}
	}
	w.counts = map[place]count{} // one that was large stays large, and the collector looks through it
	if lost := w.lost; lost > 0 {
		w.lost = 0
		return fmt.Errorf("%d requests were not counted: the store was down for too long", lost)
	}
	return nil
}

// send sends the last batch, if it is not known to be written.
func (w *waiting) send(ctx context.Context, store Store) error {
	if w.sent == nil {
		return nil
	}
	if err := store.AddUsage(ctx, *w.sent); err != nil {
		return err
	}
	w.sent = nil
	return nil
}

// places returns where requests wait, in the order in which stores keep them:
// a batch is then written to few pages. Ids of keys sort by their creation.
func (w *waiting) places() []place {
	all := make([]place, 0, len(w.counts))
	for at := range w.counts {
		all = append(all, at)
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(string(a.key), string(b.key)),
			strings.Compare(a.what.API, b.what.API), strings.Compare(a.what.Endpoint, b.what.Endpoint))
	})
	return all
}
