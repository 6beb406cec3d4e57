package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// soon is when the contract wants all to be right again after a fault.
const soon = 5 * time.Second

func testKey(name string) keys.New {
	now := time.Now()
	secret, err := keys.NewSecret("kw", nil)
	if err != nil {
		panic(err)
	}
	return keys.New{Digest: secret.Digest(), Key: keys.Key{
		ID: keys.NewID(), Name: name, Prefix: secret.Prefix(), Permissions: permission.Set{Mode: permission.All},
		Enabled: true, CreatedAt: now, UpdatedAt: now, CreatedBy: "test",
	}}
}

func openTest(t testing.TB, address string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the test may have closed it, or broken its server
	return s
}

func by() keys.By { return keys.By{Actor: "test", At: time.Now()} }

func create(t testing.TB, s *Store, ks ...keys.New) {
	t.Helper()
	if err := s.Create(t.Context(), by(), "create", ks); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until do returns nil.
func eventually(t testing.TB, within time.Duration, do func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for err := do(); err != nil; err = do() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", within, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// behind returns a server of the test's own, a database on it, and a proxy
// before it.
func behind(t testing.TB, o pgtest.Options) (server *pgtest.Server, direct string, proxy *pgtest.Proxy, address string) {
	t.Helper()
	server = pgtest.Start(t, o)
	direct = server.Database(t)
	network, socket := server.Socket()
	proxy = pgtest.NewProxy(t, network, socket)
	return server, direct, proxy, proxy.Address(pgtest.Name(direct))
}

// find looks up with the gate's deadline.
func find(t testing.TB, s *Store, d keys.Digest) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := s.Find(ctx, d)
	return err
}

func TestAfterARestartTheFirstLookUpSucceeds(t *testing.T) {
	server, address, _, _ := behind(t, pgtest.Options{})
	s := openTest(t, address, Options{})
	k := testKey("a")
	create(t, s, k)
	// Several connections are open, and all of them die.
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := find(t, s, k.Digest); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	server.Kill()
	if err := find(t, s, k.Digest); err == nil {
		t.Fatal("found without a server")
	}
	server.Restart(t)
	for range 5 {
		if err := find(t, s, k.Digest); err != nil {
			t.Fatalf("after the restart: %v", err)
		}
	}
	eventually(t, soon, func() error { return s.Create(t.Context(), by(), "create", []keys.New{testKey("b")}) })
}

// The answer of a look-up is held while another node deletes the key: it says
// what was so when it was asked, and the gate's ticket keeps it out of the
// cache. What the store must do is to tell of the deletion meanwhile.
func TestADeletionIsHeardOfWhileALookUpIsHeld(t *testing.T) {
	_, direct, proxy, address := behind(t, pgtest.Options{})
	other := openTest(t, direct, Options{})
	s := openTest(t, address, Options{Listen: direct})
	k := testKey("a")
	create(t, other, k)
	if err := find(t, s, k.Digest); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, func() error { return hearing(s) })
	held := proxy.Hold()
	found := make(chan error, 1)
	go func() { found <- find(t, s, k.Digest) }()
	<-held
	if err := other.Delete(t.Context(), by(), k.Key.ID, keys.Guard{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, func() error { return heard(s, 2) })
	proxy.Release()
	if err := <-found; err != nil {
		t.Fatalf("the held look-up: %v", err)
	}
	if err := find(t, s, k.Digest); !errors.Is(err, keys.ErrNoSuchKey) {
		t.Fatalf("after the deletion: %v", err)
	}
}

// highest is the number that was heard of last.
func (n *news) highest() keys.Seq {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.heard
}

func hearing(s *Store) error {
	if s.news.hearing.Load() == 0 {
		return errors.New("notifications are not heard")
	}
	return nil
}

func heard(s *Store, want keys.Seq) error {
	if highest := s.news.highest(); highest != want {
		return fmt.Errorf("the last change that was heard of is %d, want %d", highest, want)
	}
	return nil
}

func TestAStoppedServerKeepsNobodyLongAndIsUsedAgain(t *testing.T) {
	server, address, _, _ := behind(t, pgtest.Options{})
	s := openTest(t, address, Options{})
	k := testKey("a")
	create(t, s, k)
	if err := find(t, s, k.Digest); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	var all sync.WaitGroup
	began := time.Now()
	for range 30 { // more than there are connections
		all.Go(func() {
			if err := find(t, s, k.Digest); err == nil {
				t.Error("a stopped server answered")
			}
		})
	}
	// The feed says that it is cut.
	if err := s.AwaitChange(t.Context(), 1); err == nil {
		t.Error("a change on a stopped server")
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a stopped server can be asked")
	}
	all.Wait()
	if took := time.Since(began); took > 7*time.Second {
		t.Errorf("a stopped server kept callers for %s", took)
	}
	server.Resume()
	eventually(t, soon, func() error { return find(t, s, k.Digest) })
	eventually(t, soon, func() error { return s.Ping(t.Context()) })
	eventually(t, soon, func() error { return s.Create(t.Context(), by(), "create", []keys.New{testKey("b")}) })
	eventually(t, 2*soon, func() error { return hearing(s) })
}

// A network that swallows everything: no connection breaks, none answers.
func TestAConnectionThatHangsIsLeft(t *testing.T) {
	_, direct, proxy, address := behind(t, pgtest.Options{})
	s, other := openTest(t, address, Options{}), openTest(t, direct, Options{})
	k := testKey("a")
	create(t, s, k)
	eventually(t, soon, func() error { return hearing(s) })
	proxy.Hold()
	if err := find(t, s, k.Digest); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a look-up without an answer: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.AwaitChange(ctx, 1); err == nil || ctx.Err() != nil {
		t.Errorf("the feed does not notice: %v, %v", err, ctx.Err())
	}
	create(t, other, testKey("b"))
	// The connections that hang are left for good: new ones answer.
	proxy.Cut()
	proxy.Release()
	eventually(t, soon, func() error { return find(t, s, k.Digest) })
	eventually(t, soon, func() error {
		changes, err := s.Changes(t.Context(), 1, 10)
		if err == nil && len(changes) != 1 {
			err = fmt.Errorf("%d changes", len(changes))
		}
		return err
	})
}

func TestAListenerNoticesThatItsConnectionHangs(t *testing.T) {
	_, direct, proxy, address := behind(t, pgtest.Options{})
	s := openTest(t, direct, Options{Listen: address})
	eventually(t, soon, func() error { return hearing(s) })
	proxy.Hold()
	eventually(t, stillThere+askTime+soon, func() error {
		if s.news.hearing.Load() > 0 {
			return errors.New("it believes to hear")
		}
		return nil
	})
	// Meanwhile the feed looks often.
	began := time.Now()
	other := openTest(t, direct, Options{})
	create(t, other, testKey("a"))
	if err := s.AwaitChange(t.Context(), 0); err != nil || time.Since(began) > soon {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
	proxy.Release()
	proxy.Cut()
	eventually(t, soon, func() error { return hearing(s) })
}

func TestACutConnectionIsMadeAgain(t *testing.T) {
	_, direct, proxy, address := behind(t, pgtest.Options{})
	s, other := openTest(t, address, Options{}), openTest(t, direct, Options{})
	for after := range keys.Seq(10) {
		eventually(t, soon, func() error { return hearing(s) })
		done := make(chan error, 1)
		go func() {
			var err error
			for {
				if err = s.AwaitChange(t.Context(), after); err == nil || t.Context().Err() != nil {
					break
				}
			}
			done <- err
		}()
		proxy.Cut()
		create(t, other, testKey("a"))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		eventually(t, soon, func() error {
			changes, err := s.Changes(t.Context(), after, 10)
			if err == nil && (len(changes) != 1 || changes[0].Seq != after+1) {
				err = fmt.Errorf("changes %v after %d", changes, after)
			}
			return err
		})
	}
}

func TestARefusedConnectionIsTriedAgain(t *testing.T) {
	_, _, proxy, address := behind(t, pgtest.Options{})
	proxy.Refuse()
	began := time.Now()
	s := openTest(t, address, Options{})
	if took := time.Since(began); took > soon {
		t.Errorf("opening took %s, though the connection was refused at once", took)
	}
	err := find(t, s, testKey("").Digest)
	if err == nil || errors.Is(err, keys.ErrNoSuchKey) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("without a server: %v", err)
	}
	if err := s.AwaitChange(t.Context(), 0); err == nil {
		t.Error("a change without a server")
	}
	proxy.Accept(t)
	k := testKey("a")
	eventually(t, soon, func() error { return s.Create(t.Context(), by(), "create", []keys.New{k}) })
	if err := find(t, s, k.Digest); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, func() error { return hearing(s) })
}

func TestAFullServerIsTriedAgain(t *testing.T) {
	server, address, _, _ := behind(t, pgtest.Options{MaxConnections: 10, Settings: []string{"superuser_reserved_connections=0"}})
	create(t, openTest(t, address, Options{}), testKey("a"))
	s := openTest(t, address, Options{})
	k := testKey("b")
	create(t, s, k)
	server.Kill()
	server.Restart(t)
	var greedy []interface{ Close(context.Context) error }
	for len(greedy) < 10 {
		conn, err := tryConnect(t.Context(), address)
		if err != nil {
			break // full
		}
		greedy = append(greedy, conn)
	}
	eventually(t, soon, func() error {
		if err := s.Create(t.Context(), by(), "create", []keys.New{testKey("c")}); err == nil {
			return errors.New("there is room still")
		}
		return nil
	})
	for _, conn := range greedy {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	eventually(t, soon, func() error { return find(t, s, k.Digest) })
	eventually(t, soon, func() error { return s.Create(t.Context(), by(), "create", []keys.New{testKey("d")}) })
}

// The first host in the address dies; the one that can be written to is the
// second. A server that only reads is not used.
func TestAFailoverToAnotherHost(t *testing.T) {
	_, direct, proxy, _ := behind(t, pgtest.Options{})
	standby := pgtest.Start(t, pgtest.Options{Settings: []string{"default_transaction_read_only=on"}})
	network, socket := standby.Socket()
	first := pgtest.NewProxy(t, network, socket)
	name := pgtest.Name(direct)
	if err := makeDatabase(t, standby, name); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("postgres://postgres@%s,%s/%s?sslmode=disable", first.Host(), proxy.Host(), name)
	s := openTest(t, address, Options{})
	k := testKey("a")
	create(t, s, k)

	// The roles change: what was written to only reads, and the other way round.
	network, socket = proxy.Target()
	first.Lead(network, socket)
	network, socket = standby.Socket()
	proxy.Lead(network, socket)
	proxy.Cut()
	eventually(t, soon, func() error { return find(t, s, k.Digest) })
	eventually(t, soon, func() error { return s.Create(t.Context(), by(), "create", []keys.New{testKey("b")}) })
}

func TestASlowServerMakesNothingElseWait(t *testing.T) {
	_, _, proxy, address := behind(t, pgtest.Options{})
	s := openTest(t, address, Options{})
	k := testKey("a")
	create(t, s, k)
	proxy.Delay(300 * time.Millisecond)
	began := time.Now()
	if err := find(t, s, k.Digest); err != nil {
		t.Fatal(err)
	}
	// One round trip, and not two. A new connection takes a few.
	if err := find(t, s, k.Digest); err != nil {
		t.Fatal(err)
	}
	t.Logf("two look-ups took %s, with 300 ms to the server and back", time.Since(began))
}
