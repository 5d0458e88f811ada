//! How a line of an access log looks.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::codec::Codec;
use crate::filter::Record;

/// JSON with every field, or a text with some of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    Json,
    Text(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Literal(String),
    Field(Field),
}

/// The text that a log has when it names no format.
const DEFAULT: &str = "%start_time% %request_id% %upstream_id% %service% %cluster% %upstream_host% \
                       %attempts% %duration% %bytes_received% %bytes_sent% %response_code% \
                       %response_flag%";

macro_rules! fields {
    ($($field:ident $name:literal,)+) => {
        /// What a text may name between two `%`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Field { $($field,)+ }

        impl Field {
            const ALL: &[(&str, Field)] = &[$(($name, Field::$field),)+];
        }
    };
}

fields! {
    StartTime "start_time",
    RequestId "request_id",
    UpstreamId "upstream_id",
    Service "service",
    Cluster "cluster",
    UpstreamHost "upstream_host",
    Attempts "attempts",
    Duration "duration",
    SentAfter "request_received_duration",
    AnsweredAfter "response_received_duration",
    BytesReceived "bytes_received",
    BytesSent "bytes_sent",
    Status "response_code",
    Reply "local_reply",
    Flags "response_flag",
    Protocol "protocol",
    Oneway "oneway",
    Peer "downstream_remote_address",
}

impl Format {
    /// `json`, or a text in which names between two `%` stand for fields.
    ///
    /// # Errors
    /// A name is not one; what was expected.
    pub(crate) fn parse(text: Option<&str>) -> Result<Format, String> {
        let text = text.filter(|text| !text.is_empty()).unwrap_or(DEFAULT);
        if text == "json" {
            return Ok(Format::Json);
        }
        let mut pieces = Vec::new();
        for (number, part) in text.split('%').enumerate() {
            if number.is_multiple_of(2) {
                pieces.push(Piece::Literal(part.to_owned()));
                continue;
            }
            let Some((_, field)) = Field::ALL.iter().find(|(name, _)| *name == part) else {
                let names: Vec<&str> = Field::ALL.iter().map(|(name, _)| *name).collect();
                let names = names.join(", ");
                return Err(format!("unknown field `%{part}%`, expected one of {names}"));
            };
            pieces.push(Piece::Field(*field));
        }
        if text.split('%').count().is_multiple_of(2) {
            return Err("a field begins with `%` and does not end with one".to_owned());
        }
        Ok(Format::Text(pieces))
    }

    pub(crate) fn wants_service(&self) -> bool {
        match self {
            Format::Json => true,
            Format::Text(pieces) => pieces.contains(&Piece::Field(Field::Service)),
        }
    }

    /// Appends the line.
    pub(crate) fn write(&self, record: &Record, out: &mut String) {
        match self {
            Format::Json => out.push_str(&json(record)),
            Format::Text(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => out.push_str(text),
                        Piece::Field(field) => write_field(*field, record, out),
                    }
                }
            }
        }
        out.push('\n');
    }
}

fn write_field(field: Field, record: &Record, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match field {
        Field::StartTime => write!(out, "{}", Utc(record.start)),
        Field::RequestId => write!(out, "{}", record.request_id),
        Field::UpstreamId => optional(out, record.upstream_id),
        Field::Service => optional(out, record.service.as_deref().map(OneWord)),
        Field::Cluster => optional(out, record.cluster.as_deref()),
        Field::UpstreamHost => optional(out, record.host),
        Field::Attempts => write!(out, "{}", record.attempts),
        Field::Duration => write!(out, "{:?}", record.duration),
        Field::SentAfter => optional(out, record.sent_after.map(Debugged)),
        Field::AnsweredAfter => optional(out, record.answered_after.map(Debugged)),
        Field::BytesReceived => write!(out, "{}", record.request_bytes),
        Field::BytesSent => write!(out, "{}", record.response_bytes),
        Field::Status => optional(out, record.status),
        Field::Reply => optional(out, record.reply.map(Debugged)),
        Field::Flags => write!(out, "{}", record.flags),
        Field::Protocol => write!(out, "{}", record.protocol.name()),
        Field::Oneway => write!(out, "{}", record.oneway),
        Field::Peer => write!(out, "{}", record.peer),
    };
}

fn optional(out: &mut String, value: Option<impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => write!(out, "{value}"),
        None => out.write_str("-"),
    }
}

struct Debugged<T>(T);

impl<T: fmt::Debug> fmt::Display for Debugged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a client wrote must not look like more than one field or line.
struct OneWord<'a>(&'a str);

impl fmt::Display for OneWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            let is_breaking = c.is_whitespace() || c.is_control();
            f.write_char(if is_breaking { '_' } else { c })?;
        }
        Ok(())
    }
}

/// A moment as RFC 3339 writes it, to the millisecond.
struct Utc(SystemTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let ms = since.subsec_millis();
        write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// The Gregorian date so many days after 1970-01-01. Counted in years that begin with March, so that
/// the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The fields of a JSON line. Durations are in microseconds.
#[derive(Serialize)]
struct Line<'a> {
    start_time: String,
    request_id: u64,
    upstream_id: Option<u64>,
    service: Option<&'a str>,
    cluster: Option<&'a str>,
    upstream_host: Option<String>,
    attempts: u32,
    duration_us: u128,
    request_received_duration_us: Option<u128>,
    response_received_duration_us: Option<u128>,
    bytes_received: usize,
    bytes_sent: usize,
    response_code: Option<u16>,
    local_reply: Option<String>,
    response_flag: String,
    protocol: &'a str,
    oneway: bool,
    downstream_remote_address: String,
}

fn json(record: &Record) -> String {
    let line = Line {
        start_time: Utc(record.start).to_string(),
        request_id: record.request_id,
        upstream_id: record.upstream_id,
        service: record.service.as_deref(),
        cluster: record.cluster.as_deref(),
        upstream_host: record.host.map(|host| host.to_string()),
        attempts: record.attempts,
        duration_us: record.duration.as_micros(),
        request_received_duration_us: record.sent_after.map(|time| time.as_micros()),
        response_received_duration_us: record.answered_after.map(|time| time.as_micros()),
        bytes_received: record.request_bytes,
        bytes_sent: record.response_bytes,
        response_code: record.status,
        local_reply: record.reply.map(|reply| format!("{reply:?}")),
        response_flag: record.flags.to_string(),
        protocol: record.protocol.name(),
        oneway: record.oneway,
        downstream_remote_address: record.peer.to_string(),
    };
    serde_json::to_string(&line).expect("strings and numbers can be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{LocalReply, Protocol};
    use crate::filter::{Flag, Flags};

    fn record() -> Record {
        let mut flags = Flags::default();
        flags.add(Flag::Timeout);
        Record {
            start: UNIX_EPOCH + Duration::from_millis(1_709_210_096_007),
            sent_after: Some(Duration::from_micros(20)),
            answered_after: None,
            duration: Duration::from_millis(3),
            protocol: Protocol::Bolt,
            peer: "10.0.0.9:1234".parse().unwrap(),
            request_id: 7,
            upstream_id: Some(16_385),
            oneway: false,
            service: Some("com.example.\nA \"b\"".to_owned()),
            cluster: Some("c".into()),
            host: Some("10.0.0.1:80".parse().unwrap()),
            attempts: 2,
            request_bytes: 100,
            response_bytes: 0,
            status: None,
            reply: Some(LocalReply::Timeout),
            flags,
        }
    }

    fn line(format: &str) -> String {
        let mut out = String::new();
        Format::parse(Some(format)).unwrap().write(&record(), &mut out);
        out
    }

    #[test]
    fn a_text_is_written_with_its_fields() {
        let text = "%start_time% id=%request_id%/%upstream_id% %cluster% %upstream_host% %attempts% \
                    %duration% %response_received_duration% %response_code% %response_flag%";
        assert_eq!(line(text), "2024-02-29T12:34:56.007Z id=7/16385 c 10.0.0.1:80 2 3ms - - UT\n");
    }

    #[test]
    fn what_a_client_wrote_cannot_break_a_line() {
        assert_eq!(line("%service%"), "com.example._A_\"b\"\n");
        let json: serde_json::Value = serde_json::from_str(&line("json")).unwrap();
        assert_eq!(json["service"], "com.example.\nA \"b\"");
        assert_eq!(line("json").lines().count(), 1);
    }

    #[test]
    fn json_has_every_field_that_a_text_can_name() {
        let json: serde_json::Value = serde_json::from_str(&line("json")).unwrap();
        let object = json.as_object().unwrap();
        assert_eq!(object.len(), Field::ALL.len());
        for (name, _) in Field::ALL {
            let in_us = format!("{name}_us");
            assert!(object.contains_key(*name) || object.contains_key(&in_us), "{name}");
        }
    }

    #[test]
    fn a_format_with_an_unknown_or_an_open_field_is_refused() {
        assert!(Format::parse(Some("%nope%")).unwrap_err().starts_with("unknown field `%nope%`"));
        assert!(Format::parse(Some("%duration% %duration")).is_err());
        assert!(Format::parse(None).unwrap().wants_service());
        assert!(!Format::parse(Some("plain")).unwrap().wants_service());
    }

    #[test]
    fn dates_are_right_around_leap_days_and_years() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (20_088, (2024, 12, 31)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }
}
