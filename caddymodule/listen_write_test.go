package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// large is more than the kernel takes for a client that does not read.
var large = bytes.Repeat([]byte("0123456789abcdef"), 1<<20)

// written is what became of a write.
type written struct {
	n    int64
	err  error
	took time.Duration
}

// writeLarge writes more than there is room for.
func (v *visit) writeLarge(write func(*guest) (int64, error)) <-chan written {
	done := make(chan written, 1)
	began := time.Now()
	go func() {
		n, err := write(v.guest)
		done <- written{n, err, time.Since(began)}
	}()
	return done
}

func byWrite(g *guest) (int64, error) {
	n, err := g.Write(large)
	return int64(n), err
}

func byReadFrom(g *guest) (int64, error) { return g.ReadFrom(bytes.NewReader(large)) }

func (v *visit) setWriteDeadline(t *testing.T, in time.Duration) {
	t.Helper()
	at := time.Time{}
	if in != 0 {
		at = time.Now().Add(in)
	}
	if err := v.SetWriteDeadline(at); err != nil {
		t.Fatal(err)
	}
}

// wantAll reads all that was written.
func (v *visit) wantAll(t *testing.T) {
	t.Helper()
	got := make([]byte, len(large))
	if err := v.client.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(v.client, got); err != nil || !bytes.Equal(got, large) {
		t.Errorf("read %d bytes, %v; want all as they were written", n, err)
	}
}

const short = 40 * time.Millisecond

func TestADeadlineThatIsMovedOnIsNotSet(t *testing.T) {
	v := active(t)
	v.setWriteDeadline(t, time.Minute)
	set := v.writeSet
	if set.IsZero() {
		t.Fatal("the first one was not set")
	}
	v.setWriteDeadline(t, 2*time.Minute)
	v.setWriteDeadline(t, 0)
	if !v.writeSet.Equal(set) {
		t.Error("it was")
	}
	v.setWriteDeadline(t, time.Second)
	if !v.writeSet.Before(set) {
		t.Error("an earlier one was not set")
	}
}

func TestAWriteGoesOnWhoseDeadlineWasMovedOn(t *testing.T) {
	for name, write := range map[string]func(*guest) (int64, error){"Write": byWrite, "ReadFrom": byReadFrom} {
		for when, move := range map[string]func(*visit, *testing.T) <-chan written{
			"before": func(v *visit, t *testing.T) <-chan written {
				v.setWriteDeadline(t, time.Minute)
				return v.writeLarge(write)
			},
			"during": func(v *visit, t *testing.T) <-chan written {
				done := v.writeLarge(write)
				time.Sleep(short / 2)
				v.setWriteDeadline(t, time.Minute)
				return done
			},
			"away": func(v *visit, t *testing.T) <-chan written {
				v.setWriteDeadline(t, 0)
				return v.writeLarge(write)
			},
			"twice": func(v *visit, t *testing.T) <-chan written {
				v.setWriteDeadline(t, 2*short)
				done := v.writeLarge(write)
				time.Sleep(short)
				v.setWriteDeadline(t, time.Minute)
				return done
			},
		} {
			t.Run(name+" "+when, func(t *testing.T) {
				v := active(t)
				v.setWriteDeadline(t, short)
				done := move(v, t)
				time.Sleep(3 * short)
				v.wantAll(t)
				if got := <-done; got.err != nil || got.n != int64(len(large)) {
					t.Errorf("wrote %d bytes, %v", got.n, got.err)
				}
			})
		}
	}
}

func TestAWriteEndsByItsDeadline(t *testing.T) {
	for name, write := range map[string]func(*guest) (int64, error){"Write": byWrite, "ReadFrom": byReadFrom} {
		for when, begin := range map[string]func(*visit, *testing.T) <-chan written{
			"set once": func(v *visit, t *testing.T) <-chan written {
				v.setWriteDeadline(t, short)
				return v.writeLarge(write)
			},
			"moved on": func(v *visit, t *testing.T) <-chan written {
				v.setWriteDeadline(t, short/2)
				v.setWriteDeadline(t, short)
				return v.writeLarge(write)
			},
			"passed before": func(v *visit, t *testing.T) <-chan written {
				v.setWriteDeadline(t, -time.Minute)
				v.setWriteDeadline(t, -time.Second)
				return v.writeLarge(write)
			},
			"moved back during it": func(v *visit, t *testing.T) <-chan written {
				v.setWriteDeadline(t, time.Minute)
				done := v.writeLarge(write)
				time.Sleep(short)
				v.setWriteDeadline(t, -time.Second)
				return done
			},
			"of who has taken over": func(v *visit, t *testing.T) <-chan written {
				v.note(http.StateHijacked)
				v.setWriteDeadline(t, time.Minute)
				v.setWriteDeadline(t, 2*time.Minute)
				if v.writeSet.Before(time.Now().Add(90 * time.Second)) {
					t.Error("it is kept for later")
				}
				v.setWriteDeadline(t, short)
				return v.writeLarge(write)
			},
		} {
			t.Run(name+" "+when, func(t *testing.T) {
				got := <-begin(active(t), t)
				if !isTimeout(got.err) || got.n >= int64(len(large)) || got.took > 20*short {
					t.Errorf("wrote %d bytes in %s, %v; want a timeout", got.n, got.took, got.err)
				}
			})
		}
	}
}

func TestAWriteToAClientThatIsGoneEnds(t *testing.T) {
	v := active(t)
	v.setWriteDeadline(t, time.Minute)
	v.setWriteDeadline(t, 2*time.Minute)
	done := v.writeLarge(byWrite)
	if err := errors.Join(v.client.SetLinger(0), v.client.Close()); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err == nil || isTimeout(got.err) {
		t.Errorf("wrote %d bytes, %v; want another error", got.n, got.err)
	}
}

// Through Caddy, whose idle timeout moves on with each write: a client that
// reads slowly is served to the end, one that has stopped reading is not.
func TestTheIdleTimeoutForWritingHolds(t *testing.T) {
	const idle = 300 * time.Millisecond
	s := newSite(t, "servers {\ntimeouts {\nwrite_idle "+idle.String()+"\n}\n}\n", standard)
	_, secret := s.key()
	s.upstream.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(large)))
		_, _ = w.Write(large) // the gateway may leave
	}
	ask := func(t *testing.T) (net.Conn, io.Reader) {
		t.Helper()
		conn, from := s.dial()
		s.wantRound(conn, from, "") // its deadline is of before
		time.Sleep(idle / 2)
		if _, err := fmt.Fprintf(conn, "GET /rest/users HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\n\r\n", s.address, secret); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		return conn, answer.Body
	}
	t.Run("slow", func(t *testing.T) {
		_, body := ask(t)
		began, got := time.Now(), make([]byte, len(large))
		for some := range 16 {
			time.Sleep(idle / 6)
			if _, err := io.ReadFull(body, got[some<<20:(some+1)<<20]); err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
		}
		if !bytes.Equal(got, large) || time.Since(began) < 2*idle {
			t.Errorf("what came in %s is not what was sent", time.Since(began))
		}
	})
	t.Run("stopped", func(t *testing.T) {
		_, body := ask(t)
		time.Sleep(4 * idle)
		if n, err := io.Copy(io.Discard, body); err == nil {
			t.Errorf("all %d bytes came", n)
		}
	})
}
