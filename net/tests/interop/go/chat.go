package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// hear reads lines until one is the expected; notices of the server are passed over.
func hear(lines *bufio.Reader, expected string) error {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("instead of %q: %w", expected, err)
		}
		if line == expected {
			return nil
		}
		if !strings.HasPrefix(line, "* ") {
			return fmt.Errorf("heard %q instead of %q", line, expected)
		}
	}
}

// enter connects a client and waits until it is in the room: until somebody hears that it came.
func enter(address string, witness *bufio.Reader) (*net.TCPConn, error) {
	conn, err := dial(address)
	if err != nil || witness == nil {
		return conn, err
	}
	return conn, hear(witness, fmt.Sprintf("* %s came\n", conn.LocalAddr()))
}

func chatMany() error {
	address, err := start("chat")
	if err != nil {
		return err
	}
	const clients, lines = 100, 50
	var conns []*net.TCPConn
	var witness *bufio.Reader
	readers := make([]*bufio.Reader, clients)
	for id := range readers {
		conn, err := enter(address, witness)
		if err != nil {
			return err
		}
		defer conn.Close()
		conns, readers[id] = append(conns, conn), bufio.NewReader(conn)
		witness = readers[0]
	}
	done := make(chan error, clients)
	for id := 1; id < clients; id++ {
		go func(id int) {
			var err error
			for line := 0; line < lines && err == nil; line++ {
				err = hear(readers[id], fmt.Sprintf("line %d\n", line))
			}
			done <- err
		}(id)
	}
	for line := 0; line < lines; line++ {
		// In two pieces: a line is said when it is whole.
		fmt.Fprintf(conns[0], "line ")
		fmt.Fprintf(conns[0], "%d\n", line)
	}
	for id := 1; id < clients; id++ {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

func chatIdle() error {
	address, err := start("chat", "--idle-s", "1")
	if err != nil {
		return err
	}
	speaker, err := enter(address, nil)
	if err != nil {
		return err
	}
	defer speaker.Close()
	lines := bufio.NewReader(speaker)
	silent, err := enter(address, lines)
	if err != nil {
		return err
	}
	defer silent.Close()
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, silent)
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return hear(lines, fmt.Sprintf("* %s was silent too long\n", silent.LocalAddr()))
		case <-time.After(100 * time.Millisecond):
			if _, err := io.WriteString(speaker, "still here\n"); err != nil {
				return err
			}
		}
	}
}

func chatSlow() error {
	address, err := start("chat")
	if err != nil {
		return err
	}
	speaker, err := enter(address, nil)
	if err != nil {
		return err
	}
	defer speaker.Close()
	lines := bufio.NewReader(speaker)
	slow, err := enter(address, lines)
	if err != nil {
		return err
	}
	defer slow.Close()
	listener, err := enter(address, lines)
	if err != nil {
		return err
	}
	defer listener.Close()

	dropped := make(chan error, 1)
	go func() { dropped <- hear(lines, fmt.Sprintf("* %s listened too slowly\n", slow.LocalAddr())) }()
	said := strings.Repeat("x", 4000) + "\n"
	heard := bufio.NewReader(listener)
	for line := 0; ; line++ {
		select {
		case err := <-dropped:
			return err
		default:
		}
		if line == 20000 {
			return fmt.Errorf("%d bytes are kept for a client that reads nothing", line*len(said))
		}
		if _, err := io.WriteString(speaker, said); err != nil {
			return err
		}
		if err := hear(heard, said); err != nil {
			return err
		}
	}
}

func chatEnds() error {
	address, err := start("chat")
	if err != nil {
		return err
	}
	server := started[len(started)-1]
	silent, err := enter(address, nil)
	if err != nil {
		return err
	}
	defer silent.Close()
	lines := bufio.NewReader(silent)
	other, err := enter(address, lines)
	if err != nil {
		return err
	}
	defer other.Close()
	if err := server.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	// Its patience with a silent client is longer than that of these checks.
	if _, err := io.Copy(io.Discard, lines); err != nil {
		return err
	}
	if err := server.Wait(); err != nil {
		return err
	}
	if _, err := dial(address); err == nil {
		return fmt.Errorf("somebody still listens")
	}
	return nil
}
