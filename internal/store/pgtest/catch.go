package pgtest

import (
	"bytes"
	"sync"
)

// Catch is the connections of a proxy on which clients have said a certain
// text. It counts how often that was said, and can hold what the server
// answers on these connections alone.
type Catch struct {
	text []byte

	mu      sync.Mutex
	times   int
	held    chan struct{} // closed: answers pass
	arrived chan struct{} // an answer is held
}

// Catch catches the connections on which text is said from now on.
func (p *Proxy) Catch(text string) *Catch {
	open := make(chan struct{})
	close(open)
	c := &Catch{text: []byte(text), held: open}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.catches = append(p.catches, c)
	return c
}

// Times returns how often the text was said.
func (c *Catch) Times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times
}

// Hold keeps back what the server answers from now on where the text was
// said. The channel tells when a first answer is held.
func (c *Catch) Hold() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.arrived = make(chan struct{}), make(chan struct{}, 1)
	return c.arrived
}

// Release lets the held answers go, and all later ones.
func (c *Catch) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.held:
	default:
		close(c.held)
	}
}

// heard counts what is said, and reports whether the text is in it.
func (c *Catch) heard(said []byte) bool {
	n := bytes.Count(said, c.text)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times += n
	return n > 0
}

// await returns when answers pass.
func (c *Catch) await() {
	c.mu.Lock()
	held, arrived := c.held, c.arrived
	c.mu.Unlock()
	select {
	case <-held:
	default:
		select {
		case arrived <- struct{}{}:
		default: // not the first one
		}
		<-held
	}
}

// ask carries what the client says.
func (p *Proxy) ask(c *pair) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.client.Read(buffer)
		p.mu.Lock()
		for _, catch := range p.catches {
			if catch.heard(buffer[:n]) { // before the server can have answered
				c.caught[catch] = struct{}{}
			}
		}
		p.mu.Unlock()
		if _, broken := c.server.Write(buffer[:n]); err != nil || broken != nil {
			return
		}
	}
}

// caughtBy returns who caught the connection.
func (p *Proxy) caughtBy(c *pair) (all []*Catch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for catch := range c.caught {
		all = append(all, catch)
	}
	return all
}
