//! As much of Bolt v1 as the load needs.

const REQUEST_BYTES: usize = 22;
const RESPONSE_BYTES: usize = 20;
/// Command codes.
const HEARTBEAT: [u8; 2] = [0, 0];
const RESPONSE: [u8; 2] = [0, 2];
/// `service` = `bench`, as the header map encodes it.
const HEADER: &[u8] = b"\x00\x00\x00\x07service\x00\x00\x00\x05bench";

/// Length of the frame that begins here, once that can be told.
pub(crate) fn frame_bytes(bytes: &[u8]) -> Option<usize> {
    let is_request = *bytes.get(1)? != 0;
    let (fixed, class) = if is_request { (REQUEST_BYTES, 14) } else { (RESPONSE_BYTES, 12) };
    let short =
        |at: usize| Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let content = u32::from_be_bytes(bytes.get(class + 4..class + 8)?.try_into().ok()?);
    Some(fixed + short(class)? + short(class + 2)? + content as usize)
}

pub(crate) fn id(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[5..9].try_into().expect("four bytes"))
}

/// Appends a request.
pub(crate) fn request(id: u32, content: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[1, 1, 0, 1, 1]);
    out.extend_from_slice(&id.to_be_bytes());
    out.push(1);
    out.extend_from_slice(&30_000_i32.to_be_bytes());
    out.extend_from_slice(&0_u16.to_be_bytes());
    out.extend_from_slice(&(HEADER.len() as u16).to_be_bytes());
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(HEADER);
    out.extend_from_slice(content);
}

/// Appends the answer to a request: its content. A proxy that finds a connection idle sends heartbeats,
/// which have neither header nor content.
pub(crate) fn answer(request: &[u8], out: &mut Vec<u8>) {
    let content = request.get(REQUEST_BYTES + HEADER.len()..).unwrap_or_default();
    let command = if request[2..4] == HEARTBEAT { HEARTBEAT } else { RESPONSE };
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&command);
    out.push(1);
    out.extend_from_slice(&request[5..9]);
    out.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
}

/// The content of an answer, if it is one that says success.
pub(crate) fn content(answer: &[u8]) -> Option<&[u8]> {
    (answer[1] == 0 && answer[10..12] == [0, 0]).then(|| &answer[RESPONSE_BYTES..])
}
