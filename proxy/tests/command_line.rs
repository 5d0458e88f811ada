//! The binary, as its user meets it.

mod common;

use std::net::TcpStream;
use std::process::{Command, Output};

use common::blocking::{ask, heard, until_listening, upstream};
use common::pipe::Pipe;
use common::process::{Serving, config};

fn proxy(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proxy")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_checks_every_answer_and_loses_none() {
    let output = proxy(&["demo", "--requests", "3000", "--connections", "3", "--in-flight", "7"]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    for part in
        ["sent 3,000, answered 3,000, late 0, timed out 0", " 0 lost\n", "3,000 checked", "p99.9"]
    {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    assert!(text(&output.stderr).contains("100 %  3,000 of 3,000"));
}

#[test]
fn more_in_flight_than_the_demos_upstreams_take_is_refused_by_name() {
    let output = proxy(&["demo", "--connections", "64", "--in-flight", "513"]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains("--connections times --in-flight must be at most 32768"), "{err}");
}

#[test]
fn a_port_in_use_is_named_and_the_exit_code_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = proxy(&["demo", "--requests", "1", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains(&format!("cannot listen on {address}: the port is in use")), "{err}");
}

#[test]
fn check_explains_a_good_file_and_names_the_fault_of_a_bad_one() {
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo.json");
    let output = proxy(&["check", "-c", good]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("every request to cluster `echo`"));

    let bad = std::env::temp_dir().join(format!("proxy-bad-{}.json", std::process::id()));
    std::fs::write(&bad, "{\n  \"servers\": [],\n  \"clusters\": []\n}").unwrap();
    for arguments in [&["check", "-c"][..], &["-c"]] {
        let output = proxy(&[arguments, &[bad.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(1));
        let err = text(&output.stderr);
        let expected = format!("{}:3:12: clusters: unknown field", bad.display());
        assert!(err.contains(&expected), "{err}");
    }
    std::fs::remove_file(bad).unwrap();
}

/// A configuration with these further keys of its listener and of its cluster, in a file.
fn written(name: &str, listener: &str, cluster: &str) -> std::path::PathBuf {
    let hosts = r#""hosts": [{ "address": "127.0.0.1:0" }, { "address": "127.0.0.1:0" }]"#;
    assert!(proxy::DEMO_CONFIG.contains(hosts));
    let config = proxy::DEMO_CONFIG.replace(hosts, cluster);
    let config =
        config.replacen(r#""name": "demo","#, &format!(r#""name": "demo", {listener}"#), 1);
    let file = common::process::file(name);
    std::fs::write(&file, config).unwrap();
    file
}

#[test]
fn check_notes_what_the_files_and_folders_that_it_names_lack() {
    let log = r#""access_logs": [{"log_path": "/dev/null"}, {"log_path": "/no/such/log"}],"#;
    let file = written("notes.json", log, r#""hosts_file": "no-such-list""#);
    let check = || text(&proxy(&["check", "-c", file.to_str().unwrap()]).stdout);
    let (out, list) = (check(), file.with_file_name("no-such-list"));
    let notes: Vec<&str> = out.lines().filter(|line| line.starts_with("note: ")).collect();
    let expected = "note: servers[0].listeners[0].access_logs[1].log_path: /no/such/log cannot be \
                    written: its folder /no/such: No such file or directory";
    assert!(notes.len() == 2 && notes[0].starts_with(expected), "{out}");
    let hosts = "note: cluster_manager.clusters[0].hosts_file: ";
    let missing = format!("{hosts}{}: cannot read the file: ", list.display());
    assert!(notes[1].starts_with(&missing), "{out}");
    for (broken, expected) in [("[{}]", ":1:3: [0]: missing field"), ("[]", ": 0 hosts;")] {
        std::fs::write(&list, broken).unwrap();
        let out = check();
        assert!(out.contains(&format!("{hosts}{}{expected}", list.display())), "{out}");
    }
    std::fs::write(&list, r#"[{"address": "127.0.0.1:1"}]"#).unwrap();
    let out = check();
    assert!(!out.contains("hosts_file: "), "{out}");
    std::fs::remove_file(list).unwrap();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn check_opens_no_pipe_and_says_of_a_list_that_is_one_that_it_is_no_file() {
    let (log, list) = (Pipe::new("check-log"), Pipe::new("check-list"));
    let listener = format!(r#""access_logs": [{{"log_path": "{}"}}],"#, log.0.display());
    let cluster = format!(r#""hosts_file": "{}""#, list.0.display());
    let file = written("pipes.json", &listener, &cluster);
    let out = text(&proxy(&["check", "-c", file.to_str().unwrap()]).stdout);
    std::fs::remove_file(file).unwrap();
    let notes: Vec<&str> = out.lines().filter(|line| line.starts_with("note: ")).collect();
    let expected = format!("{}: it is no file", list.0.display());
    assert!(notes.len() == 1 && notes[0].contains(&expected), "{out}");
}

#[test]
fn check_notes_a_folder_that_cannot_be_written() {
    // Nobody can make a file there: root is refused too where the system mounts it to be read.
    if rustix::fs::access("/sys", rustix::fs::Access::WRITE_OK).is_ok() {
        return;
    }
    let file =
        written("folder.json", r#""access_logs": [{"log_path": "/sys/log"}],"#, r#""hosts": []"#);
    let out = text(&proxy(&["check", "-c", file.to_str().unwrap()]).stdout);
    std::fs::remove_file(file).unwrap();
    assert!(out.contains("/sys/log cannot be written: its folder /sys: "), "{out}");
}

#[test]
fn the_log_says_at_the_start_that_a_list_has_no_hosts() {
    let list = common::process::file("empty-list");
    std::fs::write(&list, "[]").unwrap();
    let text = config(upstream(), "");
    let (start, rest) = text.split_once(r#""hosts": ["#).unwrap();
    let (_, rest) = rest.split_once(']').unwrap();
    let text = format!(r#"{start}"hosts_file": "{}"{rest}"#, list.display());
    let serving = Serving::start("empty-list", &text, 1);
    serving.until_it_says("cluster `echo`: has 0 hosts now");
    std::fs::remove_file(list).unwrap();
}

#[test]
fn the_log_says_at_the_start_that_an_access_log_cannot_be_written() {
    let log = r#""access_logs": [{"log_path": "/no/such/log"}],"#;
    // Nobody has the address: it ends by itself.
    let file = written("no-log.json", log, r#""hosts": []"#);
    let config = std::fs::read_to_string(&file).unwrap().replacen("127.0.0.1:0", "192.0.2.1:1", 1);
    std::fs::write(&file, config).unwrap();
    let err = text(&proxy(&["-c", file.to_str().unwrap()]).stderr);
    std::fs::remove_file(file).unwrap();
    assert!(err.contains("access_logs[0].log_path: /no/such/log cannot be written"), "{err}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo.json");
    for (arguments, code) in [(&["check", "-c", file][..], 0), (&[], 2)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
        let output = command.args(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(text(&output.stderr), "");
    }
}

#[test]
fn workers_are_counted_before_anything_starts() {
    for number in ["0", "257", "many"] {
        let output = proxy(&["-c", "nowhere.json", "--workers", number]);
        assert_eq!(output.status.code(), Some(2));
        let err = text(&output.stderr);
        assert!(err.contains("expected 1 to 256, or \"auto\""), "{err}");
    }
}

#[test]
fn several_workers_do_not_share_a_port_with_another_process() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = std::env::temp_dir().join(format!("proxy-taken-{}.json", std::process::id()));
    std::fs::write(&file, proxy::DEMO_CONFIG.replacen("127.0.0.1:0", &address, 1)).unwrap();
    let output = proxy(&["-c", file.to_str().unwrap(), "--workers", "2"]);
    std::fs::remove_file(file).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    let expected = format!("listeners[0].address: cannot listen on {address}: the port is in use");
    assert!(err.contains(&expected), "{err}");
}

#[test]
fn every_worker_listens_and_calls_are_answered() {
    let serving = Serving::start("serves", &config(upstream(), ""), 2);
    let address = serving.address;
    until_listening(address.port(), 2);
    for id in 1..=16 {
        let client = TcpStream::connect(address).unwrap();
        ask(&client, id, b"hello");
        heard(&client, id, b"hello");
    }
}

#[test]
fn help_lists_everything_and_no_arguments_are_an_error() {
    let output = proxy(&["--help"]);
    let out = text(&output.stdout);
    for part in ["check", "demo", "--config", "--workers", "--version"] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let out = text(&proxy(&["demo", "--help"]).stdout);
    for part in ["--requests", "--connections", "--in-flight", "--body-bytes", "--listen", "--stay"]
    {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    assert_eq!(proxy(&[]).status.code(), Some(2));
}
