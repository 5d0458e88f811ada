//! The referee stands at the wire. It sees what each session says and what reaches it, and panics
//! when a session breaks the protocol, whatever its peer has done. It knows nothing of the sessions
//! but their limits.

use std::collections::{BTreeMap, VecDeque};

use mux::{Config, Flags, Header, Kind, WINDOW_BYTES_INITIAL};

use super::frames::{Frames, Piece};
use super::verdict::Verdict;

/// One end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Client,
    Server,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Whether this side opens streams with that id.
    pub fn opens(self, id: u32) -> bool {
        (id % 2 == 1) == (self == Self::Client)
    }
}

/// What one session has said and heard of a stream.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) said: Flagged,
    pub(super) heard: Flagged,
    /// The application has it, and has ended no direction of it.
    pub(super) held: bool,
    /// The application has had it.
    pub(super) was_held: bool,
    /// Data has come after the FIN, and no RST was said since.
    pub(super) owes_reset: bool,
    /// The same, if the session had the stream and the FIN counted there.
    pub(super) may_be_reset: bool,
    /// The peer's RST has come while the session had no reason for one of its own.
    pub(super) was_reset: bool,
    /// Opened by the peer more than once, or spoken of by the peer before this side has said that it
    /// opens it: what the session makes of it is hard to say from here.
    pub(super) blurred: bool,
    /// Credit that it has heard, and payload it has said against it.
    pub(super) credit: u64,
    pub(super) spent: u64,
    /// Credit that it has said, beyond the initial window.
    pub(super) granted: u64,
    /// Payload that has reached it before a FIN or an RST, and what the application has read of it.
    pub(super) arrived: u64,
    pub(super) read: u64,
    /// What had arrived before the first frame that no window allows.
    within: Option<u64>,
}

#[derive(Default)]
pub(super) struct Flagged {
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
}

/// One session, as it looks from the wire.
pub struct Referee {
    pub(super) side: Side,
    pub(super) config: Config,
    pub(super) window_bytes_max: u64,
    pub(super) frame_bytes_max: u32,
    said: Frames,
    heard: Frames,
    pub(super) streams: BTreeMap<u32, Stream>,
    pub(super) verdict: Verdict,
    pub(super) last_opened: u32,
    went_away: Option<u32>,
    pings: VecDeque<u32>,
    /// Frames said and heard.
    pub frames: (u64, u64),
    /// The first GoAway that it said with a code other than 0.
    pub accused: Option<u32>,
}

impl Referee {
    pub fn new(side: Side, config: &Config) -> Self {
        let window_bytes = config.window_bytes.max(WINDOW_BYTES_INITIAL);
        let window_bytes_max = config.window_bytes_max.max(window_bytes);
        Self {
            side,
            config: config.clone(),
            window_bytes_max: u64::from(window_bytes_max),
            frame_bytes_max: config.frame_bytes_max.max(1),
            said: Frames::default(),
            heard: Frames::default(),
            streams: BTreeMap::new(),
            verdict: Verdict::default(),
            last_opened: 0,
            went_away: None,
            pings: VecDeque::new(),
            frames: (0, 0),
            accused: None,
        }
    }

    /// The session has written `data`.
    pub fn said(&mut self, mut data: &[u8]) {
        let mut frames = std::mem::take(&mut self.said);
        while let Some(piece) = frames.next(&mut data) {
            match piece {
                Piece::Header(header) => self.judge(header),
                Piece::Payload { .. } => {}
                Piece::Bad(rule, _) => panic!("{:?} says a header that breaks {rule:?}", self.side),
            }
        }
        self.said = frames;
    }

    /// Whether what the session has written ends with a whole frame.
    pub fn is_between_frames(&self) -> bool {
        self.said.is_between()
    }

    /// The session has read `data` from the connection.
    pub fn heard(&mut self, mut data: &[u8]) {
        let mut frames = std::mem::take(&mut self.heard);
        // Nothing counts that comes after what the session has to end for.
        while self.verdict.doom.is_none()
            && let Some(piece) = frames.next(&mut data)
        {
            match piece {
                Piece::Header(header) => {
                    self.weigh(header);
                    if self.verdict.doom.is_none() {
                        self.note(header);
                    }
                }
                Piece::Payload { header, bytes, last } => self.note_payload(header, bytes, last),
                Piece::Bad(rule, head) => self.bad_header(rule, head),
            }
        }
        self.heard = frames;
    }

    /// The application has that stream.
    pub fn holds(&mut self, id: u32) {
        let stream = self.streams.entry(id).or_default();
        (stream.held, stream.was_held) = (true, true);
    }

    /// The application is about to end a direction of it, or to drop it.
    pub fn lets_go(&mut self, id: u32) {
        self.streams.entry(id).or_default().held = false;
        // Its reset waits among the answers.
        self.verdict.provocations += 1;
    }

    /// Nobody tells it what the application does. Then it knows of no stream whether the session still has it, and
    /// nothing that the session hears dooms it for certain.
    pub fn is_told_nothing(&mut self) {
        self.closes();
    }

    /// The application is about to say GoAway.
    pub fn goes_away(&mut self) {
        self.verdict.goes_away = true;
    }

    /// The application is about to close the session.
    pub fn closes(&mut self) {
        (self.verdict.goes_away, self.verdict.closes) = (true, true);
    }

    /// The application has read so many bytes of a stream.
    pub fn read(&mut self, id: u32, bytes: usize) {
        let stream = self.streams.entry(id).or_default();
        stream.read += bytes as u64;
        assert!(
            stream.read <= stream.arrived || stream.blurred,
            "{:?} reads {} bytes of stream {id}, of which {} have arrived",
            self.side,
            stream.read,
            stream.arrived,
        );
        let within = stream.within.unwrap_or(u64::MAX);
        assert!(
            stream.read <= within || stream.blurred,
            "{:?} reads {} bytes of stream {id}, and beyond {within} the window was exceeded",
            self.side,
            stream.read,
        );
    }

    #[track_caller]
    fn must(&self, holds: bool, header: Header, rule: &str) {
        assert!(holds, "{:?} says [{header}], but {rule}", self.side);
    }

    fn judge(&mut self, header: Header) {
        self.frames.0 += 1;
        self.must(self.accused.is_none(), header, "nothing comes after a GoAway with an error");
        match header.kind {
            Kind::Ping => self.judge_ping(header),
            Kind::GoAway => self.judge_go_away(header),
            Kind::Data | Kind::WindowUpdate => self.judge_stream(header),
        }
    }

    fn judge_ping(&mut self, header: Header) {
        self.must(header.stream_id == 0, header, "a ping is of the session");
        if header.flags == Flags::ACK {
            let asked = self.pings.iter().position(|value| *value == header.length);
            self.must(asked.is_some(), header, "nobody asked that, or its answer came before");
            self.pings.drain(..=asked.unwrap_or_default());
        } else {
            self.must(header.flags == Flags::SYN, header, "a ping asks or answers");
        }
    }

    fn judge_go_away(&mut self, header: Header) {
        self.must(header.stream_id == 0, header, "a GoAway is of the session");
        let again = self.went_away.is_some() && header.length == 0;
        self.must(!again, header, "it said so before");
        self.went_away = Some(header.length);
        self.accused = (header.length != 0).then_some(header.length);
    }

    fn judge_stream(&mut self, header: Header) {
        let Header { kind, flags, stream_id: id, length } = header;
        let has = |flag| flags.contains(flag);
        self.must(id != 0, header, "stream 0 is the session");
        self.must(length > 0 || flags != Flags::NONE, header, "it does nothing");
        if has(Flags::SYN) {
            self.must(self.side.opens(id), header, "the id is the peer's");
            self.must(id > self.last_opened, header, "ids are opened in order");
            self.must(self.went_away.is_none(), header, "it went away");
            self.last_opened = id;
        }
        let mut stream = self.streams.remove(&id).unwrap_or_default();
        let open = stream.said.syn || stream.heard.syn || has(Flags::SYN);
        self.must(open, header, "nobody opened the stream");
        if !stream.blurred {
            self.must(!stream.said.rst, header, "it reset the stream");
            let answers = has(Flags::RST) && stream.was_reset;
            self.must(!answers, header, "the peer reset the stream");
            self.must(!(stream.said.fin && has(Flags::FIN)), header, "the FIN was said");
            let acks = has(Flags::ACK);
            self.must(!acks || stream.heard.syn, header, "there is nothing to acknowledge");
            self.must(!(acks && stream.said.ack), header, "the ACK was said");
        }
        stream.said.note(flags);
        match kind {
            Kind::Data => self.judge_data(header, &mut stream),
            _ => self.judge_credit(header, &mut stream),
        }
        self.streams.insert(id, stream);
    }

    fn judge_data(&self, header: Header, stream: &mut Stream) {
        let length = u64::from(header.length);
        self.must(header.length <= self.frame_bytes_max, header, "the frame is too large");
        if stream.blurred || length == 0 {
            return;
        }
        let fin_before = stream.said.fin && !header.flags.contains(Flags::FIN);
        self.must(!fin_before, header, "the FIN was said");
        self.must(!stream.heard.syn || stream.said.ack, header, "the ACK is missing");
        stream.spent += length;
        let granted = u64::from(WINDOW_BYTES_INITIAL) + stream.credit;
        self.must(stream.spent <= granted, header, "the credit is used up");
    }

    fn judge_credit(&self, header: Header, stream: &mut Stream) {
        // The length of an RST is no credit.
        if stream.blurred || header.flags.contains(Flags::RST) {
            return;
        }
        stream.granted += u64::from(header.length);
        let most = self.window_bytes_max - u64::from(WINDOW_BYTES_INITIAL) + stream.read;
        self.must(stream.granted <= most, header, "that much was neither read nor configured");
    }

    fn note(&mut self, header: Header) {
        self.frames.1 += 1;
        match header.kind {
            Kind::Ping if !header.flags.contains(Flags::ACK) => self.pings.push_back(header.length),
            Kind::Ping | Kind::GoAway => {}
            Kind::Data | Kind::WindowUpdate => self.note_stream(header),
        }
    }

    fn note_stream(&mut self, header: Header) {
        let (id, syn) = (header.stream_id, header.flags.contains(Flags::SYN));
        let own = self.side.opens(id);
        if syn && (own || header.flags.contains(Flags::RST)) {
            return; // no session bears that, or there is no stream; what was begun to be said still comes
        }
        let stream = self.streams.entry(id).or_default();
        if !own && !syn && !stream.heard.syn {
            return; // late, or early: of no stream
        }
        stream.blurred |= if own { !stream.said.syn } else { syn && stream.heard.syn };
        if header.kind == Kind::WindowUpdate {
            stream.credit = stream.credit.saturating_add(u64::from(header.length));
        }
        // A FIN counts behind its payload.
        let fin = stream.heard.fin;
        stream.heard.note(header.flags);
        let has_payload = header.kind == Kind::Data && header.length > 0;
        if has_payload {
            stream.heard.fin = fin;
            let waiting = stream.waiting() + u64::from(header.length);
            if waiting > self.window_bytes_max {
                stream.within.get_or_insert(stream.arrived);
            }
        }
    }

    fn note_payload(&mut self, header: Header, bytes: usize, last: bool) {
        let open = |stream: &&mut Stream| stream.heard.syn || stream.said.syn;
        let Some(stream) = self.streams.get_mut(&header.stream_id).filter(open) else { return };
        if !stream.heard.fin && !stream.heard.rst {
            stream.arrived += bytes as u64;
        }
        stream.heard.fin |= last && header.flags.contains(Flags::FIN);
    }
}

impl Stream {
    /// Both FINs have passed, or an RST.
    pub(super) fn is_over(&self) -> bool {
        self.said.rst || self.heard.rst || (self.said.fin && self.heard.fin)
    }

    /// Bytes that have arrived and are not read.
    pub(super) fn waiting(&self) -> u64 {
        self.arrived.saturating_sub(self.read)
    }
}

impl Flagged {
    fn note(&mut self, flags: Flags) {
        self.syn |= flags.contains(Flags::SYN);
        self.ack |= flags.contains(Flags::ACK);
        self.fin |= flags.contains(Flags::FIN);
        self.rst |= flags.contains(Flags::RST);
    }
}
