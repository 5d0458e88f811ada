//! A queue of bytes in chunks: the receive buffer and the send queue of a stream.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Smallest and largest chunk that is set aside for bytes that come in small pieces.
const CHUNK_BYTES_MIN: usize = 64;
const CHUNK_BYTES_MAX: usize = 4096;

/// Chunks up to this size are copied into the one before them instead of being kept.
const COPY_BYTES_MAX: usize = 256;

/// Bytes in order, in chunks that can leave without being copied.
///
/// Pieces that arrive as slices are packed: a chunk is filled before the next one is made, and none
/// is larger than the piece that asked for it or [`CHUNK_BYTES_MAX`]. So a peer that sends single
/// bytes makes us hold those bytes, not a chunk for each. An empty queue is one pointer and holds no
/// memory: an idle stream has two of them.
///
/// Chunks can be *lent*: parts of a buffer that is larger than they are. Who is quick takes them
/// without a copy; [`settle`](Self::settle) copies what is left of them, so that the queue holds what
/// it carries again.
#[derive(Debug, Default)]
pub(crate) struct ByteQueue {
    /// Never empty.
    filled: Option<Box<Chunks>>,
}

#[derive(Debug, Default)]
struct Chunks {
    chunks: VecDeque<Bytes>,
    /// Comes after `chunks`; its spare capacity takes the next slice.
    tail: BytesMut,
    len: usize,
    /// Where in `chunks` the first lent one is, if there is one.
    lent_from: Option<usize>,
}

impl ByteQueue {
    pub(crate) fn len(&self) -> usize {
        self.filled.as_ref().map_or(0, |filled| filled.len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled.is_none()
    }

    /// Appends by copying.
    pub(crate) fn push_slice(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.filled.get_or_insert_default().push_slice(data);
        }
    }

    /// Appends without copying, unless the chunk is small. What is left in `data` is for the caller
    /// to drop, where that may run code of others.
    pub(crate) fn push_bytes(&mut self, data: &mut Bytes) {
        if data.len() <= COPY_BYTES_MAX {
            return self.push_slice(data);
        }
        let filled = self.filled.get_or_insert_default();
        filled.seal();
        filled.len += data.len();
        filled.chunks.push_back(std::mem::take(data));
    }

    /// Appends a part of a buffer that others have parts of; true if it is the first that is lent.
    pub(crate) fn lend(&mut self, part: Bytes) -> bool {
        let filled = self.filled.get_or_insert_default();
        filled.seal();
        filled.len += part.len();
        filled.chunks.push_back(part);
        let index = filled.chunks.len() - 1;
        filled.lent_from.replace(filled.lent_from.unwrap_or(index)).is_none()
    }

    /// Lets go of the buffers that parts are lent of.
    pub(crate) fn settle(&mut self) {
        let Some(filled) = &mut self.filled else { return };
        let Some(index) = filled.lent_from.take() else { return };
        let lent = filled.chunks.split_off(index);
        let tail = std::mem::take(&mut filled.tail);
        filled.len -= lent.iter().map(Bytes::len).sum::<usize>() + tail.len();
        lent.iter().for_each(|part| filled.push_slice(part));
        filled.push_slice(&tail);
    }

    /// All that is there, if all of it was copied in and lies in one piece.
    pub(crate) fn copied(&self) -> Option<&[u8]> {
        self.filled
            .as_ref()
            .filter(|filled| filled.chunks.is_empty())
            .map(|filled| &filled.tail[..])
    }

    /// Takes the next chunk, or as much of it as `max` allows. `None` when empty, or `max` is 0.
    pub(crate) fn pop(&mut self, max: usize) -> Option<Bytes> {
        let filled = self.filled.as_mut().filter(|_| max > 0)?;
        let chunk = match filled.chunks.front_mut() {
            Some(front) if front.len() > max => front.split_to(max),
            Some(_) => filled.pop_front()?,
            None if filled.tail.len() <= max => filled.take_tail(),
            None => filled.tail.split_to(max).freeze(),
        };
        self.took(chunk.len());
        Some(chunk)
    }

    /// Copies out as much as is there and fits. Not for queues that were filled by
    /// [`push_bytes`](Self::push_bytes): it drops the chunks that it has emptied.
    pub(crate) fn read(&mut self, mut buf: &mut [u8]) -> usize {
        let Some(filled) = &mut self.filled else { return 0 };
        let wanted = buf.len().min(filled.len);
        let mut missing = wanted;
        while missing > 0 {
            let done = match filled.chunks.front_mut() {
                Some(front) => copy_out(front, &mut buf),
                None => copy_out(&mut filled.tail, &mut buf),
            };
            missing -= done;
            if filled.chunks.front().is_some_and(Bytes::is_empty) {
                filled.pop_front();
            }
        }
        self.took(wanted);
        wanted
    }

    fn took(&mut self, bytes: usize) {
        let Some(filled) = &mut self.filled else { return };
        filled.len -= bytes;
        if filled.len == 0 {
            self.filled = None;
        }
    }
}

impl Chunks {
    fn push_slice(&mut self, data: &[u8]) {
        let room = self.tail.capacity() - self.tail.len();
        let (head, rest) = data.split_at(room.min(data.len()));
        self.tail.extend_from_slice(head);
        if !rest.is_empty() {
            self.seal();
            let spare = self.len.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
            self.tail = BytesMut::with_capacity(rest.len().max(spare));
            self.tail.extend_from_slice(rest);
        }
        self.len += data.len();
    }

    fn pop_front(&mut self) -> Option<Bytes> {
        self.lent_from = self.lent_from.map(|index| index.saturating_sub(1));
        self.chunks.pop_front()
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.take_tail();
            self.chunks.push_back(tail);
        }
    }

    /// The tail as a chunk, which holds no more than twice what it carries.
    fn take_tail(&mut self) -> Bytes {
        let tail = std::mem::take(&mut self.tail);
        if tail.capacity() > 2 * tail.len() { Bytes::copy_from_slice(&tail) } else { tail.freeze() }
    }
}

fn copy_out(from: &mut impl Buf, buf: &mut &mut [u8]) -> usize {
    let len = from.remaining().min(buf.len());
    let (head, rest) = std::mem::take(buf).split_at_mut(len);
    from.copy_to_slice(head);
    *buf = rest;
    len
}

#[cfg(test)]
impl ByteQueue {
    /// Bytes that the queue holds on to, its own structures included.
    pub(crate) fn memory_bytes(&self) -> usize {
        let Some(filled) = &self.filled else { return 0 };
        let chunks: usize = filled.chunks.iter().map(Bytes::len).sum();
        let spine = filled.chunks.capacity() * size_of::<Bytes>();
        size_of::<Chunks>() + chunks + filled.tail.capacity() + spine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn single_bytes_are_packed() {
        let mut queue = ByteQueue::default();
        for i in 0..262_144u32 {
            queue.push_slice(&[i as u8]);
        }
        assert_eq!(queue.len(), 262_144);
        assert!(queue.memory_bytes() < 280_000, "{} bytes for 262144", queue.memory_bytes());
    }

    #[test]
    fn an_emptied_queue_holds_no_memory() {
        let mut queue = ByteQueue::default();
        queue.push_slice(&[7; 5000]);
        queue.push_bytes(&mut Bytes::from(vec![8; 5000]));
        while queue.pop(3000).is_some() {}
        assert_eq!((queue.len(), queue.memory_bytes()), (0, 0));
    }

    #[test]
    fn a_large_chunk_passes_through_without_a_copy() {
        let data = Bytes::from(vec![1; 10_000]);
        let mut queue = ByteQueue::default();
        queue.push_slice(b"before");
        queue.push_bytes(&mut data.clone());
        assert_eq!(queue.pop(100).unwrap(), "before");
        let first = queue.pop(4000).unwrap();
        assert_eq!((first.as_ptr(), first.len()), (data.as_ptr(), 4000));
        assert_eq!(queue.pop(usize::MAX).unwrap().as_ptr(), data[4000..].as_ptr());
    }

    #[test]
    fn a_lent_part_passes_through_without_a_copy_and_settled_holds_its_buffer_no_more() {
        let buffer = Bytes::from(vec![1; 10_000]);
        let mut queue = ByteQueue::default();
        queue.push_slice(b"before");
        assert!(queue.lend(buffer.slice(..4000)));
        queue.push_slice(b"between");
        assert!(!queue.lend(buffer.slice(5000..)));
        assert_eq!(queue.pop(usize::MAX).unwrap(), "before");
        assert_eq!(queue.pop(3000).unwrap().as_ptr(), buffer.as_ptr());
        queue.settle();
        assert!(buffer.is_unique());
        assert_eq!(queue.len(), 1000 + 7 + 5000);
        assert!(queue.memory_bytes() < 6007 + 4096 + 500, "{}", queue.memory_bytes());
    }

    #[test]
    fn a_chunk_holds_on_to_no_more_than_twice_itself() {
        let mut queue = ByteQueue::default();
        queue.push_slice(&[7; 5000]);
        queue.push_slice(b"in a block of 4096 bytes");
        queue.push_bytes(&mut Bytes::from(vec![8; 300]));
        let chunks = [(); 3].map(|()| queue.pop(usize::MAX).unwrap());
        assert_eq!(chunks[1], b"in a block of 4096 bytes"[..]);
        for chunk in chunks {
            let len = chunk.len();
            assert!(chunk.try_into_mut().unwrap().capacity() <= 2 * len);
        }
        queue.push_slice(&[7; 5000]);
        queue.push_slice(b"and the last of all");
        queue.pop(usize::MAX);
        assert!(queue.pop(usize::MAX).unwrap().try_into_mut().unwrap().capacity() < 40);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Slice(Vec<u8>),
        Lent(Vec<u8>),
        Settle,
        Chunk(Vec<u8>),
        Pop(usize),
        Read(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600).prop_map(Step::Slice),
            proptest::collection::vec(any::<u8>(), 0..600).prop_map(Step::Chunk),
            proptest::collection::vec(any::<u8>(), 1..600).prop_map(Step::Lent),
            Just(Step::Settle),
            (0usize..700).prop_map(Step::Pop),
            (0usize..700).prop_map(Step::Read),
        ]
    }

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_they_came(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut queue, mut model) = (ByteQueue::default(), VecDeque::new());
            for step in steps {
                match step {
                    Step::Slice(data) => { queue.push_slice(&data); model.extend(data); }
                    Step::Chunk(data) => { model.extend(&data); queue.push_bytes(&mut data.into()); }
                    Step::Lent(data) => { model.extend(&data); queue.lend(data.into()); }
                    Step::Settle => queue.settle(),
                    Step::Pop(max) => match queue.pop(max) {
                        None => prop_assert!(max == 0 || model.is_empty()),
                        Some(chunk) => {
                            prop_assert!(!chunk.is_empty() && chunk.len() <= max);
                            prop_assert!(model.drain(..chunk.len()).eq(chunk));
                        }
                    },
                    Step::Read(len) => {
                        let mut buf = vec![0; len];
                        let n = queue.read(&mut buf);
                        prop_assert_eq!(n, len.min(model.len()));
                        prop_assert!(model.drain(..n).eq(buf[..n].iter().copied()));
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
            }
        }
    }
}
