package main

import (
	"fmt"

	"github.com/hashicorp/yamux"
)

// Either direction ends first, and the other goes on.
func halfClose(session *yamux.Session) error {
	const tail = 100000
	// Theirs.
	stream, err := open(session, 'g', 1000)
	if err != nil {
		return err
	}
	if n, err := sum(stream); n != 1000 || err != nil {
		return fmt.Errorf("%d bytes came, not 1000: %v", n, err)
	}
	if err := give(stream, tail); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	if stream, err = open(session, 't', tail); err != nil {
		return err
	}
	if err := told(stream, tail); err != nil {
		return err
	}
	// Its own: what it has sent comes back behind its FIN.
	if stream, err = open(session, 'e', 0); err != nil {
		return err
	}
	if err := give(stream, tail); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	if err := sumBehindClose(session, stream, func(n int) bool { return n >= tail }); err != nil {
		return err
	}
	return echo(session, 1000)
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

// The other side hears it, and the stream goes on.
func goAway(session *yamux.Session) error {
	const n = 100000
	stream, err := open(session, 'o', n)
	if err != nil {
		return err
	}
	if err := session.GoAway(); err != nil {
		return err
	}
	if err := give(stream, n); err != nil {
		return err
	}
	return told(stream, n)
}

// The stream goes on, and no other can be opened.
func goAwayTheirs(session *yamux.Session) error {
	const n = 100000
	stream, err := open(session, 'a', n)
	if err != nil {
		return err
	}
	if count, err := sumOf(stream, n); count != n || err != nil {
		return fmt.Errorf("%d of %d bytes came: %v", count, n, err)
	}
	if err := toldToGo(session); err != nil {
		return err
	}
	return echoOn(stream, n)
}
