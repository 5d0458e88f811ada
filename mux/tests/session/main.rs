//! Two sessions, their drivers and a pipe between them.
//!
//! What the other implementations of yamux test, and where it is tested here. `proto/` is
//! `src/proto/`, a bare file is in this directory, `interop` and `memory` are beside it.
//!
//! | behaviour | test |
//! |---|---|
//! | a ping's round trip, both sides | path: `a_ping_measures_the_round_trip_on_both_sides` |
//! | ping time-out, then recovery | time: `a_ping_that_is_late_is_answered_in_the_end`, `a_ping_that_nobody_answers_ends_in_time_and_the_session_goes_on`, raw: `a_ping_that_was_lost_does_not_hold_up_the_next` |
//! | closes before the ACK leak no slot | proto/tests/limits: `streams_closed_before_the_ack_hold_no_slot` |
//! | ids 1 and 2, stream count | proto/tests/life: `ids_count_up_by_two_from_one_and_two`, `the_last_id_is_used_and_then_there_are_none` |
//! | open time-out | time: `a_stream_that_nobody_accepts_ends_in_time_and_the_session_goes_on`, proto/tests/timeouts: `a_stream_that_nobody_accepts_is_reset_in_time` |
//! | close time-out sends RST, both maps are empty | churn: `a_dropped_stream_that_the_peer_leaves_open_is_reset_on_both_sides` |
//! | typed errors after close | churn: `every_call_after_close_says_so` |
//! | small data on many streams | flow: `many_streams_echo_at_once` |
//! | large data | churn: `sixteen_large_transfers_share_a_session`, interop |
//! | GoAway makes the peer's open fail | ending: `go_away_makes_the_peers_open_fail_and_lets_streams_finish` |
//! | many streams | churn: `a_thousand_streams_open_and_close` |
//! | ping-pong on many streams | churn: `streams_play_ping_pong` |
//! | read after close (half close) | ending: `each_direction_ends_by_itself` |
//! | buffered data readable after the session closed | ending: `buffered_data_is_readable_after_the_session_died`, `closing_delivers_what_was_written_and_ends_both_sides`, `what_has_arrived_is_readable_after_this_side_has_closed_the_session` |
//! | read deadlines, blocked and future | deadlines: `a_read_that_waits_ends_at_its_deadline`, `a_deadline_reaches_a_read_that_waits_already` |
//! | write deadlines, blocked and future | deadlines: `a_write_that_waits_ends_at_its_deadline`, `a_deadline_reaches_a_write_that_waits_already`, `a_deadline_that_is_moved_away_ends_nothing` |
//! | a full backlog blocks, then fails on close | opening: `a_full_backlog_resets_and_the_session_goes_on`, churn: `an_open_that_waits_fails_when_the_session_closes` |
//! | five backlogs with a live accepter | churn: `five_backlogs_of_streams_pass_a_backlog_that_is_accepted`, `streams_beyond_the_backlog_are_refused_and_those_within_it_are_served` |
//! | keepalive, both sides | time: `either_side_asks_for_a_sign_of_life_by_itself`, `keepalive_holds_an_idle_session_open` |
//! | keepalive time-out | time: `a_peer_that_falls_silent_is_given_up` |
//! | one write of the largest window | churn: `one_write_of_the_largest_window_needs_no_credit` |
//! | 16 x 1 GiB (64 MiB here) | churn: `sixteen_large_transfers_share_a_session` |
//! | a partial read of half + 1 credits exactly that | proto/tests/transfer: `sending_stops_at_the_window_and_goes_on_with_credit` |
//! | window update blocked | proto/tests/transfer: `credit_waits_for_a_connection_that_takes_nothing_and_goes_out_merged` |
//! | full send queue | proto/tests/limits: `writing_waits_at_the_limit_of_the_send_queue` |
//! | ping while writing is blocked | churn: `a_ping_waits_for_a_connection_that_takes_nothing_and_is_answered_when_it_does` |
//! | accept is cancel-safe | opening: `an_accept_that_was_told_and_is_dropped_tells_the_next` |
//! | client-client and server-server fail | churn: `two_clients_and_two_servers_do_not_agree` |
//! | 400 shutdown races | churn: `four_hundred_sessions_end_in_the_middle_of_things` |
//! | reset fails the peer's reads and writes | ending: `a_reset_reaches_reader_and_writer_of_the_peer_while_they_wait` |
//! | window overflow rejected | proto/tests/hostile: `a_broken_rule_ends_the_session_and_is_named` |
//! | expired writes never arrive | deadlines: `a_write_that_has_expired_never_arrives`, `a_write_that_expires_while_it_waits_never_arrives` |
//! | random initial windows never stall | churn: `windows_of_any_size_on_either_side_never_stall` |
//! | stream limit resets and recovers | proto/tests/limits: `a_stream_beyond_the_stream_limit_is_reset_until_a_handle_is_dropped` |
//! | close during a partial frame with 1,000 writers | churn: `closing_comes_between_a_thousand_writers_and_a_frame_half_sent` |
//! | segmented buffer arithmetic | proto/queue: `bytes_leave_in_the_order_they_came` |
//! | the 257th un-ACKed open waits and completes | opening: `the_257th_open_waits_for_an_accept` |
//! | ACK on first use | proto/tests/transfer: `the_ack_goes_out_before_the_first_data_of_the_side_that_accepts` |
//! | 1 MiB echo over a 1 KiB pipe | flow: `both_sides_send_at_once_through_a_pipe_of_one_kib` |
//! | drop reaches the peer with data intact | ending: `dropping_a_stream_delivers_what_was_written_and_then_a_reset` |
//! | queued frames flushed in order before GoAway | proto/tests/life: `closing_sends_what_was_written_and_says_go_away_last` |
//! | split over two tasks | halves: `two_tasks_have_a_half_each` |
//! | ping under symmetric back-pressure | flow: `a_ping_is_answered_while_the_streams_are_stuck` |
//! | encode/decode round trip | proto/frame: `every_header_survives_the_wire` |
//! | FIN + data | raw: `a_fin_on_a_frame_with_payload_ends_the_stream_behind_it`, proto/tests/life: `a_fin_may_come_with_payload_or_with_the_syn`, interop |
//! | ids in any order | raw: `streams_may_be_opened_in_any_order_of_their_ids` |
//! | a stalled write ends the session | time: `a_connection_that_takes_nothing_is_given_up_and_writers_learn_why` |
//! | RST is not EOF | proto/tests/life: `a_reset_discards_what_is_queued_and_is_read_after_what_has_arrived` |
//! | 512 concurrent echoes of 128 KiB | churn: `five_hundred_and_twelve_echoes_of_128_kib_at_once` |
//! | a writer learns that the reader is gone | halves: `a_writer_learns_that_the_reader_is_gone` |
//! | drain: streams finish, new ones are refused | halves: `drain_lets_streams_finish_and_refuses_what_is_new` |
//! | a long path is not limited by the window once it has grown | path: `a_window_is_not_the_limit_of_a_long_path`, `a_window_is_large_enough_within_nine_round_trips` |

mod churn;
#[path = "../support/cloned.rs"]
#[allow(unreachable_pub, reason = "the test files share it")]
mod cloned;
mod deadlines;
mod ending;
mod flow;
mod halves;
mod inside;
mod link;
mod opening;
mod path;
mod raw;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod time;

use std::io;
use std::time::Duration;

use futures_util::AsyncReadExt;
use mux::{Config, Error, Initiator, Session, Stream};
use support::{Tap, pipe};

/// Runs a test with virtual time: a wait that nothing ends goes on to the next time-out, and a test
/// that is stuck is over after two hours that take no time.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    let bounded = async { reactor::time::timeout(Duration::from_secs(7200), test).await };
    runtime.block_on(bounded).expect("stuck")
}

fn sessions() -> (Session, Session) {
    sessions_over(64 * 1024, Config::default())
}

fn sessions_over(pipe_bytes: usize, config: Config) -> (Session, Session) {
    let (client, server, _) = tapped(pipe_bytes, config);
    (client, server)
}

/// Beside the sessions a hold on what the server says.
fn tapped(pipe_bytes: usize, config: Config) -> (Session, Session, Tap) {
    let (near, far) = pipe(pipe_bytes);
    let tap = far.outgoing();
    let (client, driver) = Session::client(near, config.clone());
    drop(reactor::spawn(driver));
    let (server, driver) = Session::server(far, config);
    drop(reactor::spawn(driver));
    (client, server, tap)
}

async fn streams() -> (Session, Stream, Session, Stream) {
    let (client, server) = sessions();
    let near = client.open().await.unwrap();
    let far = server.accept().await.unwrap();
    (client, near, server, far)
}

async fn read_to_end(mut stream: &Stream) -> (Vec<u8>, io::Result<()>) {
    let (mut bytes, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buf).await {
            Ok(0) => return (bytes, Ok(())),
            Ok(n) => bytes.extend_from_slice(&buf[..n]),
            Err(err) => return (bytes, Err(err)),
        }
    }
}

/// Sends back what comes, until the peer's FIN.
async fn echo(stream: Stream) {
    while let Some(chunk) = stream.read_bytes().await.unwrap() {
        stream.write_bytes(chunk).await.unwrap();
    }
    stream.shutdown().unwrap();
}

async fn serve_echo(session: Session) {
    while let Ok(stream) = session.accept().await {
        drop(reactor::spawn(echo(stream)));
    }
}

#[track_caller]
fn assert_reset(outcome: io::Result<()>, by: Initiator) {
    let err = outcome.unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(Error::of(&err), Some(Error::Reset { by: b, .. }) if *b == by), "{err}");
}
