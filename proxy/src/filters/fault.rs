//! Faults on purpose: requests delayed or answered with an error, a percentage of them. Keys are
//! MOSN's.
//!
//! ```json
//! {"type": "fault", "config": {
//!   "delay": {"fixed_delay": "1s", "percentage": 10},
//!   "abort": {"status": 503, "percentage": 5},
//!   "upstream_cluster": "c",
//!   "headers": [{"name": "user", "value": "test"}]
//! }}
//! ```
//!
//! `upstream_cluster` and `headers`, when they are there, say which requests are meant. The delay
//! comes first. `status` is HTTP's, and stands for the answer of the proxy that means the same: 403
//! denied, 404 no route, 500 upstream lost, 502 no upstream, 503 overflow, 504 time-out.

use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::codec::LocalReply;
use crate::config::Time;
use crate::filter::{FilterError, Flag, Flow, Request, StreamFilter, read};
use crate::random::Random;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    delay: Option<Delay>,
    abort: Option<Abort>,
    upstream_cluster: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
    /// Has the same requests hit in every run.
    seed: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delay {
    fixed_delay: Time,
    percentage: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Abort {
    status: u16,
    percentage: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    value: String,
}

struct Plan {
    delay: Option<(Duration, u32)>,
    abort: Option<(LocalReply, u32)>,
    cluster: Option<String>,
    headers: Vec<Header>,
    random: Random,
}

impl Plan {
    /// A request whose header cannot be read is not meant.
    fn means(&self, request: &Request<'_>) -> bool {
        let cluster = request.record().cluster.as_deref();
        self.cluster.as_deref().is_none_or(|wanted| cluster == Some(wanted))
            && self.headers.iter().all(|wanted| {
                let found = request.header(&wanted.name).ok().flatten();
                found == Some(wanted.value.as_bytes())
            })
    }
}

/// The fault of one request.
struct Fault {
    plan: Rc<Plan>,
    /// Chance has been asked; it is not asked again when the request gets another route.
    is_decided: bool,
}

impl StreamFilter for Fault {
    fn after_route(&mut self, request: &mut Request<'_>) -> Flow {
        if self.is_decided || !self.plan.means(request) {
            return Flow::Continue;
        }
        self.is_decided = true;
        let hits = |percent| self.plan.random.below(100) < percent;
        let delay = self.plan.delay.and_then(|(time, percent)| hits(percent).then_some(time));
        let abort = self.plan.abort.and_then(|(why, percent)| hits(percent).then_some(why));
        if delay.is_some() {
            request.flag(Flag::DelayInjected);
        }
        if abort.is_some() {
            request.flag(Flag::FaultInjected);
        }
        match (delay, abort) {
            (None, None) => Flow::Continue,
            (None, Some(why)) => Flow::Reply(why),
            (Some(time), None) => Flow::Delay(time),
            (Some(time), Some(why)) => Flow::ReplyAfter(time, why),
        }
    }
}

pub(crate) fn build(
    config: &Value,
) -> Result<impl Fn() -> Box<dyn StreamFilter> + use<>, FilterError> {
    let config: Config = read(config)?;
    for (path, percentage) in [
        ("delay.percentage", config.delay.as_ref().map(|delay| delay.percentage)),
        ("abort.percentage", config.abort.as_ref().map(|abort| abort.percentage)),
    ] {
        if let Some(found) = percentage.filter(|percentage| *percentage > 100) {
            return Err(FilterError::new(path, format!("expected 0 to 100, found {found}")));
        }
    }
    let abort = match &config.abort {
        Some(abort) => Some((reply_of(abort.status)?, abort.percentage)),
        None => None,
    };
    let plan = Rc::new(Plan {
        delay: config.delay.map(|delay| (delay.fixed_delay.0, delay.percentage)),
        abort,
        cluster: config.upstream_cluster.filter(|name| !name.is_empty()),
        headers: config.headers,
        random: config.seed.map_or_else(Random::new, Random::with_seed),
    });
    Ok(move || {
        let plan = Rc::clone(&plan);
        Box::new(Fault { plan, is_decided: false }) as Box<dyn StreamFilter>
    })
}

fn reply_of(status: u16) -> Result<LocalReply, FilterError> {
    Ok(match status {
        403 => LocalReply::Denied,
        404 => LocalReply::NoRoute,
        500 => LocalReply::UpstreamLost,
        502 => LocalReply::NoUpstream,
        503 => LocalReply::Overflow,
        504 => LocalReply::Timeout,
        _ => {
            let message = format!("expected 403, 404, 500, 502, 503 or 504, found {status}");
            return Err(FilterError::new("abort.status", message));
        }
    })
}
