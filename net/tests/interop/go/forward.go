package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// forwarded returns both ends of a connection through a forwarder: the client's and the server's.
func forwarded(args ...string) (client, server *net.TCPConn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	client, _, err = dialExample("tcp_forwarder", append(args, "--to", listener.Addr().String())...)
	if err != nil {
		return nil, nil, err
	}
	conn, err := listener.Accept()
	if err != nil {
		return nil, nil, err
	}
	return client, conn.(*net.TCPConn), nil
}

func forwardLarge() error {
	client, server, err := forwarded()
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	fromClient, fromServer := sending(client, 2), sending(server, 3)
	done := make(chan error, 2)
	go func() { done <- receive(server, fromClient) }()
	go func() { done <- receive(client, fromServer) }()
	if err := <-done; err != nil {
		return err
	}
	return <-done
}

func forwardHalfClose() error {
	for _, clientFirst := range []bool{true, false} {
		client, server, err := forwarded()
		if err != nil {
			return err
		}
		first, last := client, server
		if !clientFirst {
			first, last = server, client
		}
		for _, way := range []struct {
			from, to *net.TCPConn
			said     string
		}{{first, last, "everything"}, {last, first, "the answer, after the end of the other way"}} {
			if _, err := io.WriteString(way.from, way.said); err != nil {
				return err
			}
			if err := way.from.CloseWrite(); err != nil {
				return err
			}
			heard, err := io.ReadAll(way.to)
			if err != nil || string(heard) != way.said {
				return fmt.Errorf("heard %q, %v", heard, err)
			}
		}
		client.Close()
		server.Close()
	}
	return nil
}

// isReset reads until the connection fails, and says whether that is a reset: an end would be a lie.
func isReset(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	if !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("not a reset: %v", err)
	}
	return nil
}

func forwardReset(lost, other *net.TCPConn) error {
	defer other.Close()
	if err := roundTripBetween(lost, other); err != nil {
		return err
	}
	if err := reset(lost); err != nil {
		return err
	}
	return isReset(other)
}

func roundTripBetween(a, b net.Conn) error {
	go io.CopyN(b, b, 5)
	return roundTrip(a, []byte("hello"))
}

func forwardResetByServer() error {
	client, server, err := forwarded()
	if err != nil {
		return err
	}
	return forwardReset(server, client)
}

func forwardResetByClient() error {
	client, server, err := forwarded()
	if err != nil {
		return err
	}
	return forwardReset(client, server)
}

func forwardBackPressure() error {
	client, server, err := forwarded()
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	// The sockets on the way and one pipe take some megabytes; more than that is kept for nobody.
	const bound = 64 << 20
	client.SetWriteDeadline(time.Now().Add(time.Second))
	written, err := client.Write(make([]byte, bound))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%d bytes were taken for a server that reads nothing: %v", written, err)
	}
	client.CloseWrite()
	received, err := io.Copy(io.Discard, server)
	if err != nil || received != int64(written) {
		return fmt.Errorf("%d bytes came of %d: %v", received, written, err)
	}
	return nil
}

func forwardIdle() error {
	client, server, err := forwarded("--idle-s", "1")
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	// Longer than the time, and never silent for as long as that.
	for i := 0; i < 20; i++ {
		time.Sleep(100 * time.Millisecond)
		if err := roundTripBetween(server, client); err != nil {
			return err
		}
	}
	if err := isReset(client); err != nil {
		return err
	}
	return isReset(server)
}

func forwardRefused() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	nobody := listener.Addr().String()
	listener.Close()
	client, _, err := dialExample("tcp_forwarder", "--to", nobody)
	if errors.Is(err, syscall.ECONNRESET) {
		// So soon that the connect itself hears of it.
		return nil
	}
	if err != nil {
		return err
	}
	defer client.Close()
	return isReset(client)
}
