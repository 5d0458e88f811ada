//! Refusing what is too much: a token bucket.
//!
//! ```json
//! {"type": "rate_limit", "config": {"requests_per_second": 1000, "burst": 200}}
//! ```
//!
//! A request above the limit is answered with "too many requests". The limit is that of one listener
//! on one worker: with several workers each has its own bucket.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use crate::codec::LocalReply;
use crate::filter::{FilterError, Flag, Flow, Request, StreamFilter, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    requests_per_second: u32,
    burst: Option<u32>,
}

/// Tokens that come back with time: `per_second` of them, up to `burst`.
#[derive(Debug)]
pub struct TokenBucket {
    per_second: u32,
    /// Billionths of a token: with `per_second` of them a nanosecond, no time is lost to rounding.
    balance: u64,
    balance_max: u64,
    last: Instant,
}

const TOKEN: u64 = 1_000_000_000;

impl TokenBucket {
    /// A full one. A `burst` of 0 holds nothing and refuses everything.
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let balance_max = u64::from(burst) * TOKEN;
        TokenBucket { per_second, balance: balance_max, balance_max, last: now }
    }

    /// Takes a token, if there is one at `now`. A time before the last one counts as the last one.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed_ns = now.saturating_duration_since(self.last).as_nanos();
        self.last = self.last.max(now);
        let passed_ns = u64::try_from(passed_ns).unwrap_or(u64::MAX);
        let come_back = passed_ns.saturating_mul(self.per_second.into());
        self.balance = self.balance.saturating_add(come_back).min(self.balance_max);
        let left = self.balance.checked_sub(TOKEN);
        self.balance = left.unwrap_or(self.balance);
        left.is_some()
    }
}

/// What the requests of one listener share. The bucket is there from the first of them on.
struct Shared {
    per_second: u32,
    burst: u32,
    bucket: RefCell<Option<TokenBucket>>,
}

struct RateLimit(Rc<Shared>);

impl StreamFilter for RateLimit {
    fn before_route(&mut self, request: &mut Request<'_>) -> Flow {
        let Shared { per_second, burst, bucket } = &*self.0;
        let (mut bucket, now) = (bucket.borrow_mut(), request.now());
        if bucket.get_or_insert_with(|| TokenBucket::new(*per_second, *burst, now)).take(now) {
            return Flow::Continue;
        }
        request.flag(Flag::RateLimited);
        Flow::Reply(LocalReply::Overflow)
    }
}

pub(crate) fn build(
    config: &Value,
) -> Result<impl Fn() -> Box<dyn StreamFilter> + use<>, FilterError> {
    let config: Config = read(config)?;
    let burst = config.burst.unwrap_or(config.requests_per_second.max(1));
    if burst == 0 {
        return Err(FilterError::new("burst", "expected more than 0, found 0"));
    }
    let per_second = config.requests_per_second;
    let shared = Rc::new(Shared { per_second, burst, bucket: RefCell::default() });
    Ok(move || Box::new(RateLimit(Rc::clone(&shared))) as Box<dyn StreamFilter>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 3, start);
        let taken = |bucket: &mut TokenBucket, ms: u64| {
            let now = start + Duration::from_millis(ms);
            (0..100).filter(|_| bucket.take(now)).count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 350), 2);
        assert_eq!(taken(&mut bucket, 400), 1);
        assert_eq!(taken(&mut bucket, 1_000_000), 3);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut bucket = TokenBucket::new(1, 1, later);
        assert!(bucket.take(later));
        assert!(!bucket.take(start));
        assert!(!bucket.take(later));
        assert!(bucket.take(later + Duration::from_secs(1)));
    }
}
