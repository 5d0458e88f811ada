package main

import (
	"fmt"
	"io"

	"github.com/hashicorp/yamux"
)

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

// Opening waits for their ACKs, which is all that they say until all streams are there.
func fiveBacklogs(session *yamux.Session) error {
	var streams []*yamux.Stream
	for i := 0; i < 5*backlog; i++ {
		stream, err := open(session, 'h', 1)
		if err != nil {
			return err
		}
		streams = append(streams, stream)
	}
	if err := release(session); err != nil {
		return err
	}
	for _, stream := range streams {
		if err := give(stream, 1); err != nil {
			return err
		}
		if err := told(stream, 1); err != nil {
			return err
		}
	}
	return nil
}

func largeWindow(session *yamux.Session) error {
	const n = windowBytes - 9 // beside the head; more would wait for a reader
	stream, err := open(session, 'h', n)
	if err != nil {
		return err
	}
	if err := give(stream, n); err != nil {
		return err
	}
	if err := release(session); err != nil {
		return err
	}
	return told(stream, n)
}

// Nobody reads, on either side, and each has more to say than the other takes.
func pingBehindStuckStreams(session *yamux.Session) error {
	const n = 8 << 20
	held, err := open(session, 'h', n)
	if err != nil {
		return err
	}
	unread, err := open(session, 'g', n)
	if err != nil {
		return err
	}
	if err := give(held, windowBytes-9); err != nil { // beside the head: their window is used up
		return err
	}
	written := make(chan error, 1)
	go func() { written <- giveFrom(held, windowBytes-9, n) }()
	if err := ping(session); err != nil {
		return err
	}
	if err := release(session); err != nil {
		return err
	}
	if count, err := sum(unread); count != n || err != nil {
		return fmt.Errorf("%d of %d bytes came: %v", count, n, err)
	}
	if err := <-written; err != nil {
		return err
	}
	unread.Close()
	return told(held, n)
}

// Lets the streams go on that are held.
func release(session *yamux.Session) error {
	stream, err := open(session, 'w', 0)
	if err != nil {
		return err
	}
	return stream.Close()
}
