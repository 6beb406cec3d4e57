package keys

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTheLastUseOnlyMovesForward(t *testing.T) {
	id := &Identity{}
	for _, step := range []struct {
		milli int64
		moves bool
		last  int64
	}{
		{5000, true, 5000},
		{5999, false, 5000},
		{6000, true, 6000},
		{1000, false, 6000},
		{6000, false, 6000},
		{1 << 59, true, 1 << 59},
	} {
		if moved := id.UsedAt(step.milli, time.Second); moved != step.moves || lastUse(id) != step.last {
			t.Errorf("used at %d: moved %t, to %d", step.milli, moved, lastUse(id))
		}
	}
}

func TestFlagsAndTheLastUseDoNotTouchEachOther(t *testing.T) {
	id := &Identity{}
	if !id.Queue() || id.Queue() || !id.StartRefresh() || id.StartRefresh() {
		t.Fatal("a flag is raised not once")
	}
	if !id.UsedAt(7000, time.Second) || lastUse(id) != 7000 {
		t.Fatalf("used at %d", lastUse(id))
	}
	if id.Queue() || id.StartRefresh() {
		t.Error("a use lowers a flag")
	}
	id.Unqueue()
	if id.StartRefresh() || !id.Queue() {
		t.Error("the queue and the refresh are one flag")
	}
	id.EndRefresh()
	if id.Queue() || !id.StartRefresh() || lastUse(id) != 7000 {
		t.Error("a refresh that failed changes more than its flag")
	}
}

func TestOfManyAtOnceOneQueuesAndNoUseIsLost(t *testing.T) {
	id := &Identity{}
	var queued, refreshing atomic.Int32
	var all sync.WaitGroup
	const users, each = 8, 1000
	for user := range int64(users) {
		all.Go(func() {
			for i := range int64(each) {
				id.UsedAt(1000*(i*users+user), time.Second)
				if id.Queue() {
					queued.Add(1)
				}
				if id.StartRefresh() {
					refreshing.Add(1)
				}
			}
		})
	}
	all.Wait()
	if queued.Load() != 1 || refreshing.Load() != 1 {
		t.Errorf("queued %d times, refreshed %d times", queued.Load(), refreshing.Load())
	}
	if want := int64(1000 * (users*each - 1)); lastUse(id) != want {
		t.Errorf("last used at %d, want %d", lastUse(id), want)
	}
}

func lastUse(id *Identity) int64 { return id.used.Load() >> flagBits }

func TestALastUseIsTakenOnce(t *testing.T) {
	id := new(Identity)
	if got := id.TakeLastUse(); got != 0 {
		t.Errorf("never used, and used at %d", got)
	}
	for _, at := range []int64{5000, 7000} {
		id.UsedAt(at, time.Second)
		id.UsedAt(at+1, time.Second) // too soon to be noted
		if got := id.TakeLastUse(); got != at {
			t.Errorf("used at %d, want %d", got, at)
		}
		if got := id.TakeLastUse(); got != 0 {
			t.Errorf("taken again: %d", got)
		}
	}
	if lastUse(id) != 7000 {
		t.Errorf("it forgot that it was used: %d", lastUse(id))
	}
}
