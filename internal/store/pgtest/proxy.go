package pgtest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/freeport"
)

// Proxy is a way over TCP to a server, on which answers can be held, delayed
// and cut off.
type Proxy struct {
	network, server string // where it leads
	address         string // where it listens; kept when it refuses

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	pairs    map[*pair]struct{}
	held     chan struct{} // closed: answers pass
	delay    time.Duration
	arrived  chan struct{} // an answer is held
	dead     bool
	catches  []*Catch
}

type pair struct {
	client, server net.Conn
	caught         map[*Catch]struct{}
}

// NewProxy starts a way to a server. It ends with the test.
func NewProxy(t testing.TB, network, server string) *Proxy {
	t.Helper()
	open := make(chan struct{})
	close(open)
	p := &Proxy{network: network, server: server, address: freeport.Addresses(t, 1)[0], pairs: map[*pair]struct{}{}, held: open, arrived: make(chan struct{}, 1)}
	p.Accept(t)
	t.Cleanup(func() {
		p.mu.Lock()
		p.dead = true
		catches := p.catches
		p.mu.Unlock()
		for _, catch := range catches {
			catch.Release()
		}
		p.Release()
		p.Refuse()
		p.Cut()
	})
	return p
}

// Address returns the address of a database through the proxy.
func (p *Proxy) Address(database string) string {
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", p.address, database)
}

// Host returns host and port.
func (p *Proxy) Host() string { return p.address }

// Accept lets connections in, at the same port as before.
func (p *Proxy) Accept(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = listener
	go p.serve(listener)
}

// Refuse refuses new connections; those that are there stay.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close() // nothing can be done
		p.listener = nil
	}
}

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.close()
	}
}

// Lead makes new connections lead to another server.
func (p *Proxy) Lead(network, server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.network, p.server = network, server
}

// Hold keeps back what the server answers from now on, on all connections.
// The channel tells when a first answer is held.
func (p *Proxy) Hold() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = make(chan struct{})
	p.arrived = make(chan struct{}, 1)
	return p.arrived
}

// Release lets the held answers go, and all later ones.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.held:
	default:
		close(p.held)
	}
}

// Delay makes each answer wait.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Connections returns how many there are.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}

func (p *Proxy) serve(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go p.carry(client)
		}
	}
}

func (p *Proxy) carry(client net.Conn) {
	p.mu.Lock()
	network, address := p.network, p.server
	p.mu.Unlock()
	server, err := net.Dial(network, address)
	if err != nil {
		_ = client.Close() // nothing was said
		return
	}
	c := &pair{client: client, server: server, caught: map[*Catch]struct{}{}}
	p.mu.Lock()
	p.pairs[c] = struct{}{}
	if p.dead {
		c.close()
	}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.ask(c); c.close() })
	both.Go(func() { p.answer(c); c.close() })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

func (c *pair) close() {
	_ = c.client.Close() // twice does no harm
	_ = c.server.Close()
}

// answer carries what the server says.
func (p *Proxy) answer(c *pair) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.server.Read(buffer)
		if n > 0 {
			p.mu.Lock()
			held, arrived, delay := p.held, p.arrived, p.delay
			p.mu.Unlock()
			select {
			case <-held:
			default:
				select {
				case arrived <- struct{}{}:
				default:
				}
				<-held
			}
			for _, catch := range p.caughtBy(c) {
				catch.await()
			}
			if delay > 0 {
				time.Sleep(delay)
			}
			if _, err := c.client.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Target returns where new connections lead.
func (p *Proxy) Target() (network, server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.network, p.server
}
