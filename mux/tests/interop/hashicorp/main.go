// hashicorp/yamux as the other side of the interop checks. The services are described in peer/serve.rs, the
// checks ask of that program what its own checks ask of this one.
//
//	hashicorp serve client|server            prints "listening on ADDRESS"
//	hashicorp check client|server ADDRESS
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	backlog      = 64
	bulkBytes    = 32 << 20
	period       = 65521
	chunkBytes   = 64 << 10
	windowBytes  = 1 << 20
	checkTimeMax = 60 * time.Second
	pollTime     = time.Millisecond
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
	config.MaxStreamWindowSize = windowBytes
	config.LogOutput = io.Discard
	if role == "client" {
		return yamux.Client(connection, config)
	}
	return yamux.Server(connection, config)
}

func give(stream io.Writer, n int) error {
	return giveFrom(stream, 0, n)
}

// Sends the pattern from position up to end.
func giveFrom(stream io.Writer, position, end int) error {
	for position < end {
		length := end - position
		if length > chunkBytes {
			length = chunkBytes
		}
		if _, err := stream.Write(chunk(position, length)); err != nil {
			return err
		}
		position += length
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

// After its own Close this version says EOF whenever nothing is there, and goes on when something has come: so
// what follows is asked for again. Calls progress with the number of bytes so far; ends when that says so, or with
// the session or a reset of the other side.
func sumBehindClose(session *yamux.Session, stream *yamux.Stream, progress func(int) bool) error {
	position := 0
	buffer := make([]byte, chunkBytes)
	for !progress(position) {
		n, err := stream.Read(buffer)
		if !bytes.Equal(buffer[:n], chunk(position, n)) {
			return fmt.Errorf("other bytes than sent, from %d on", position)
		}
		position += n
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 {
			if session.IsClosed() {
				return yamux.ErrSessionShutdown
			}
			time.Sleep(pollTime)
		}
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
