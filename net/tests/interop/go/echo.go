package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand"
	"net"
	"os"
	"time"
)

const largeBytes = 256 << 20

// sendLarge writes bytes that a seed makes, and returns their hash.
func sendLarge(conn io.Writer, seed int64) (hash.Hash, error) {
	sum := sha256.New()
	source := io.LimitReader(rand.New(rand.NewSource(seed)), largeBytes)
	_, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(conn, sum)}, source, make([]byte, 1<<20))
	return sum, err
}

// receive reads to the end of the stream and compares with what sendLarge sent.
func receive(conn io.Reader, expected func() (hash.Hash, error)) error {
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{conn}, make([]byte, 1<<20))
	if err != nil {
		return err
	}
	sent, err := expected()
	if err != nil {
		return err
	}
	if n != largeBytes || !bytes.Equal(sum.Sum(nil), sent.Sum(nil)) {
		return fmt.Errorf("%d bytes came, with another hash", n)
	}
	return nil
}

// sending runs sendLarge and a half close beside what the caller does; the function it returns waits.
func sending(conn *net.TCPConn, seed int64) func() (hash.Hash, error) {
	type outcome struct {
		sum hash.Hash
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		sum, err := sendLarge(conn, seed)
		if err == nil {
			err = conn.CloseWrite()
		}
		done <- outcome{sum, err}
	}()
	return func() (hash.Hash, error) {
		sent := <-done
		return sent.sum, sent.err
	}
}

func echoHalfClose() error {
	conn, _, err := dialExample("echo")
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("half close "), 1000)
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	received, err := io.ReadAll(conn)
	if err == nil && !bytes.Equal(received, sent) {
		err = fmt.Errorf("%d bytes came back of %d", len(received), len(sent))
	}
	return err
}

func echoLarge() error {
	conn, _, err := dialExample("echo")
	if err != nil {
		return err
	}
	defer conn.Close()
	return receive(conn, sending(conn, 1))
}

// roundTrip says something and hears it again.
func roundTrip(conn net.Conn, said []byte) error {
	if _, err := conn.Write(said); err != nil {
		return err
	}
	heard := make([]byte, len(said))
	if _, err := io.ReadFull(conn, heard); err != nil {
		return err
	}
	if !bytes.Equal(heard, said) {
		return fmt.Errorf("something else came back")
	}
	return nil
}

func reset(conn *net.TCPConn) error {
	if err := conn.SetLinger(0); err != nil {
		return err
	}
	return conn.Close()
}

func echoReset() error {
	other, address, err := dialExample("echo")
	if err != nil {
		return err
	}
	defer other.Close()
	for round := 0; round < 200; round++ {
		conn, err := dial(address)
		if err != nil {
			return err
		}
		// With an echo on its way, and with none.
		if _, err := conn.Write(make([]byte, round*1000+1)); err != nil {
			return err
		}
		if round%2 == 0 {
			conn.Read(make([]byte, 1))
		}
		if err := reset(conn); err != nil {
			return err
		}
		if err := roundTrip(other, []byte("still there?")); err != nil {
			return err
		}
	}
	return nil
}

func echoDeadline() error {
	conn, _, err := dialExample("echo")
	if err != nil {
		return err
	}
	defer conn.Close()
	for round := 0; round < 5; round++ {
		conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := conn.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("not a time-out: %v", err)
		}
		conn.SetReadDeadline(time.Time{})
		if err := roundTrip(conn, []byte("after the deadline")); err != nil {
			return err
		}
	}
	return nil
}

func manyConnections(example string) error {
	address, err := start(example)
	if err != nil {
		return err
	}
	const connections, rounds = 500, 20
	done := make(chan error, connections)
	for id := 0; id < connections; id++ {
		go func(id int) {
			conn, err := dial(address)
			if err != nil {
				done <- err
				return
			}
			defer conn.Close()
			for round := 0; round < rounds && err == nil; round++ {
				err = roundTrip(conn, bytes.Repeat([]byte{byte(id), byte(round)}, 1+id*round%700))
			}
			done <- err
		}(id)
	}
	for id := 0; id < connections; id++ {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}
