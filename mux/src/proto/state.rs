//! The states of a stream, and what leads from one to the next.
//!
//! ```text
//!   open                                  peer's SYN
//!   Init --SYN sent--> SynSent            SynReceived
//!                        | ACK              | accepted, ACK sent
//!                        +--> Established <-+
//!           FIN received /                \ FIN sent
//!               RemoteClosed            LocalClosed
//!               FIN sent \                / FIN received
//!                         +--> Closed <--+
//!   RST, either way, from any state but Closed --> Reset
//! ```

/// Where a stream stands. FINs may come and go before the ACK; the ACK is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Opened here; the SYN waits in the control queue. Never after a frame of it was sent, and
    /// never for a stream that the peer opened.
    Init,
    /// Our SYN is out and no ACK is back. Data may flow both ways. Not once a FIN has passed.
    SynSent,
    /// The peer's SYN is in and nobody has accepted. Data may come. Not once a FIN has passed.
    SynReceived,
    /// Open both ways and acknowledged. Not once a FIN has passed.
    Established,
    /// Our FIN is out: we read, the peer writes. Not once the peer's FIN is in.
    LocalClosed,
    /// The peer's FIN is in: we write, the peer reads, and credit still comes. Not once our FIN is
    /// out.
    RemoteClosed,
    /// Both FINs have passed. Nothing is sent, and what comes is late.
    Closed,
    /// An RST has passed. Nothing is sent, and what comes is late.
    Reset,
}

/// What happens to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    SynSent,
    AckReceived,
    Accepted,
    FinSent,
    FinReceived,
    Rst,
}

impl State {
    /// The state after `step`. A step that means nothing here changes nothing.
    pub(crate) fn after(self, step: Step) -> Self {
        use State::{
            Closed, Established, Init, LocalClosed, RemoteClosed, Reset, SynReceived, SynSent,
        };
        match (self, step) {
            (Init, Step::SynSent) => SynSent,
            (SynSent, Step::AckReceived) | (SynReceived, Step::Accepted) => Established,
            (SynSent | SynReceived | Established, Step::FinSent) => LocalClosed,
            (SynSent | SynReceived | Established, Step::FinReceived) => RemoteClosed,
            (RemoteClosed, Step::FinSent) | (LocalClosed, Step::FinReceived) => Closed,
            (Closed, Step::Rst) => Closed,
            (_, Step::Rst) => Reset,
            (same, _) => same,
        }
    }

    /// Whether our FIN may still be sent, and data before it.
    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived | Self::Established | Self::RemoteClosed)
    }

    /// Whether data of the peer is in order.
    pub(crate) fn receives(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived | Self::Established | Self::LocalClosed)
    }

    /// Whether nothing will pass any more.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{
        Closed, Established, Init, LocalClosed, RemoteClosed, Reset, SynReceived, SynSent,
    };

    /// The table of docs/mux-stream.md, row by row.
    #[rustfmt::skip]
    const TABLE: [(State, [State; 6]); 8] = [
        //             SynSent       AckReceived   Accepted      FinSent       FinReceived   Rst
        (Init,         [SynSent,      Init,         Init,         Init,         Init,         Reset]),
        (SynSent,      [SynSent,      Established,  SynSent,      LocalClosed,  RemoteClosed, Reset]),
        (SynReceived,  [SynReceived,  SynReceived,  Established,  LocalClosed,  RemoteClosed, Reset]),
        (Established,  [Established,  Established,  Established,  LocalClosed,  RemoteClosed, Reset]),
        (LocalClosed,  [LocalClosed,  LocalClosed,  LocalClosed,  LocalClosed,  Closed,       Reset]),
        (RemoteClosed, [RemoteClosed, RemoteClosed, RemoteClosed, Closed,       RemoteClosed, Reset]),
        (Closed,       [Closed,       Closed,       Closed,       Closed,       Closed,       Closed]),
        (Reset,        [Reset,        Reset,        Reset,        Reset,        Reset,        Reset]),
    ];
    const STEPS: [Step; 6] = [
        Step::SynSent,
        Step::AckReceived,
        Step::Accepted,
        Step::FinSent,
        Step::FinReceived,
        Step::Rst,
    ];

    #[test]
    fn every_step_leads_where_the_table_says() {
        for (state, row) in TABLE {
            for (step, next) in STEPS.into_iter().zip(row) {
                assert_eq!(state.after(step), next, "{state:?} after {step:?}");
            }
        }
    }

    #[test]
    fn the_table_in_the_book_is_this_table() {
        let book = include_str!("../../../docs/mux-stream.md");
        for (state, row) in TABLE {
            let cells: Vec<_> = row
                .iter()
                .map(|next| if *next == state { "·".to_owned() } else { format!("{next:?}") })
                .collect();
            let line = format!("| {state:?} | {} |", cells.join(" | "));
            assert!(book.lines().any(|l| l == line), "docs/mux-stream.md lacks the row {line}");
        }
    }
}
