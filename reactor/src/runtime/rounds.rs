//! How long those who yield may go on before the loop looks at descriptors and timers.

use crate::clock::Clock;

/// The time after which a turn ends, however few polls it has made. A look at descriptors costs a
/// hundredth of it.
const YIELDING_NS_MAX: u64 = 100_000;

/// Rounds from one look at the clock to the next, which costs as much as a round or two of a task that
/// does nothing but yield.
const ROUNDS_PER_LOOK: u32 = 8;

/// The rounds of one turn in which nobody runs but those who yielded in the one before.
///
/// Each of them may compute for as long as it likes, so their number says nothing about time. Who is
/// merely ready is bounded by the number of polls: that is the time that its own work takes.
#[derive(Default)]
pub(super) struct Rounds {
    count: u32,
    /// When the first one began.
    since_ns: u64,
}

impl Rounds {
    /// Another one is about to begin. Says whether it has to wait for the next turn.
    pub(super) fn are_over(&mut self, clock: &Clock) -> bool {
        let count = self.count;
        self.count += 1;
        if count == 0 {
            self.since_ns = clock.now_ns();
            return false;
        }
        // At first often: rounds that take long are soon known.
        let look = count.is_power_of_two() || count.is_multiple_of(ROUNDS_PER_LOOK);
        look && clock.now_ns().saturating_sub(self.since_ns) >= YIELDING_NS_MAX
    }
}
