//! Writing Thrift messages: for clients, servers and tests.

use super::{FRAME_BYTES_MIN, VERSION};

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageType {
    /// A call that wants an answer.
    #[default]
    Call = 1,
    /// An answer.
    Reply = 2,
    /// An answer that is a `TApplicationException`.
    Exception = 3,
    /// A call that wants no answer.
    Oneway = 4,
}

/// A message to encode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// What it is.
    pub message_type: MessageType,
    /// The id; the answer carries it back.
    pub id: i32,
    /// Name of the method, with `service:` in front of it when several share a connection.
    pub name: &'a [u8],
    /// The encoded struct; an empty one is the byte 0.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// Appends the frame.
    ///
    /// # Panics
    /// When name and body are longer than 4 GiB together.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let name_and_body = [self.name, self.body];
        push(self.message_type, self.id as u32, name_and_body, &[], out);
    }
}

/// Appends a `TApplicationException`: field 1 is its text, field 2 its type.
pub(super) fn push_exception(id: u32, name: &[u8], number: i32, text: &str, out: &mut Vec<u8>) {
    let mut text_field = [0x0B, 0, 1, 0, 0, 0, 0];
    text_field[3..].copy_from_slice(&(text.len() as u32).to_be_bytes());
    let mut type_field = [0x08, 0, 2, 0, 0, 0, 0, 0];
    type_field[3..7].copy_from_slice(&number.to_be_bytes());
    let rest = [text.as_bytes(), &type_field];
    push(MessageType::Exception, id, [name, &text_field], &rest, out);
}

fn push(
    message_type: MessageType,
    id: u32,
    [name, body]: [&[u8]; 2],
    rest: &[&[u8]],
    out: &mut Vec<u8>,
) {
    let rest_bytes: usize = rest.iter().map(|part| part.len()).sum();
    let bytes = FRAME_BYTES_MIN - 4 + name.len() + body.len() + rest_bytes;
    out.extend_from_slice(&u32::try_from(bytes).expect("a message of 4 GiB").to_be_bytes());
    out.extend_from_slice(&[VERSION[0], VERSION[1], 0, message_type as u8]);
    out.extend_from_slice(&(name.len() as u32).to_be_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(body);
    for part in rest {
        out.extend_from_slice(part);
    }
}
