package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

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

func ping(session *yamux.Session) error {
	for i := 0; i < 10; i++ {
		if _, err := session.Ping(); err != nil {
			return err
		}
	}
	return nil
}

// The other side counts its pings and ours, and the answers to its own.
func keepalive(session *yamux.Session) error {
	stream, err := open(session, 'k', 3)
	if err != nil {
		return err
	}
	if err := told(stream, 3); err != nil {
		return err
	}
	return echo(session, 1000)
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
	const unacked = 1024
	checks := []struct {
		name    string
		unacked int // streams that may wait for an ACK
		run     func(*yamux.Session) error
	}{
		{"many streams", unacked, manyStreams},
		{"32 MiB there", unacked, func(s *yamux.Session) error { return upload(s, bulkBytes) }},
		{"32 MiB back", unacked, download},
		{"32 MiB both ways at once", unacked, func(s *yamux.Session) error { return echo(s, bulkBytes) }},
		{"half close", unacked, halfClose},
		{"a reset of theirs", unacked, resetTheirs},
		{"a ping", unacked, ping},
		{"a ping while the streams are stuck", unacked, pingBehindStuckStreams},
		{"keepalive", unacked, keepalive},
		{"five times as many streams as they take unseen", backlog, fiveBacklogs},
		{"more streams than they take", unacked, tooMany},
		{"a GoAway of its leaves streams alone", unacked, goAway},
		{"a GoAway of theirs leaves streams alone", unacked, goAwayTheirs},
		{"a window of 1 MiB", unacked, largeWindow},
	}
	for _, check := range checks {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		session, err := newSession(role, connection, check.unacked)
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
