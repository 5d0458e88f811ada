// The work of load.rs with hashicorp/yamux. Each line of input is an order, each line of output its answer.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	readBytes   = 64 << 10
	opensAtOnce = 100
	// TCP_CONGESTION, which this package does not name.
	tcpCongestion = 13
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "hashicorp:", err)
		os.Exit(1)
	}
}

// CPU time of the process so far.
func cpu() time.Duration {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Congestion control by the name that is the argument, before a connection is made.
func control(_, _ string, raw syscall.RawConn) error {
	var err error
	must(raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, tcpCongestion, os.Args[1])
	}))
	return err
}

func sessions(serve func(*yamux.Stream)) (*yamux.Session, func()) {
	listening := net.ListenConfig{Control: control}
	listener, err := listening.Listen(context.Background(), "tcp", "127.0.0.1:0")
	must(err)
	dialer := net.Dialer{Control: control}
	near, err := dialer.Dial("tcp", listener.Addr().String())
	must(err)
	far, err := listener.Accept()
	must(err)
	listener.Close()
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	client, err := yamux.Client(near, config)
	must(err)
	server, err := yamux.Server(far, config)
	must(err)
	go func() {
		for {
			stream, err := server.AcceptStream()
			if err != nil {
				return
			}
			go serve(stream)
		}
	}()
	return client, func() { client.Close(); server.Close() }
}

func discard(stream *yamux.Stream) {
	count(stream, func(int) {})
}

func count(stream *yamux.Stream, told func(int)) {
	defer stream.Close()
	buffer := make([]byte, readBytes)
	for {
		n, err := stream.Read(buffer)
		told(n)
		if err != nil {
			return
		}
	}
}

// This version reads nothing after its own Close: whether all has arrived is said by a counter.
func fill(session *yamux.Session, chunk []byte, bytes int) {
	stream, err := session.OpenStream()
	must(err)
	for left := bytes; left > 0; left -= len(chunk) {
		if len(chunk) > left {
			chunk = chunk[:left]
		}
		if _, err := stream.Write(chunk); err != nil {
			return // cut short
		}
	}
	stream.Close()
}

func bulk(streams, writeBytes, size int) float64 {
	var arrived sync.WaitGroup
	arrived.Add(streams)
	session, stop := sessions(func(stream *yamux.Stream) {
		discard(stream)
		arrived.Done()
	})
	defer stop()
	// One for all, as with the others.
	chunk := bytes.Repeat([]byte{0xA5}, writeBytes)
	before := cpu()
	for i := 0; i < streams; i++ {
		go fill(session, chunk, size/streams)
	}
	arrived.Wait()
	return float64(cpu() - before)
}

func echo(stream *yamux.Stream) {
	defer stream.Close()
	buffer := make([]byte, 64)
	for {
		n, err := stream.Read(buffer)
		if err != nil {
			return
		}
		if _, err := stream.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func opens(n int) float64 {
	session, stop := sessions(echo)
	defer stop()
	before := cpu()
	var workers sync.WaitGroup
	for i := 0; i < opensAtOnce; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			buffer := make([]byte, 64)
			for j := 0; j < n/opensAtOnce; j++ {
				stream, err := session.OpenStream()
				must(err)
				_, err = stream.Write(buffer)
				must(err)
				_, err = io.ReadFull(stream, buffer)
				must(err)
				stream.Close()
			}
		}()
	}
	workers.Wait()
	return float64(cpu() - before)
}

func ask(stream *yamux.Stream) time.Duration {
	start := time.Now()
	_, err := stream.Write([]byte("?"))
	must(err)
	_, err = io.ReadFull(stream, make([]byte, 1))
	must(err)
	return time.Since(start)
}

func beside(n, percent int) float64 {
	var first int32
	session, stop := sessions(func(stream *yamux.Stream) {
		if atomic.AddInt32(&first, 1) == 1 {
			echo(stream)
		} else {
			discard(stream)
		}
	})
	defer stop()
	stream, err := session.OpenStream()
	must(err)
	ask(stream)
	for i := 0; i < 10; i++ {
		go fill(session, make([]byte, 16<<10), 1<<62)
	}
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = ask(stream)
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return float64(times[(n-1)*percent/100])
}

func fair(bytes int) float64 {
	var total int64
	var lock sync.Mutex
	var counts []*int64
	session, stop := sessions(func(stream *yamux.Stream) {
		own := new(int64)
		lock.Lock()
		counts = append(counts, own)
		lock.Unlock()
		count(stream, func(n int) {
			atomic.AddInt64(own, int64(n))
			atomic.AddInt64(&total, int64(n))
		})
	})
	defer stop()
	for i := 0; i < 100; i++ {
		go fill(session, make([]byte, 16<<10), 1<<62)
	}
	for atomic.LoadInt64(&total) < int64(bytes) {
		time.Sleep(time.Millisecond)
	}
	lock.Lock()
	defer lock.Unlock()
	slowest, fastest := int64(1)<<62, int64(1)
	for _, own := range counts {
		n := atomic.LoadInt64(own)
		if n < slowest {
			slowest = n
		}
		if n > fastest {
			fastest = n
		}
	}
	return float64(slowest) / float64(fastest)
}

func resident() int {
	runtime.GC()
	status, err := os.ReadFile("/proc/self/statm")
	must(err)
	var size, pages int
	fmt.Sscan(string(status), &size, &pages)
	return pages * os.Getpagesize()
}

func idle(n int) float64 {
	session, stop := sessions(echo)
	defer stop()
	var streams []*yamux.Stream
	before := 0
	for i := 0; i < n+opensAtOnce; i++ {
		if i == opensAtOnce {
			before = resident()
		}
		stream, err := session.OpenStream()
		must(err)
		ask(stream)
		streams = append(streams, stream)
	}
	bytes := resident() - before
	runtime.KeepAlive(streams)
	return float64(bytes) / float64(n) / 2
}

func main() {
	// One core, as the others have.
	runtime.GOMAXPROCS(1)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var order string
		var a, b, c int
		_, err := fmt.Sscan(strings.TrimSpace(input.Text()), &order, &a, &b, &c)
		must(err)
		switch order {
		case "bulk":
			fmt.Println(bulk(a, b, c))
		case "opens":
			fmt.Println(opens(a))
		case "beside":
			fmt.Println(beside(a, b))
		case "fair":
			fmt.Println(fair(a))
		case "idle":
			fmt.Println(idle(a))
		}
	}
}
