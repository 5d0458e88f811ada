package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
)

// request makes one and returns status and body; reused says whether its connection was an old one.
func request(client *http.Client, method, url string, body io.Reader) (status int, answer []byte, reused bool, err error) {
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return 0, nil, false, err
	}
	response, err := client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		return 0, nil, false, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, reused, err
}

func httpRequests() error {
	address, err := start("hyper_hello")
	if err != nil {
		return err
	}
	client, url := &http.Client{}, "http://"+address
	for round := 0; round < 3; round++ {
		status, answer, reused, err := request(client, "GET", url+"/", nil)
		if err != nil || status != 200 || string(answer) != "hello\n" || reused != (round > 0) {
			return fmt.Errorf("%d, %q, an old connection: %v, %v", status, answer, reused, err)
		}
	}
	status, _, _, err := request(client, "GET", url+"/nothing", nil)
	if err != nil || status != 404 {
		return fmt.Errorf("%d, %v", status, err)
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 512<<10)
	// Of a reader that hides its length: sent in chunks.
	status, answer, _, err := request(client, "POST", url+"/echo", struct{ io.Reader }{bytes.NewReader(sent)})
	if err != nil || status != 200 || !bytes.Equal(answer, sent) {
		return fmt.Errorf("%d, %d bytes, %v", status, len(answer), err)
	}
	return nil
}

func httpSlowHead() error {
	conn, address, err := dialExample("hyper_hello")
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "); err != nil {
		return err
	}
	status, _, _, err := request(&http.Client{}, "GET", "http://"+address+"/", nil)
	if err != nil || status != 200 {
		return fmt.Errorf("%d, %v", status, err)
	}
	return nil
}
