//! Addresses and durations as they stand in the file.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::TIMEOUT_MAX;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// `127.0.0.1:2045` or `[::1]:2045`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address(pub(super) SocketAddr);

/// `127.0.0.1:2045`, `[::1]:2045` or `name:2045`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostName(pub(super) String);

impl HostName {
    /// The address, if it is one and not a name.
    pub(super) fn address(&self) -> Option<Address> {
        self.0.parse().ok().map(Address)
    }
}

/// `3s`, `500ms`, `1m30s`: Go's way to write a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// As [`Time`], for numbers that other modules keep.
pub(crate) fn duration_of<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    Time::deserialize(deserializer).map(|time| time.0)
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expected: "an IP address and a port, such as \"127.0.0.1:2045\"",
            parse: |text| text.parse().ok().map(Address),
        })
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expected: "a host and a port, such as \"127.0.0.1:2045\"",
            parse: |text| {
                let (name, port) = text.rsplit_once(':')?;
                let is_port = port.parse::<u16>().is_ok();
                (is_port && !name.is_empty()).then(|| HostName(text.to_owned()))
            },
        })
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expected: "a duration of at most 24h, such as \"3s\", \"500ms\" or \"1m30s\"",
            parse: |text| duration(text).filter(|time| *time <= TIMEOUT_MAX).map(Time),
        })
    }
}

/// Whole numbers with the units h, m, s, ms, us, ns, one behind the other; `0` alone is zero.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let unit_bytes = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_bytes);
        sum = sum.checked_add(scaled(number.parse().ok()?, unit)?)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(sum)
}

fn scaled(number: u64, unit: &str) -> Option<Duration> {
    match unit {
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "s" => Some(Duration::from_secs(number)),
        "ms" => Some(Duration::from_millis(number)),
        "us" => Some(Duration::from_micros(number)),
        "ns" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, ms) in [
            ("3s", 3_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1h0m1s", 3_601_000),
            ("0s", 0),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "3", "s", "-3s", "3 s", "3x", "1.5s", "99999999999999999999s", "3s5"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration("18446744073709551615h"), None);
    }
}
