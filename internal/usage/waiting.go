package usage

import (
	"context"
	"fmt"
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
	counts map[place]*count
	lost   int64 // requests for which there was no room
}

// place is where requests are counted: of the time, the minute.
type place struct {
	key  keys.ID
	at   int64 // Unix seconds
	what keys.What
}

type count struct {
	n    int64
	last time.Time
}

// add adds n requests. While the store is down this grows: from half of most
// on, requests of an hour are counted together, and beyond it there is no room
// for what is new.
func (w *waiting) add(key keys.ID, what keys.What, n int64, last time.Time, most int) {
	at := place{key, keys.Minute.Floor(last).Unix(), what}
	c := w.counts[at]
	if c == nil && len(w.counts) >= most/2 {
		at.at = keys.Hour.Floor(last).Unix()
		c = w.counts[at]
	}
	if c == nil {
		if len(w.counts) >= most {
			w.lost += n
			return
		}
		c = new(count)
		w.counts[at] = c
	}
	c.n += n
	if last.After(c.last) {
		c.last = last
	}
}

// write writes all, some at a time.
func (w *waiting) write(ctx context.Context, store Store, some int) error {
	for {
		if w.sent == nil {
			w.sent = w.next(some)
		}
		if w.sent == nil {
			break
		}
		if err := store.AddUsage(ctx, *w.sent); err != nil {
			return err
		}
		w.sent = nil
	}
	if lost := w.lost; lost > 0 {
		w.lost = 0
		return fmt.Errorf("%d requests were not counted: the store was down for too long", lost)
	}
	return nil
}

// next takes some counts as a batch; nil if there are none.
func (w *waiting) next(some int) *keys.UsageBatch {
	if len(w.counts) == 0 {
		return nil
	}
	w.number++
	batch := &keys.UsageBatch{Writer: w.writer, Number: w.number}
	for at, c := range w.counts {
		if len(batch.Used) == some {
			break
		}
		batch.Used = append(batch.Used, keys.Used{Key: at.key, What: at.what, N: c.n, LastAt: c.last})
		delete(w.counts, at)
	}
	return batch
}
