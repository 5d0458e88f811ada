// An echo server as one writes it in Go: a goroutine and a buffer for each connection.
//
//	go build -o echo_go echo.go && GOMAXPROCS=1 ./echo_go 127.0.0.1:0
//
// Go turns Nagle's algorithm off by itself.
package main

import (
	"fmt"
	"net"
	"os"
)

const readBytesMax = 64 * 1024

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: echo_go IP:PORT")
		os.Exit(2)
	}
	listener, err := net.Listen("tcp4", os.Args[1])
	if err != nil {
		fail(err)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go echo(conn)
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, readBytesMax)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}
