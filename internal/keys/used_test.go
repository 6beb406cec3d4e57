package keys

import (
	"sync"
	"sync/atomic"
	"testing"
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
		{maxLast, true, maxLast},
		{1 << 59, false, maxLast}, // in the year 18 million
		{-1, false, maxLast},
	} {
		if moved := id.Use(step.milli, 0).Noted; moved != step.moves || lastUse(id) != step.last {
			t.Errorf("used at %d: moved %t, to %d", step.milli, moved, lastUse(id))
		}
	}
}

func TestFlagsAndTheLastUseDoNotTouchEachOther(t *testing.T) {
	id := &Identity{}
	if !id.Queue() || id.Queue() || !id.StartRefresh() || id.StartRefresh() {
		t.Fatal("a flag is raised not once")
	}
	if !id.Use(7000, 0).Noted || lastUse(id) != 7000 {
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
				id.Use(1000*(i*users+user), 0)
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

func lastUse(id *Identity) int64 { return id.Uses().Last }

func TestALastUseIsTakenOnce(t *testing.T) {
	id := new(Identity)
	if got := id.TakeLastUse(); got != 0 {
		t.Errorf("never used, and used at %d", got)
	}
	for _, at := range []int64{5000, 7000} {
		id.Use(at, 0)
		id.Use(at+1, 0) // too soon to be noted
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

func TestOneThingIsCountedHere(t *testing.T) {
	id := new(Identity)
	id.Queue()
	const noon = 20_000 * 24 * 60 * minute
	for i, step := range []struct {
		milli int64
		thing Thing
		want  Use
	}{
		{noon, 3, Use{Counted: true, Noted: true}},
		{noon, 3, Use{Counted: true}},
		{noon + 1, 3, Use{Counted: true, Noted: true}}, // more exact than a second
		{noon - minute, 3, Use{Counted: true}},         // late: it counts with the others
		{noon + 999, 4, Use{}},
		{noon + 1001, 4, Use{Noted: true}},
		{noon + 2500, 0, Use{Noted: true}},
		{noon + minute, 3, Use{Counted: true, Noted: true, Over: Uses{3, 4, noon + 2500}}},
		{noon + 2*minute, 4, Use{Counted: true, Noted: true, Over: Uses{3, 1, noon + minute}}},
		{noon + 3*minute, 0, Use{Noted: true, Over: Uses{4, 1, noon + 2*minute}}},
		{noon + 4*minute - 1, MaxThing, Use{Counted: true, Noted: true}},
		{noon + 4*minute, 0, Use{Noted: true, Over: Uses{MaxThing, 1, noon + 4*minute - 1}}}, // within a second
	} {
		if got := id.Use(step.milli, step.thing); got != step.want {
			t.Errorf("step %d: %+v, want %+v", i, got, step.want)
		}
	}
	if id.Queue() || !id.StartRefresh() || id.TakeLastUse() != noon+4*minute {
		t.Error("counting touches what is beside it")
	}
}

func TestWhatIsCountedHereIsBounded(t *testing.T) {
	id := new(Identity)
	total := int64(0)
	for range 2000 {
		use := id.Use(5000, MaxThing)
		if !use.Counted {
			t.Fatal("not counted")
		}
		total += use.Over.N
	}
	left := id.TakeUses()
	if total += left.N; total != 2000 || left.Thing != MaxThing || left.Last != 5000 {
		t.Errorf("counted %d of 2000 uses, at last %+v", total, left)
	}
	if again := id.TakeUses(); again.N != 0 || lastUse(id) != 5000 {
		t.Errorf("taken again: %+v", again)
	}
}

func TestCountingAtOnceLosesNothing(t *testing.T) {
	id := new(Identity)
	var counted atomic.Int64
	var all sync.WaitGroup
	const users, each = 8, 5000
	for user := range users {
		all.Go(func() {
			for i := range int64(each) {
				use := id.Use(i*minute/100, Thing(user%2+1))
				counted.Add(use.Over.N)
				if !use.Counted {
					counted.Add(1) // elsewhere
				}
				if user == 0 && i%10 == 0 {
					counted.Add(id.TakeUses().N)
				}
			}
		})
	}
	all.Wait()
	if got := counted.Load() + id.TakeUses().N; got != users*each {
		t.Errorf("counted %d of %d", got, users*each)
	}
}
