// Interop: Go's net and net/http as client and as server, against the examples.
//
//	interop DIRECTORY   runs every check; DIRECTORY holds the built examples
//
// The standard library only. Each check starts the programs it needs on free ports and stops them.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// How long a check may take before it counts as hung.
const hungAfter = 30 * time.Second

var directory string

var checks = []struct {
	name string
	run  func() error
}{
	{"echo: a half-closed client gets everything back, then the end", echoHalfClose},
	{"echo: 256 MiB come back with their hash", echoLarge},
	{"echo: a reset connection harms no other", echoReset},
	{"echo: a read deadline passes, is cleared, and nothing is lost", echoDeadline},
	{"echo: 500 connections at once", func() error { return manyConnections("echo") }},
	{"multicore_echo: 500 connections at once", func() error { return manyConnections("multicore_echo") }},
	{"tcp_forwarder: 256 MiB there and 256 MiB back at once", forwardLarge},
	{"tcp_forwarder: half-closed by the client, then by the server", forwardHalfClose},
	{"tcp_forwarder: a reset server is a reset to the client", forwardResetByServer},
	{"tcp_forwarder: a reset client is a reset to the server", forwardResetByClient},
	{"tcp_forwarder: a server that never reads stops the client", forwardBackPressure},
	{"tcp_forwarder: a server's read deadline ends a silent client, not a talking one", forwardReadDeadline},
	{"tcp_forwarder: a server's write deadline passes while the client reads nothing", forwardWriteDeadline},
	{"tcp_forwarder: an idle connection is reset on both sides, a talking one is not", forwardIdle},
	{"echo_client: a server that renews its deadlines before every read and write", serveWithDeadlines},
	{"tcp_forwarder: a refused connect is a reset to the client", forwardRefused},
	{"chat: a hundred clients hear every line", chatMany},
	{"chat: a silent client is dropped, one that speaks stays", chatIdle},
	{"chat: a client that does not read is dropped, the others go on", chatSlow},
	{"chat: Ctrl-C ends it at once, whoever is silent", chatEnds},
	{"hyper_hello: net/http, kept alive, not found, 8 MiB echoed", httpRequests},
	{"hyper_hello: a head that never ends leaves the others alone", httpSlowHead},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: interop DIRECTORY")
		os.Exit(2)
	}
	directory = os.Args[1]
	failed := 0
	for _, check := range checks {
		began := time.Now()
		err := inTime(check.run)
		took := time.Since(began).Round(time.Millisecond)
		if err != nil {
			failed++
			fmt.Printf("FAILED %s (%v): %v\n", check.name, took, err)
		} else {
			fmt.Printf("ok     %s (%v)\n", check.name, took)
		}
	}
	stopAll()
	fmt.Printf("go interop: %d of %d checks passed\n", len(checks)-failed, len(checks))
	if failed > 0 {
		os.Exit(1)
	}
}

func inTime(run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-time.After(hungAfter):
		return fmt.Errorf("hangs")
	}
}

var started []*exec.Cmd

// start runs an example on a free port and returns its address.
func start(example string, args ...string) (string, error) {
	command := exec.Command(filepath.Join(directory, example), append([]string{"127.0.0.1:0"}, args...)...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := command.Start(); err != nil {
		return "", err
	}
	started = append(started, command)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s did not say where it listens: %w", example, err)
	}
	return strings.TrimPrefix(strings.TrimSpace(line), "listening on "), nil
}

func stopAll() {
	for _, command := range started {
		command.Process.Kill()
		command.Wait()
	}
}

func dial(address string) (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// dialExample starts an example and connects to it.
func dialExample(example string, args ...string) (*net.TCPConn, string, error) {
	address, err := start(example, args...)
	if err != nil {
		return nil, "", err
	}
	conn, err := dial(address)
	return conn, address, err
}
