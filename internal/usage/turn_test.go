package usage

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// writes is a real store that counts how often it is written to.
type writes struct {
	keys.Store
	touched, added int // keys
	fail           error
}

func (w *writes) Touch(ctx context.Context, used map[keys.ID]time.Time) error {
	if w.fail != nil {
		return w.fail
	}
	w.touched += len(used)
	return w.Store.Touch(ctx, used)
}

func (w *writes) AddUsage(ctx context.Context, b keys.UsageBatch) error {
	if w.fail != nil {
		return w.fail
	}
	w.added += len(b.Used)
	return w.Store.AddUsage(ctx, b)
}

// busy is a Recorder of keys that are used all the time.
type busy struct {
	*testing.T
	*Recorder
	store *writes
	ids   []*keys.Identity
}

func newBusy(t *testing.T, users int) *busy {
	t.Helper()
	s := &writes{Store: newStore(t)}
	b := &busy{t, New(s), s, nil}
	b.limits.batch = 3
	for range users {
		b.ids = append(b.ids, createKey(t, s))
	}
	return b
}

// pass lets time pass from one flush to the next, and on.
func (b *busy) pass(from, to time.Time) {
	b.Helper()
	for at := from; !at.After(to); at = at.Add(FlushInterval) {
		if err := b.flush(b.Context(), at, false); !errors.Is(err, b.store.fail) {
			b.Fatal(err)
		}
		for _, id := range b.ids {
			b.Count(id, reads(""), at.Add(time.Second))
		}
	}
}

func TestFewKeysAreWrittenDownWithEachFlush(t *testing.T) {
	b := newBusy(t, 3)
	b.pass(noon, noon.Add(time.Minute))
	if b.store.touched != 3*6 || b.store.added != 3*6 {
		t.Errorf("in a minute %d times of use and %d counts, want 18 of each", b.store.touched, b.store.added)
	}
}

func TestManyKeysAreCountedInTheStoreOnceAMinuteAndNotedThreeTimes(t *testing.T) {
	b := newBusy(t, 4)
	b.pass(noon.Add(-time.Minute), noon) // the first minute's turn was taken
	touched, added := b.store.touched, b.store.added
	b.pass(noon.Add(FlushInterval), noon.Add(time.Minute))
	if touched, added := b.store.touched-touched, b.store.added-added; touched != 4*3 || added != 4 {
		t.Errorf("in a minute %d times of use and %d counts, want 12 and 4", touched, added)
	}
	for _, id := range b.ids {
		if got := counted(t, b.store, id.ID())[""]; got != 6+6 {
			t.Errorf("counted %d in the minutes before and after noon, want 12", got)
		}
	}
}

func TestAStartWritesMuchWhenItIsItsTurn(t *testing.T) {
	var began time.Time
	var b *busy
	for same := false; !same; same = began.Equal(time.Now().Truncate(touchInterval)) { // it began and was made in one turn
		began = time.Now().Truncate(touchInterval)
		b = newBusy(t, 0)
	}
	for range 10 {
		b.ids = append(b.ids, createKey(t, b.store))
		b.Count(b.ids[len(b.ids)-1], reads(""), began)
	}
	flushAt := func(at time.Time) {
		t.Helper()
		if err := b.flush(t.Context(), at, false); err != nil {
			t.Fatal(err)
		}
	}
	flushAt(began.Add(touchInterval - 1))
	if b.store.touched+b.store.added > 0 {
		t.Errorf("in the turn of the start %d times of use and %d counts were written", b.store.touched, b.store.added)
	}
	flushAt(began.Add(touchInterval))
	if b.store.touched != 10 {
		t.Errorf("with the next turn %d times of use were written, want 10", b.store.touched)
	}
	flushAt(began.Add(addInterval))
	if b.store.added != 10 {
		t.Errorf("with the next minute %d counts were written, want 10", b.store.added)
	}
}

func TestLastUseIsNeverOlderThanItMayBe(t *testing.T) {
	b := newBusy(t, 20)
	for at := noon; at.Before(noon.Add(3 * time.Minute)); at = at.Add(FlushInterval) {
		b.pass(at, at)
		if at.Before(noon.Add(touchInterval)) { // they were used for a shorter time than that
			continue
		}
		for _, id := range b.ids {
			if last := lastUsed(t, b.store, id.ID()); at.Sub(last) > touchInterval {
				t.Fatalf("at %s the last use is of %s", at, last)
			}
		}
	}
}

func TestAFlushThatIsAskedForWritesAll(t *testing.T) {
	b := newBusy(t, 10)
	b.pass(noon, noon.Add(FlushInterval))
	flush(t, b.Recorder)
	for _, id := range b.ids {
		if got := counted(t, b.store, id.ID())[""]; got != 2 {
			t.Errorf("counted %d, want 2", got)
		}
	}
	if len(b.unwritten)+len(b.waiting.counts) != 0 {
		t.Errorf("%d times of use and %d counts wait", len(b.unwritten), len(b.waiting.counts))
	}
}

// A turn that the store missed is taken with the next flush, not a minute later.
func TestATurnThatFailedIsTakenWithTheNextFlush(t *testing.T) {
	b := newBusy(t, 10)
	b.pass(noon, noon.Add(50*time.Second))
	touched, added := b.store.touched, b.store.added
	b.store.fail = errors.New("database is locked")
	b.pass(noon.Add(60*time.Second), noon.Add(60*time.Second))
	if b.store.touched != touched || b.store.added != added {
		t.Fatal("the store took something")
	}
	b.store.fail = nil
	b.pass(noon.Add(70*time.Second), noon.Add(70*time.Second))
	if b.store.touched == touched || b.store.added == added {
		t.Errorf("touched %d and added %d keys, as before", b.store.touched, b.store.added)
	}
}

func TestWhatHasNoRoomToWaitIsWritten(t *testing.T) {
	b := newBusy(t, 10)
	b.limits.waiting = 2 * 10
	b.pass(noon, noon.Add(time.Minute))
	if b.store.touched != 10*6 || b.store.added != 10*6 {
		t.Errorf("in a minute %d times of use and %d counts, want 60 of each", b.store.touched, b.store.added)
	}
}

// Between turns, what is counted stays with the keys.
func TestManyKeysAreLookedAtWhenItIsTheirTurn(t *testing.T) {
	b := newBusy(t, 10)
	b.pass(noon, noon) // the turn of noon
	b.pass(noon.Add(10*time.Second), noon.Add(50*time.Second))
	if len(b.waiting.counts)+len(b.unwritten)+len(b.former) != 0 {
		t.Errorf("%d counts and %d times of use wait beside the keys", len(b.waiting.counts)+len(b.former), len(b.unwritten))
	}
	for _, id := range b.ids {
		if n := id.Uses().N; n != 6 || id.Tally.Load() != nil {
			t.Errorf("%d of its 6 uses are counted with it, beside a tally %v", n, id.Tally.Load())
		}
	}
}

func TestAUseIsNotedOnce(t *testing.T) {
	b := newBusy(t, 10)
	b.pass(noon, noon)
	touched := b.store.touched
	for at := noon.Add(FlushInterval); !at.After(noon.Add(2 * time.Minute)); at = at.Add(FlushInterval) {
		if err := b.flush(t.Context(), at, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.store.touched - touched; got != 10 {
		t.Errorf("10 keys that were used once were noted %d times", got)
	}
}

func TestWhatIsCountedKeepsItsMinuteWhenTheFlushIsLate(t *testing.T) {
	b := newBusy(t, 4)
	b.pass(noon, noon) // and one use a second later
	late := noon.Add(time.Minute + 3*time.Second)
	for range 2 {
		b.Count(b.ids[0], reads(""), late) // before the flush of that minute
	}
	if err := b.flush(t.Context(), late, false); err != nil {
		t.Fatal(err)
	}
	flush(t, b.Recorder)
	wantMinutes(t, b.store, b.ids[0].ID(), keys.UsageBucket{At: noon, Allowed: 1}, keys.UsageBucket{At: noon.Add(time.Minute), Allowed: 2})
}

// However many things are told apart, they are made room for in time.
func TestWhatLeavesNoRoomIsCollectedBeforeItsTurn(t *testing.T) {
	b := newBusy(t, 10)
	b.pass(noon, noon)
	for _, id := range b.ids {
		b.Count(id, reads("a second thing"), noon)
	}
	b.perNode = 20
	b.pass(noon.Add(FlushInterval), noon.Add(FlushInterval))
	if b.apart.Load() > b.perNode/2 || b.store.added < 10 {
		t.Errorf("%d things are told apart, %d counts were written", b.apart.Load(), b.store.added)
	}
}

func TestWhatIsCountedWhileAFlushHangsIsBounded(t *testing.T) {
	b := newBusy(t, 5)
	b.limits.waiting = 2 * 8
	for minute := range 10 {
		for _, id := range b.ids {
			b.Count(id, reads(""), noon.Add(time.Duration(minute)*time.Minute))
		}
	}
	if len(b.former) != 8 {
		t.Errorf("%d counts of former minutes, want 8", len(b.former))
	}
	b.limits.waiting = 1000
	flush(t, b.Recorder)
	for _, id := range b.ids {
		if got := counted(t, b.store, id.ID())[""]; got != 10 {
			t.Errorf("counted %d, want 10", got)
		}
	}
}
