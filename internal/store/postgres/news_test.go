package postgres

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// Whoever may connect to the database may notify. What is said is a hint: it
// neither hides a change nor keeps the feed asking.
func TestANotificationThatLiesHidesNoChangeAndIsForgotten(t *testing.T) {
	address := pgtest.Database(t)
	s, other := openTest(t, address, Options{}), openTest(t, address, Options{})
	create(t, other, testKey("a"))
	eventually(t, soon, func() error { return hearing(s) })
	liar := pgtest.Connect(t, address)
	for i, lie := range []string{"1000000", "9223372036854775807", "0", "-5", "", "99999999999999999999", "1; DROP TABLE keys", "²"} {
		at := keys.Seq(i + 1)
		if _, err := liar.Exec(t.Context(), `SELECT pg_notify('keywarden_changes', $1)`, lie); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- follow(t, s, at) }()
		eventually(t, soon, func() error {
			if s.news.highest() > at {
				return fmt.Errorf("after %q, change %d is believed in", lie, s.news.highest())
			}
			return nil
		})
		create(t, other, testKey(fmt.Sprint("b", i)))
		if err := <-done; err != nil {
			t.Fatalf("after %q: %v", lie, err)
		}
	}
}

// follow does what the feed does until there is a change.
func follow(t *testing.T, s *Store, after keys.Seq) error {
	t.Helper()
	const most = 20 // a few times it finds nothing
	for range most {
		if err := s.AwaitChange(t.Context(), after); err != nil {
			return err
		}
		if changes, err := s.Changes(t.Context(), after, 10); err != nil || len(changes) > 0 {
			return err
		}
	}
	return errors.New("asked again and again, and nothing was there")
}

// holdASecondChange has s hear of a first change of other's; the second one is
// made, and the server has told of it, but the proxy holds that back.
func holdASecondChange(t *testing.T, s, other *Store, proxy *pgtest.Proxy) {
	t.Helper()
	eventually(t, patience, func() error { return hearing(s) })
	create(t, other, testKey("a"))
	if err := follow(t, s, 0); err != nil {
		t.Fatal(err)
	}
	held := proxy.Hold()
	create(t, other, testKey("b"))
	<-held
}

// A network may swallow what the listener should hear, and leave its
// connection as it is: the first change is then found by looking, after half a
// second, and those after it must not take as long again.
func TestAListenerThatMissedAChangeIsNotReliedUpon(t *testing.T) {
	_, direct, proxy, address := behind(t, pgtest.Options{})
	s, other := openTest(t, direct, Options{Listen: address}), openTest(t, direct, Options{})
	holdASecondChange(t, s, other, proxy)
	if err := follow(t, s, 1); err != nil {
		t.Fatal(err)
	}
	if hearing(s) == nil {
		t.Error("it believes to hear, and was told nothing of the last change")
	}
	create(t, other, testKey("c"))
	if err := follow(t, s, 2); err != nil {
		t.Fatal(err)
	}
	proxy.Release() // what was held is heard now
	eventually(t, patience, func() error { return hearing(s) })
	create(t, other, testKey("d"))
	if err := follow(t, s, 3); err != nil {
		t.Fatal(err)
	}
}

// A look that is under way when the notification comes finds the change as
// well, and says nothing about the listener.
func TestAListenerThatHeardDuringALookIsReliedUpon(t *testing.T) {
	_, direct, listening, listen := behind(t, pgtest.Options{})
	network, socket := listening.Target()
	looking := pgtest.NewProxy(t, network, socket)
	looks := looking.Catch(lastSQL)
	s, other := openTest(t, looking.Address(pgtest.Name(direct)), Options{Listen: listen}), openTest(t, direct, Options{})
	holdASecondChange(t, s, other, listening)
	asked := looks.Hold()
	followed := make(chan error, 1)
	go func() { followed <- s.AwaitChange(t.Context(), 1) }()
	<-asked // the answer says that there is a change
	listening.Release()
	eventually(t, patience, func() error { return heard(s, 2) })
	looks.Release()
	if err := <-followed; err != nil {
		t.Fatal(err)
	}
	if err := hearing(s); err != nil {
		t.Error("after it was told of the change: ", err)
	}
}

// patience is for what takes as long as a busy machine does.
const patience = 30 * time.Second

// What is committed before the listener listens is notified to nobody.
func TestWhatWasCommittedWhileNothingWasHeardIsLookedUp(t *testing.T) {
	n := newNews(nil, nil)
	is := func(want known, place keys.Seq) {
		t.Helper()
		if got, _ := n.after(place); got != want {
			t.Errorf("after %d: %d, want %d", place, got, want)
		}
	}
	is(notSure, 0) // nothing was asked yet
	n.missed = false
	is(nothingNew, 0)
	_, come := n.after(0)
	n.hear(2)
	<-come
	is(nothingNew, 2)
	is(somethingNew, 0)
	is(notSure, 0) // it found nothing there
	is(somethingNew, 1)
	_, come = n.after(2)
	n.hear(1) // late: it is known
	n.miss()
	<-come
	is(notSure, 2)
}
