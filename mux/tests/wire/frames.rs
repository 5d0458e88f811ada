//! Bytes to frames, in pieces of any size. Written apart from the parser under test.

use mux::{HEADER_BYTES, Header, Kind, Rule};

/// What the next bytes of a direction are.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    /// A header is complete.
    Header(Header),
    /// So many bytes of that frame's payload; `last` if it ends with them.
    Payload { header: Header, bytes: usize, last: bool },
    /// The header does not decode. Nothing is found after it.
    Bad(Rule, Head),
}

/// A header as it stands on the wire.
pub type Head = [u8; HEADER_BYTES];

/// The frames of one direction.
#[derive(Default)]
pub struct Frames {
    head: Vec<u8>,
    body: Option<(Header, usize)>,
    broken: bool,
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub fn is_between(&self) -> bool {
        self.head.is_empty() && self.body.is_none()
    }

    /// Takes bytes off `data`, and says what they are; `None` when it needs more.
    pub fn next(&mut self, data: &mut &[u8]) -> Option<Piece> {
        if self.broken || data.is_empty() {
            return None;
        }
        if let Some((header, left)) = self.body.take() {
            let bytes = left.min(data.len());
            *data = &data[bytes..];
            let last = bytes == left;
            self.body = (!last).then_some((header, left - bytes));
            return Some(Piece::Payload { header, bytes, last });
        }
        let taken = data.len().min(HEADER_BYTES - self.head.len());
        self.head.extend_from_slice(&data[..taken]);
        *data = &data[taken..];
        let head = self.head.first_chunk::<HEADER_BYTES>()?;
        let head = *head;
        self.head.clear();
        Some(match Header::decode(&head) {
            Err(rule) => {
                self.broken = true;
                Piece::Bad(rule, head)
            }
            Ok(header) => {
                if header.kind == Kind::Data && header.length > 0 {
                    self.body = Some((header, header.length as usize));
                }
                Piece::Header(header)
            }
        })
    }
}
