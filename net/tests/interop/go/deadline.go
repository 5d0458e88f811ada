package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func isTimeout(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("not a time-out: %v", err)
	}
	return nil
}

// echoUntilSilent echoes until nothing has come for that long, says so, and closes.
func echoUntilSilent(server *net.TCPConn, patience time.Duration) error {
	defer server.Close()
	buf := make([]byte, 4096)
	for {
		server.SetReadDeadline(time.Now().Add(patience))
		n, err := server.Read(buf)
		if err != nil {
			if err := isTimeout(err); err != nil {
				return err
			}
			_, err = io.WriteString(server, "too late")
			return err
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return err
		}
	}
}

func forwardReadDeadline() error {
	client, server, err := forwarded()
	if err != nil {
		return err
	}
	defer client.Close()
	done := make(chan error, 1)
	go func() { done <- echoUntilSilent(server, 500*time.Millisecond) }()
	// Longer in all than the server waits for one of them.
	for round := 0; round < 10; round++ {
		if err := roundTrip(client, []byte("still here")); err != nil {
			return err
		}
		time.Sleep(80 * time.Millisecond)
	}
	heard, err := io.ReadAll(client)
	if err != nil || string(heard) != "too late" {
		return fmt.Errorf("heard %q, %v", heard, err)
	}
	return <-done
}

func forwardWriteDeadline() error {
	client, server, err := forwarded()
	if err != nil {
		return err
	}
	defer client.Close()
	const bound = 64 << 20
	server.SetWriteDeadline(time.Now().Add(time.Second))
	written, err := server.Write(make([]byte, bound))
	if err := isTimeout(err); err != nil {
		return fmt.Errorf("%d bytes were taken for a client that reads nothing: %w", written, err)
	}
	// The connection is as good as before, and nothing of what was taken is lost.
	server.SetWriteDeadline(time.Time{})
	go func() {
		io.WriteString(server, "the end")
		server.Close()
	}()
	received, err := io.Copy(io.Discard, client)
	if expected := int64(written + len("the end")); err != nil || received != expected {
		return fmt.Errorf("%d bytes came of %d: %v", received, expected, err)
	}
	return nil
}

// echoWithDeadlines echoes to the end of the stream, and no read or write may take longer than that.
func echoWithDeadlines(conn net.Conn, patience time.Duration) error {
	defer conn.Close()
	buf := make([]byte, 64<<10)
	for {
		conn.SetDeadline(time.Now().Add(patience))
		n, err := conn.Read(buf)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			_, err = conn.Write(buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

func serveWithDeadlines() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	const connections = 50
	done := make(chan error, connections)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { done <- echoWithDeadlines(conn, 5*time.Second) }()
		}
	}()
	client := exec.Command(filepath.Join(directory, "echo_client"), listener.Addr().String(),
		"--connections", fmt.Sprint(connections), "--size", "5000", "--count", "20000")
	if said, err := client.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	for id := 0; id < connections; id++ {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}
