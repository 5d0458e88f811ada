//! How a cluster's hosts are checked, as it stands in the file.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::Fault;
use super::super::scalar::Time;
use super::{time, within};
use crate::codec::Protocol;
use crate::health::{CheckRules, OutlierRules, Probe};
use crate::limits::{CHECK_INTERVAL, CHECK_TIMEOUT};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckNode {
    protocol: Option<CheckProtocol>,
    timeout: Option<Time>,
    interval: Option<Time>,
    interval_jitter: Option<Time>,
    initial_delay_seconds: Option<Time>,
    healthy_threshold: Option<u32>,
    unhealthy_threshold: Option<u32>,
    pub(super) service_name: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum CheckProtocol {
    #[serde(rename = "tcp", alias = "TCP")]
    Tcp,
    #[serde(rename = "bolt", alias = "boltv2", alias = "SofaRpc")]
    Bolt,
    #[serde(rename = "dubbo")]
    Dubbo,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutlierNode {
    consecutive_failures: Option<u32>,
    base_ejection_time: Option<Time>,
    max_ejection_time: Option<Time>,
    max_ejection_percent: Option<u32>,
}

impl CheckNode {
    pub(super) fn read(&self, path: &str) -> Result<CheckRules, Fault> {
        let at = |key: &str| format!("{path}.{key}");
        let threshold = |key: &str, count: Option<u32>| {
            let count = count.unwrap_or(1);
            within(at(key), count as usize, 1, u32::MAX as usize).map(|()| count)
        };
        Ok(CheckRules {
            probe: match self.protocol {
                None | Some(CheckProtocol::Tcp) => Probe::Connect,
                Some(CheckProtocol::Bolt) => Probe::Heartbeat(Protocol::Bolt),
                Some(CheckProtocol::Dubbo) => Probe::Heartbeat(Protocol::Dubbo),
            },
            interval: time(at("interval"), self.interval, CHECK_INTERVAL)?,
            jitter: self.interval_jitter.map_or(Duration::ZERO, |jitter| jitter.0),
            timeout: time(at("timeout"), self.timeout, CHECK_TIMEOUT)?,
            delay: self.initial_delay_seconds.map_or(Duration::ZERO, |delay| delay.0),
            healthy_threshold: threshold("healthy_threshold", self.healthy_threshold)?,
            unhealthy_threshold: threshold("unhealthy_threshold", self.unhealthy_threshold)?,
        })
    }
}

impl OutlierNode {
    pub(super) fn read(&self, path: &str) -> Result<OutlierRules, Fault> {
        let at = |key: &str| format!("{path}.{key}");
        let failures = self.consecutive_failures.unwrap_or(5);
        within(at("consecutive_failures"), failures as usize, 1, u32::MAX as usize)?;
        let percent_max = self.max_ejection_percent.unwrap_or(10);
        within(at("max_ejection_percent"), percent_max as usize, 0, 100)?;
        let time_min =
            time(at("base_ejection_time"), self.base_ejection_time, Duration::from_secs(30))?;
        let time_max =
            time(at("max_ejection_time"), self.max_ejection_time, Duration::from_secs(300))?;
        Ok(OutlierRules { failures, time_min, time_max: time_max.max(time_min), percent_max })
    }
}
