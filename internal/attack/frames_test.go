package attack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is an HTTP/2 connection on which requests are written frame by frame:
// no client library has a say in what stands in them. It is opened when it is
// needed, and again where the other end has closed it.
type frames struct {
	address string
	conn    net.Conn
	framer  *http2.Framer
	packed  bytes.Buffer
	packer  *hpack.Encoder
	stream  uint32
}

// field is a header field; HTTP/2 writes method and target as such, too.
type field struct{ name, value string }

// spoken is one request in HTTP/2.
type spoken struct {
	fields   []field
	data     []string // a DATA frame each
	trailers []field
	split    int // bytes of header block a frame, 0: as many as fit
}

func (s *spoken) String() string {
	return clip(fmt.Sprintf("%q data %q trailers %q", s.fields, s.data, s.trailers))
}

// most is how much of a header block goes into one frame: what every server takes.
const most = 16 << 10

// exchange sends a request and reads its answer. errHungUp says that the
// gateway reset the stream, or closed the connection.
func (f *frames) exchange(s *spoken) (*http.Response, error) {
	if err := f.open(); err != nil {
		return nil, err
	}
	if err := f.conn.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return nil, err
	}
	f.stream += 2
	// A gateway that refuses early does not read to the end; its answer is there
	// all the same.
	writeErr := f.write(s)
	response, err := f.read()
	if err != nil || writeErr != nil {
		f.close()
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	if err != nil {
		return nil, errHungUp
	}
	return response, nil
}

func (f *frames) open() error {
	if f.conn != nil {
		return nil
	}
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	f.conn, f.stream = conn, ^uint32(0) // the first stream is 1
	f.framer = http2.NewFramer(conn, conn)
	f.framer.AllowIllegalWrites = true
	f.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.packed.Reset()
	f.packer = hpack.NewEncoder(&f.packed)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	return f.framer.WriteSettings()
}

func (f *frames) close() {
	if f.conn != nil {
		f.conn.Close()
		f.conn = nil
	}
}

func (f *frames) write(s *spoken) error {
	if err := f.writeHeaders(s.fields, s.split, len(s.data) == 0 && len(s.trailers) == 0); err != nil {
		return err
	}
	for i, data := range s.data {
		if err := f.framer.WriteData(f.stream, i == len(s.data)-1 && len(s.trailers) == 0, []byte(data)); err != nil {
			return err
		}
	}
	if len(s.trailers) == 0 {
		return nil
	}
	return f.writeHeaders(s.trailers, s.split, true)
}

func (f *frames) writeHeaders(fields []field, split int, last bool) error {
	f.packed.Reset()
	for _, x := range fields {
		if err := f.packer.WriteField(hpack.HeaderField{Name: x.name, Value: x.value}); err != nil {
			return err
		}
	}
	if split == 0 {
		split = most
	}
	block := f.packed.Bytes()
	piece := block[:min(split, len(block))]
	block = block[len(piece):]
	err := f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: piece, EndStream: last, EndHeaders: len(block) == 0})
	for err == nil && len(block) > 0 {
		piece = block[:min(split, len(block))]
		block = block[len(piece):]
		err = f.framer.WriteContinuation(f.stream, len(block) == 0, piece)
	}
	return err
}

var errReset = errors.New("the stream was reset")

// read returns the answer on the present stream, without its body.
func (f *frames) read() (*http.Response, error) {
	var response *http.Response
	for {
		frame, err := f.framer.ReadFrame()
		if err != nil {
			return nil, err
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				if err := f.framer.WriteSettingsAck(); err != nil {
					return nil, err
				}
			}
		case *http2.GoAwayFrame:
			return nil, errReset
		case *http2.RSTStreamFrame:
			// After an answer it says that the rest of the request is not wanted.
			if frame.StreamID == f.stream && response == nil {
				return nil, errReset
			}
			ended = frame.StreamID == f.stream
		case *http2.MetaHeadersFrame:
			if frame.StreamID != f.stream {
				continue
			}
			if status := frame.PseudoValue("status"); response == nil && !strings.HasPrefix(status, "1") {
				response = answerOf(frame, status)
			}
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			ended = frame.StreamID == f.stream && frame.StreamEnded()
			if n := len(frame.Data()); n > 0 { // what is read may be sent again
				if err := f.framer.WriteWindowUpdate(0, uint32(n)); err != nil {
					return nil, err
				}
			}
		}
		if ended && response != nil {
			return response, nil
		}
	}
}

func answerOf(frame *http2.MetaHeadersFrame, status string) *http.Response {
	r := &http.Response{Header: http.Header{}}
	r.StatusCode, _ = strconv.Atoi(status) // 0 is no status that any test wants
	for _, x := range frame.RegularFields() {
		r.Header.Add(textproto.CanonicalMIMEHeaderKey(x.Name), x.Value)
	}
	return r
}
