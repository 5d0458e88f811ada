//! Access logs: every request leaves one line that says how it ended.

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::pipe::Pipe;
use common::*;
use serde_json::Value;

/// A file of its own, removed when the test ends.
struct LogFile(PathBuf);

impl LogFile {
    fn new(name: &str) -> Self {
        let name = format!("proxy-access-{name}-{}.log", std::process::id());
        LogFile(std::env::temp_dir().join(name))
    }

    fn listener(&self, format: &str) -> String {
        let path = self.0.display();
        format!(r#", "access_logs": [{{"log_path": "{path}", "log_format": "{format}"}}]"#)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn every_outcome_has_its_line_and_its_flags() {
    let log = LogFile::new("outcomes");
    let listener = log.listener("json");
    run(async {
        let route = r#", "retry_policy": {"retry_on": true, "retry_timeout": "30ms"}"#;
        let matching = r#"{"headers": [{"name": "service", "value": ".*"}]}"#;
        let bed = Bed::new(Setup { listener: &listener, route, matching, ..Setup::default() });
        let mut client = bed.client().await;
        let with_service = |id, timeout_ms| {
            let mut header = Vec::new();
            proxy::codec::bolt::push_header(b"service", b"s", &mut header);
            request_with(id, timeout_ms, &header, b"x")
        };
        client.send(&with_service(1, 0)).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        client.frame().await;
        // No route; then two tries without an answer; then a client that leaves.
        client.send(&request(2, b"x")).await;
        client.frame().await;
        client.send(&with_service(3, 0)).await;
        client.frame().await;
        client.send(&with_service(4, 0)).await;
        host.frame().await;
        until(|| bed.server.stats().in_flight == 1).await;
        drop(client);
        all_empty(&bed.server).await;
    });
    let text = log.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<(u64, u64, &str)> = lines
        .iter()
        .map(|line| {
            let number = |key: &str| line[key].as_u64().unwrap();
            (number("request_id"), number("attempts"), line["response_flag"].as_str().unwrap())
        })
        .collect();
    assert_eq!(seen[..3], [(1, 1, "-"), (2, 0, "NR"), (3, 2, "UT,URX")], "{text}");
    assert_eq!((seen.len(), seen[3].0, seen[3].2), (4, 4, "DC"), "{text}");
    let first = &lines[0];
    assert_eq!((&first["service"], &first["cluster"]), (&"s".into(), &"c".into()));
    assert!(first["upstream_id"].is_u64() && first["upstream_host"].is_string());
    assert_eq!((&first["response_code"], &lines[1]["local_reply"]), (&0.into(), &"NoRoute".into()));
}

#[test]
fn a_host_that_refuses_is_told_from_no_host_and_a_limit_from_both() {
    let log = LogFile::new("refused");
    let listener = log.listener("%request_id% %attempts% %response_flag% %local_reply%");
    run(async {
        let hosts = [dead_address()];
        let server = Setup { hosts: &hosts, listener: &listener, ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        for id in 1..=2 {
            client.send(&request(id, b"")).await;
            client.frame().await;
        }
        drop(client);
        all_empty(&server).await;
        let cluster = r#", "max_request_per_conn": 1"#;
        let bed = Bed::new(Setup { listener: &listener, cluster, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&[request(3, b""), request(4, b"")].concat()).await;
        client.frame().await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        client.frame().await;
        drop(client);
        all_empty(&bed.server).await;
    });
    // Two logs of one file: each has its own lines in order.
    let text = log.text();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let expected = ["1 1 UF NoUpstream", "2 0 UH NoUpstream", "3 1 - -", "4 0 UO Overflow"];
    assert_eq!(lines, expected);
}

#[test]
fn what_is_in_flight_when_its_runtime_ends_is_written_too() {
    let log = LogFile::new("end");
    let listener = log.listener("%request_id% %response_flag%");
    run(async {
        let bed = Bed::new(Setup { listener: &listener, ..Setup::default() });
        let client = bed.client().await;
        client.send(&request(3, b"x")).await;
        bed.host.accept().await.frame().await;
    });
    assert_eq!(log.text(), "3 DC\n");
}

#[test]
fn a_log_that_cannot_be_opened_harms_no_request() {
    run(async {
        let listener = r#", "access_logs": [{"log_path": "/nowhere/at/all/log"}]"#;
        let bed = Bed::new(Setup { listener, ..Setup::default() });
        let mut client = bed.client().await;
        let mut host = None;
        // Two buffers: the loss of the first is known when the second goes out.
        for id in 0..2 {
            client.send(&request(id, b"x")).await;
            if host.is_none() {
                host = Some(bed.host.accept().await);
            }
            let host = host.as_mut().unwrap();
            let got = host.frame().await;
            host.answer(&got).await;
            assert_eq!(client.frame().await.content(), b"x");
        }
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_text_log_has_the_fields_that_it_names() {
    let log = LogFile::new("text");
    let listener = log.listener("id=%request_id% %attempts% %bytes_received% %oneway%");
    run(async {
        let bed = Bed::new(Setup { listener: &listener, ..Setup::default() });
        let client = bed.client().await;
        client.send(&oneway(7, b"x")).await;
        bed.host.accept().await.frame().await;
        drop(client);
        all_empty(&bed.server).await;
    });
    let bytes = oneway(7, b"x").len();
    assert_eq!(log.text(), format!("id=7 1 {bytes} true\n"));
}

#[test]
fn every_field_says_what_was() {
    let log = LogFile::new("values");
    let listener = log.listener(
        "%request_id% %upstream_id% %service% %cluster% %upstream_host% %attempts% %duration% \
         %request_received_duration% %response_received_duration% %bytes_received% %bytes_sent% \
         %response_code% %local_reply% %response_flag% %protocol% %oneway% \
         %downstream_remote_address%",
    );
    let mut expected = String::new();
    run_paused(async {
        // A second before it is sent, which has a flag, and half a second until its answer.
        let delay = r#", "stream_filters": [{"type": "fault",
            "config": {"delay": {"fixed_delay": "1s", "percentage": 100}}}]"#;
        let matching = r#"{"headers": [{"name": "service", "value": "s"}]}"#;
        let listener = format!("{listener}{delay}");
        let bed = Bed::new(Setup { listener: &listener, matching, ..Setup::default() });
        let mut client = bed.client().await;
        let mut header = Vec::new();
        proxy::codec::bolt::push_header(b"service", b"s", &mut header);
        let asked = request_with(7, 0, &header, b"question");
        client.send(&asked).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        reactor::time::sleep(Duration::from_millis(500)).await;
        let answer = response(got.id(), b"an answer");
        host.send(&answer).await;
        client.frame().await;
        let (id, address) = (got.id(), bed.host.address());
        let (received, sent) = (asked.len(), answer.len());
        let peer = client.stream.local_addr().unwrap();
        expected = format!(
            "7 {id} s c {address} 1 1.5s 1s 1.5s {received} {sent} 0 - DI bolt false {peer}\n"
        );
        drop(client);
        all_empty(&bed.server).await;
    });
    assert_eq!(log.text(), expected);
}

#[test]
fn a_log_is_whole_when_a_stop_is_over() {
    let log = LogFile::new("stop");
    let listener = log.listener("%request_id%");
    for grace in [Duration::from_secs(30), Duration::ZERO] {
        run(async {
            let bed = Bed::new(Setup { listener: &listener, ..Setup::default() });
            let mut client = bed.client().await;
            bed.host.accept_after(&mut client).await;
            drop(client);
            bed.server.drain(grace).await;
            assert_eq!(log.text(), "0\n");
            std::fs::remove_file(&log.0).unwrap();
            assert_eq!(bed.server.stats().log_lines_dropped, 0);
        });
    }
}

#[test]
fn the_lines_of_a_log_that_is_stuck_are_counted_when_a_stop_is_over() {
    let pipe = Pipe::new("counted-log");
    let path = pipe.0.display();
    let listener = format!(r#", "access_logs": [{{"log_path": "{path}"}}]"#);
    run(async {
        let bed = Bed::new(Setup { listener: &listener, ..Setup::default() });
        let mut client = bed.client().await;
        let mut host = bed.host.accept_after(&mut client).await;
        client.send(&request(1, b"x")).await;
        let got = host.frame().await;
        host.answer(&got).await;
        client.expect(1, 0).await;
        drop(client);
        warnings();
        bed.server.drain(Duration::ZERO).await;
        assert_eq!(bed.server.stats().log_lines_dropped, 2);
        let lines = warnings().join("\n");
        assert!(lines.contains(&format!("access log {path}: 2 lines could not")), "{lines}");
    });
}
