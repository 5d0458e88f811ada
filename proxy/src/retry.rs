//! Whether a request that failed is tried again, when, and how often all of them together.

use std::cell::Cell;
use std::time::Duration;

use crate::config::RetryPolicy;
use crate::limits::{
    RETRY_BUDGET_MAX, RETRY_BUDGET_MIN, RETRY_BUDGET_PERCENT, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN,
};

/// A route's retries: its policy, and the budget that its requests share.
#[derive(Debug)]
pub(crate) struct Retry {
    pub(crate) policy: RetryPolicy,
    budget: Budget,
}

impl Retry {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Retry { policy, budget: Budget::new() }
    }

    /// A request has come: it pays for a part of a retry.
    pub(crate) fn paid(&self) {
        self.budget.pay();
    }

    /// Takes one retry out of the budget, for a request that has had `tries`.
    pub(crate) fn take(&self, tries: u32) -> Result<(), Denied> {
        if tries > self.policy.retries_max {
            return Err(Denied::Limit);
        }
        if self.budget.take() { Ok(()) } else { Err(Denied::Budget) }
    }

    /// Whether an answer of this status is a failed try.
    pub(crate) fn wants(&self, status: u16) -> bool {
        self.policy.statuses.contains(&status)
    }
}

/// Why there is no further try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The request has had as many as it may have.
    Limit,
    /// The requests of this route have had too many together.
    Budget,
}

/// Retries as a share of requests, so that a host in trouble is not given the rest by those who
/// would help. Every request pays [`RETRY_BUDGET_PERCENT`] of a retry in, every retry takes a whole
/// one out; there are [`RETRY_BUDGET_MIN`] to begin with and never more than [`RETRY_BUDGET_MAX`].
/// It has no clock: where there are no requests there is nothing to be retried.
#[derive(Debug)]
struct Budget {
    /// Hundredths of a retry.
    balance: Cell<u32>,
}

impl Budget {
    fn new() -> Self {
        Budget { balance: Cell::new(RETRY_BUDGET_MIN * 100) }
    }

    fn pay(&self) {
        self.balance.set((self.balance.get() + RETRY_BUDGET_PERCENT).min(RETRY_BUDGET_MAX * 100));
    }

    fn take(&self) -> bool {
        let left = self.balance.get().checked_sub(100);
        self.balance.set(left.unwrap_or(self.balance.get()));
        left.is_some()
    }
}

/// The pause before try number `tries` + 1. None before the second try, which goes to another host;
/// then [`RETRY_PAUSE_MIN`], doubling up to [`RETRY_PAUSE_MAX`], of which a random part of up to a half
/// is taken off, so that requests that failed together do not come back together.
pub(crate) fn pause(tries: u32, random: u64) -> Duration {
    let Some(doublings) = tries.checked_sub(2) else { return Duration::ZERO };
    let whole = RETRY_PAUSE_MIN.saturating_mul(1 << doublings.min(16)).min(RETRY_PAUSE_MAX);
    let off_us = random % (whole.as_micros() as u64 / 2 + 1);
    whole - Duration::from_micros(off_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_lets_a_fifth_of_the_requests_be_retried_and_a_few_more() {
        let budget = Budget::new();
        let mut retries = 0;
        for _ in 0..1000 {
            budget.pay();
            retries += u32::from(budget.take());
        }
        assert_eq!(retries, RETRY_BUDGET_MIN + 1000 * RETRY_BUDGET_PERCENT / 100);
    }

    #[test]
    fn what_is_saved_up_has_a_limit() {
        let budget = Budget::new();
        (0..1_000_000).for_each(|_| budget.pay());
        let mut retries = 0;
        while budget.take() {
            retries += 1;
        }
        assert_eq!(retries, RETRY_BUDGET_MAX);
    }

    #[test]
    fn a_request_has_one_try_more_than_it_has_retries() {
        let policy = RetryPolicy { retries_max: 2, ..RetryPolicy::default() };
        let retry = Retry::new(policy);
        assert_eq!(
            (retry.take(1), retry.take(2), retry.take(3)),
            (Ok(()), Ok(()), Err(Denied::Limit))
        );
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_is_shortened_by_at_most_a_half() {
        let longest: Vec<u128> = (1..8).map(|tries| pause(tries, 0).as_millis()).collect();
        assert_eq!(longest, [0, 25, 50, 100, 200, 250, 250]);
        for random in 0..100_000 {
            assert!(pause(3, random) >= RETRY_PAUSE_MIN);
        }
        assert_eq!(pause(u32::MAX, 0), RETRY_PAUSE_MAX);
    }
}
