//! All protocols behind one name, chosen without a virtual call.

use super::bolt::{self, Bolt};
use super::dubbo::{self, Dubbo};
use super::thrift::Thrift;
use super::{
    Codec, CodecError, Decoded, Frame, FrameLimits, HeaderError, LocalReply, Origin, Span,
};
use crate::ids::IdWidth;

/// One of the protocols that have requests and ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Bolt, versions 1 and 2, mixed as the peer likes.
    Bolt,
    /// Dubbo.
    Dubbo,
    /// Thrift's binary protocol in frames.
    Thrift,
}

impl Protocol {
    /// All of them, each at the place of its number as `usize`.
    pub const ALL: [Protocol; 3] = [Protocol::Bolt, Protocol::Dubbo, Protocol::Thrift];

    /// Whether it has heartbeats.
    pub fn has_heartbeats(self) -> bool {
        self != Protocol::Thrift
    }

    /// Whether a server may call its client on the connection that the client has made: Thrift's answers
    /// are all that its clients expect.
    pub fn has_calls_back(self) -> bool {
        self != Protocol::Thrift
    }

    /// Appends a heartbeat under this id; nothing where there are none. Bolt's is in version 1.
    pub fn heartbeat(self, id: u64, out: &mut Vec<u8>) {
        match self {
            // The ids of a Bolt connection have 31 bits.
            Protocol::Bolt => bolt::push_heartbeat(bolt::Version::V1, id as u32, out),
            Protocol::Dubbo => dubbo::push_heartbeat(id, out),
            Protocol::Thrift => {}
        }
    }

    /// Appends the frame that asks for no further calls; nothing where there is none. Bolt's is in
    /// version 1. It wants no answer, and its id means nothing.
    pub fn go_away(self, out: &mut Vec<u8>) {
        match self {
            Protocol::Bolt => bolt::push_go_away(0, out),
            Protocol::Dubbo => dubbo::push_go_away(0, out),
            Protocol::Thrift => {}
        }
    }
}

/// Calls the same method of the protocol's own codec.
macro_rules! delegate {
    ($self:ident, $codec:ident => $call:expr) => {
        match $self {
            Protocol::Bolt => {
                let $codec = &Bolt;
                $call
            }
            Protocol::Dubbo => {
                let $codec = &Dubbo;
                $call
            }
            Protocol::Thrift => {
                let $codec = &Thrift;
                $call
            }
        }
    };
}

impl Codec for Protocol {
    fn name(&self) -> &'static str {
        delegate!(self, codec => codec.name())
    }

    fn id_width(&self) -> IdWidth {
        delegate!(self, codec => codec.id_width())
    }

    fn signature_bytes(&self) -> usize {
        delegate!(self, codec => codec.signature_bytes())
    }

    fn decode(&self, bytes: &[u8], limits: &FrameLimits) -> Result<Decoded, CodecError> {
        delegate!(self, codec => codec.decode(bytes, limits))
    }

    fn set_id(&self, frame: &mut [u8], id: u64) {
        delegate!(self, codec => codec.set_id(frame, id))
    }

    fn header<'a>(
        &self,
        frame: &Frame,
        bytes: &'a [u8],
        name: &[u8],
    ) -> Result<Option<&'a [u8]>, CodecError> {
        delegate!(self, codec => codec.header(frame, bytes, name))
    }

    fn set_header(
        &self,
        frame: &Frame,
        bytes: &[u8],
        header: (&[u8], Option<&[u8]>),
        out: &mut Vec<u8>,
    ) -> Result<(), HeaderError> {
        delegate!(self, codec => codec.set_header(frame, bytes, header, out))
    }

    fn repeated(&self, frame: &Frame) -> Span {
        delegate!(self, codec => codec.repeated(frame))
    }

    fn heartbeat_ack(&self, origin: Origin, out: &mut Vec<u8>) {
        delegate!(self, codec => codec.heartbeat_ack(origin, out))
    }

    fn local_reply(&self, origin: Origin, repeated: &[u8], reply: LocalReply, out: &mut Vec<u8>) {
        delegate!(self, codec => codec.local_reply(origin, repeated, reply, out))
    }
}
