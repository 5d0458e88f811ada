// hashicorp/yamux as the other side of the interop checks. The services are described in peer/serve.rs, the
// checks ask of that program what its own checks ask of this one.
//
//	hashicorp serve client|server            prints "listening on ADDRESS"
//	hashicorp check client|server ADDRESS
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	backlog      = 64
	bulkBytes    = 32 << 20
	period       = 65521
	chunkBytes   = 64 << 10
	checkTimeMax = 60 * time.Second
)

// The bytes that all programs send: see peer/pattern.rs.
var pattern = func() []byte {
	once := make([]byte, period)
	state := uint32(1)
	for i := range once {
		state = state*1664525 + 1013904223
		once[i] = byte(state >> 24)
	}
	return append(append(append([]byte{}, once...), once...), once...)
}()

func chunk(position, length int) []byte {
	start := position % period
	return pattern[start : start+length]
}

func newSession(role string, connection net.Conn, acceptBacklog int) (*yamux.Session, error) {
	config := yamux.DefaultConfig()
	config.AcceptBacklog = acceptBacklog
	config.KeepAliveInterval = 200 * time.Millisecond
	config.MaxStreamWindowSize = 1 << 20
	config.LogOutput = io.Discard
	if role == "client" {
		return yamux.Client(connection, config)
	}
	return yamux.Server(connection, config)
}

func serve(role string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		session, err := newSession(role, connection, backlog)
		if err != nil {
			return err
		}
		go serveSession(session)
	}
}

// Streams that read nothing until they are let go.
type held struct {
	sync.Mutex
	released chan struct{}
}

func serveSession(session *yamux.Session) {
	waiting := &held{released: make(chan struct{})}
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		head := make([]byte, 9)
		if _, err := io.ReadFull(stream, head); err != nil {
			continue // reset before it began
		}
		n := int(binary.BigEndian.Uint64(head[1:]))
		if head[0] == 'p' {
			stream.Write([]byte{'p'})
			sum(stream)
			stream.Close()
		} else {
			go serveStream(stream, head[0], n, waiting)
		}
	}
}

func serveStream(stream *yamux.Stream, what byte, n int, waiting *held) {
	defer stream.Close()
	switch what {
	case 'e':
		io.Copy(stream, stream)
	case 's':
		tellSum(stream, n)
	case 'g':
		// This version reads nothing after its own Close: first all is read, then it closes.
		if give(stream, n) == nil {
			sum(stream)
		}
	case 'h':
		waiting.Lock()
		released := waiting.released
		waiting.Unlock()
		<-released
		tellSum(stream, n)
	case 'w':
		waiting.Lock()
		close(waiting.released)
		waiting.released = make(chan struct{})
		waiting.Unlock()
	}
}

func give(stream io.Writer, n int) error {
	for position := 0; position < n; position += chunkBytes {
		length := n - position
		if length > chunkBytes {
			length = chunkBytes
		}
		if _, err := stream.Write(chunk(position, length)); err != nil {
			return err
		}
	}
	return nil
}

// Reads the pattern up to the FIN, and says how many bytes there were.
func sum(stream io.Reader) (int, error) {
	position := 0
	buffer := make([]byte, chunkBytes)
	for {
		n, err := stream.Read(buffer)
		if !bytes.Equal(buffer[:n], chunk(position, n)) {
			return position, fmt.Errorf("other bytes than sent, from %d on", position)
		}
		position += n
		if err == io.EOF {
			return position, nil
		}
		if err != nil {
			return position, err
		}
	}
}

func tellSum(stream *yamux.Stream, n int) {
	var from io.Reader = stream
	if n > 0 {
		from = io.LimitReader(stream, int64(n))
	}
	if n, err := sum(from); err == nil {
		binary.Write(stream, binary.BigEndian, uint64(n))
	}
}

func open(session *yamux.Session, what byte, n int) (*yamux.Stream, error) {
	stream, err := session.OpenStream()
	if err != nil {
		return nil, err
	}
	head := make([]byte, 9)
	head[0] = what
	binary.BigEndian.PutUint64(head[1:], uint64(n))
	_, err = stream.Write(head)
	return stream, err
}

// It must read all before it closes, and the echo ends when it has closed: so it counts.
func echo(session *yamux.Session, n int) error {
	stream, err := open(session, 'e', 0)
	if err != nil {
		return err
	}
	return echoOn(stream, n)
}

func echoOn(stream *yamux.Stream, n int) error {
	written := make(chan error, 1)
	go func() { written <- give(stream, n) }()
	back, err := sum(io.LimitReader(stream, int64(n)))
	if err == nil && back != n {
		err = fmt.Errorf("%d of %d bytes came back", back, n)
	}
	if err == nil {
		err = <-written
	}
	if err == nil {
		err = stream.Close()
	}
	return err
}

func manyStreams(session *yamux.Session) error {
	results := make(chan error)
	// As many at once as the backlog bears.
	for round := 0; round < 4; round++ {
		for i := 0; i < backlog; i++ {
			go func(n int) { results <- echo(session, n) }(500*i + round)
		}
		var failed error
		for i := 0; i < backlog; i++ {
			if err := <-results; err != nil {
				failed = err
			}
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// The number of bytes is said before, and not by a FIN: this version reads nothing after its own Close.
func upload(session *yamux.Session, n int) error {
	stream, err := open(session, 's', n)
	if err != nil {
		return err
	}
	if err := give(stream, n); err != nil {
		return err
	}
	return told(stream, n)
}

// What the other side has counted.
func told(stream *yamux.Stream, n int) error {
	var count uint64
	if err := binary.Read(stream, binary.BigEndian, &count); err != nil {
		return err
	}
	if count != uint64(n) {
		return fmt.Errorf("%d of %d bytes arrived", count, n)
	}
	return stream.Close()
}

// Their FIN ends one direction, and the other goes on.
func halfClose(session *yamux.Session) error {
	stream, err := open(session, 'g', 1000)
	if err != nil {
		return err
	}
	if n, err := sum(stream); n != 1000 || err != nil {
		return fmt.Errorf("%d bytes came, not 1000: %v", n, err)
	}
	if err := give(stream, 100000); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	return echo(session, 1000)
}

func download(session *yamux.Session) error {
	stream, err := open(session, 'g', bulkBytes)
	if err != nil {
		return err
	}
	n, err := sum(stream)
	if err == nil && n != bulkBytes {
		err = fmt.Errorf("%d of %d bytes came", n, bulkBytes)
	}
	stream.Close()
	return err
}

func resetTheirs(session *yamux.Session) error {
	stream, err := open(session, 'r', 0)
	if err != nil {
		return err
	}
	if _, err := stream.Read(make([]byte, 1)); err != yamux.ErrConnectionReset {
		return fmt.Errorf("a reset looks like %v", err)
	}
	return echo(session, 1000)
}

func ping(session *yamux.Session) error {
	for i := 0; i < 10; i++ {
		if _, err := session.Ping(); err != nil {
			return err
		}
	}
	return nil
}

func keepalive(session *yamux.Session) error {
	time.Sleep(time.Second)
	return echo(session, 1000)
}

func tooMany(session *yamux.Session) error {
	pause, err := open(session, 'p', 0)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(pause, make([]byte, 1)); err != nil {
		return err
	}
	var streams []*yamux.Stream
	for i := 0; i < backlog+20; i++ {
		stream, err := open(session, 'e', 0)
		if err != nil && err != yamux.ErrConnectionReset {
			return err
		}
		streams = append(streams, stream)
	}
	if _, err := session.Ping(); err != nil { // all of them have arrived
		return err
	}
	pause.Close()
	refused := 0
	for _, stream := range streams {
		switch err := echoOn(stream, 10); err {
		case nil:
		case yamux.ErrConnectionReset:
			refused++
		default:
			return err
		}
	}
	if refused != 20 {
		return fmt.Errorf("%d streams were refused, not 20", refused)
	}
	return nil
}

func goAway(session *yamux.Session) error {
	stream, err := open(session, 'e', 0)
	if err != nil {
		return err
	}
	if err := session.GoAway(); err != nil {
		return err
	}
	return echoOn(stream, 100000)
}

func largeWindow(session *yamux.Session) error {
	const n = 1<<20 - 9 // beside the head; more would wait for a reader
	stream, err := open(session, 'h', n)
	if err != nil {
		return err
	}
	if err := give(stream, n); err != nil {
		return err
	}
	release, err := open(session, 'w', 0)
	if err != nil {
		return err
	}
	release.Close()
	return told(stream, n)
}

func within(check func(*yamux.Session) error, session *yamux.Session) error {
	done := make(chan error, 1)
	go func() { done <- check(session) }()
	select {
	case err := <-done:
		return err
	case <-time.After(checkTimeMax):
		return errors.New("not finished in time")
	}
}

func check(role, address string) error {
	checks := []struct {
		name string
		run  func(*yamux.Session) error
	}{
		{"many streams", manyStreams},
		{"32 MiB there", func(s *yamux.Session) error { return upload(s, bulkBytes) }},
		{"32 MiB back", download},
		{"32 MiB both ways at once", func(s *yamux.Session) error { return echo(s, bulkBytes) }},
		{"half close", halfClose},
		{"a reset of theirs", resetTheirs},
		{"a ping", ping},
		{"keepalive", keepalive},
		{"more streams than they take", tooMany},
		{"GoAway leaves streams alone", goAway},
		{"a window of 1 MiB", largeWindow},
	}
	for _, check := range checks {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		session, err := newSession(role, connection, 1024)
		if err != nil {
			return err
		}
		if err := within(check.run, session); err != nil {
			return fmt.Errorf("%s: %s: %w", role, check.name, err)
		}
		session.Close()
		fmt.Printf("ok hashicorp, its %s opens: %s\n", role, check.name)
	}
	return nil
}

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "check":
		err = check(os.Args[2], os.Args[3])
	default:
		err = errors.New("usage: hashicorp serve ROLE | check ROLE ADDRESS")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
