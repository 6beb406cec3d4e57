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
		{1 << 60, true, 1 << 60},
	} {
		if moved := id.UsedAt(step.milli, time.Second); moved != step.moves || id.LastUse() != step.last {
			t.Errorf("used at %d: moved %t, to %d", step.milli, moved, id.LastUse())
		}
	}
}

func TestFlagsAndTheLastUseDoNotTouchEachOther(t *testing.T) {
	id := &Identity{}
	if !id.Queue() || id.Queue() || !id.StartRefresh() || id.StartRefresh() {
		t.Fatal("a flag is raised not once")
	}
	if !id.UsedAt(7000, time.Second) || id.LastUse() != 7000 {
		t.Fatalf("used at %d", id.LastUse())
	}
	if id.Queue() || id.StartRefresh() {
		t.Error("a use lowers a flag")
	}
	id.Unqueue()
	if id.StartRefresh() || !id.Queue() {
		t.Error("the queue and the refresh are one flag")
	}
	id.EndRefresh()
	if id.Queue() || !id.StartRefresh() || id.LastUse() != 7000 {
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
	if want := int64(1000 * (users*each - 1)); id.LastUse() != want {
		t.Errorf("last used at %d, want %d", id.LastUse(), want)
	}
}
