//! Conditions on headers.

use regex::bytes::Regex;

use crate::config::{HeaderMatch, ValueMatch};

/// A condition on one header, ready to be asked.
#[derive(Debug)]
pub(super) struct Condition {
    name: Vec<u8>,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    Any,
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    Regex(Regex),
}

impl Condition {
    pub(super) fn new(header: &HeaderMatch) -> Self {
        let wanted = match &header.value {
            ValueMatch::Any => Wanted::Any,
            ValueMatch::Exact(value) => Wanted::Exact(value.clone().into()),
            ValueMatch::Prefix(start) => Wanted::Prefix(start.clone().into()),
            ValueMatch::Regex(pattern) => Wanted::Regex(pattern.compiled_anew()),
        };
        Condition { name: header.name.clone().into(), wanted }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The one value that fulfils it, if there is only one.
    pub(super) fn exact(&self) -> Option<&[u8]> {
        match &self.wanted {
            Wanted::Exact(value) => Some(value),
            _ => None,
        }
    }

    /// Whether a header with this value, or an absent one, fulfils it.
    pub(super) fn holds(&self, found: Option<&[u8]>) -> bool {
        found.is_some_and(|found| match &self.wanted {
            Wanted::Any => true,
            Wanted::Exact(value) => value == found,
            Wanted::Prefix(start) => found.starts_with(start),
            Wanted::Regex(regex) => regex.is_match(found),
        })
    }
}
