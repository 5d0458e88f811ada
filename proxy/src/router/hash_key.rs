//! The key that a consistent hash finds a request's host by.

use crate::balance;
use crate::codec::{Codec, CodecError, Frame};
use crate::config::HashSource;

/// Where to look for it, in this order.
pub(crate) struct HashKey(Vec<Source>);

enum Source {
    Header(Vec<u8>),
    SourceIp,
}

impl HashKey {
    pub(super) fn new(sources: &[HashSource]) -> Self {
        let source = |source: &HashSource| match source {
            HashSource::Header(name) => Source::Header(name.clone().into()),
            HashSource::SourceIp => Source::SourceIp,
        };
        HashKey(sources.iter().map(source).collect())
    }

    /// The first that the request has; `client`, the key of its client's address, when it has none.
    pub(crate) fn of(
        &self,
        codec: &impl Codec,
        frame: &Frame,
        bytes: &[u8],
        client: u64,
    ) -> Result<u64, CodecError> {
        for source in &self.0 {
            match source {
                Source::SourceIp => return Ok(client),
                Source::Header(name) => {
                    if let Some(value) = codec.header(frame, bytes, name)? {
                        return Ok(balance::hash(value));
                    }
                }
            }
        }
        Ok(client)
    }
}
