package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

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

// What has happened on a session, for the streams that wait for it.
type seen struct {
	released chan struct{} // closed when the streams that are held go on
	resets   atomic.Int64
	tail     atomic.Int64 // what a stream 'g' has read behind its own FIN
}

func (s *seen) noteEnd(err error) {
	if err == yamux.ErrConnectionReset {
		s.resets.Add(1)
	}
}

func serveSession(session *yamux.Session) {
	seen := &seen{released: make(chan struct{})}
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		head := make([]byte, 9)
		if _, err := io.ReadFull(stream, head); err != nil {
			seen.noteEnd(err)
			continue // reset before it began
		}
		n := int(binary.BigEndian.Uint64(head[1:]))
		if head[0] == 'p' {
			stream.Write([]byte{'p'})
			sum(stream)
			stream.Close()
			continue
		}
		// Here, and not in the goroutine: that of the stream that releases may run first.
		released := seen.released
		if head[0] == 'w' {
			close(seen.released)
			seen.released = make(chan struct{})
		}
		go func() {
			seen.noteEnd(serveStream(session, stream, head[0], n, seen, released))
			stream.Close()
		}()
	}
}

// Its errors are the checker's to judge, which sees them too.
func serveStream(
	session *yamux.Session,
	stream *yamux.Stream,
	what byte,
	n int,
	seen *seen,
	released chan struct{},
) error {
	switch what {
	case 'e':
		_, err := io.Copy(stream, stream)
		return err
	case 's':
		return tellSum(stream, n)
	case 'g':
		if err := give(stream, n); err != nil {
			return err
		}
		stream.Close()
		return sumBehindClose(session, stream, func(n int) bool {
			seen.tail.Store(int64(n))
			return false
		})
	case 't':
		for seen.tail.Load() != int64(n) && !session.IsClosed() {
			time.Sleep(pollTime)
		}
		return say(stream, n)
	case 'h':
		<-released
		return tellSum(stream, n)
	case 'w':
		return nil // see serveSession
	case 'n':
		for seen.resets.Load() < int64(n) && !session.IsClosed() {
			time.Sleep(pollTime)
		}
		return say(stream, n)
	case 'a':
		if err := give(stream, n); err != nil {
			return err
		}
		if err := session.GoAway(); err != nil {
			return err
		}
		_, err := io.Copy(stream, stream)
		return err
	case 'o':
		count, err := sumOf(stream, n)
		if err != nil {
			return err
		}
		if err := toldToGo(session); err != nil {
			return err
		}
		return say(stream, count)
	}
	return fmt.Errorf("no service is called %c", what)
}

// Waits until the GoAway of the other side has come: then no stream can be opened.
func toldToGo(session *yamux.Session) error {
	for {
		if _, err := session.OpenStream(); err == yamux.ErrRemoteGoAway {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := session.Ping(); err != nil {
			return err
		}
	}
}

// Reads n bytes, or with 0 up to the FIN.
func sumOf(stream *yamux.Stream, n int) (int, error) {
	if n > 0 {
		return sum(io.LimitReader(stream, int64(n)))
	}
	return sum(stream)
}

func tellSum(stream *yamux.Stream, n int) error {
	count, err := sumOf(stream, n)
	if err != nil {
		return err
	}
	return say(stream, count)
}

func say(stream *yamux.Stream, n int) error {
	return binary.Write(stream, binary.BigEndian, uint64(n))
}
