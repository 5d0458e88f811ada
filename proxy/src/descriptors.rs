//! Descriptors: how many a process may have, and which of them clients never get.
//!
//! The kernel gives every new descriptor the lowest number that is free. So a client whose connection
//! got a number below `limit - reserve` has taken nothing from the topmost `reserve` numbers, and one
//! that got such a number is refused: however many clients come, upstream hosts can be dialed, files
//! opened and names looked up.
//!
//! Rejected: to count descriptors. Those of other parts of the process are not known here, and those
//! that come and go with dials and checks would have to be told apart.

use std::io;

use net::OpError;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Cluster, Config, PoolMode};

/// Most descriptors that are kept from clients; a quarter of all that may be is, when that is less.
pub const RESERVED_MAX: u64 = 1024;

/// What a thread has besides connections: its runtime's, and some for files, names and checks.
const OF_A_THREAD: u64 = 8;
/// What a process has besides its threads: the standard streams, and those of its signals.
const OF_THE_PROCESS: u64 = 16;

/// How many the process may have now.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the limit as far as the process may do itself: the soft limit to the hard one, as programs in
/// Go do. Programs that use `select(2)` have reason to leave it, and this is none.
///
/// # Errors
/// The system refuses.
pub fn raise_limit() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// How many of so many are kept from clients.
pub fn reserved(limit: u64) -> u64 {
    (limit / 4).min(RESERVED_MAX)
}

/// Numbers from here on are not for clients.
pub(crate) fn of_clients() -> u64 {
    let limit = limit();
    limit - reserved(limit)
}

/// The least limit of which so many are not kept from clients.
fn limit_for(used: u64) -> u64 {
    // A quarter is kept, rounded down, or the most that is.
    (4 * used.saturating_sub(1) / 3 + 1).min(used + RESERVED_MAX)
}

/// Whether it failed because there was no descriptor for it, in the process or in the system.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let number = OpError::of(error).and_then(OpError::raw_os_error);
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| number == Some(errno.raw_os_error()))
}

/// What a proxy may lack if as many clients come as its configuration allows; `None` when a process may
/// have as many as it needs then.
///
/// What is kept from clients counts as used: connections to hosts and everything else may have been there
/// before the clients, and have the lowest numbers.
pub fn shortage(config: &Config, workers: usize, limit: u64) -> Option<String> {
    let workers = workers as u64;
    let (clients, upstream) = (of_all_clients(config), of_all_hosts(config, workers));
    let listeners = config.listeners.len() as u64;
    let others = workers * (OF_A_THREAD + listeners) + OF_THE_PROCESS;
    let used = clients + upstream + others;
    (used > limit - reserved(limit)).then(|| {
        let needed = limit_for(used);
        format!(
            "{clients} descriptors for clients, {upstream} for connections to hosts and {others} more \
             may be needed; the limit is {limit}, {} of them not for clients: raise ulimit -n to \
             {needed}, or lower limits.connections_max",
            reserved(limit)
        )
    })
}

fn of_all_clients(config: &Config) -> u64 {
    let of_one = |listener: &crate::config::Listener| {
        // Plain TCP has a connection to a host for each client.
        let sides = if listener.protocols.is_empty() { 2 } else { 1 };
        sides * config.limits.connections_max as u64
    };
    config.listeners.iter().map(of_one).sum()
}

/// On all threads. Where connections are not shared there are as many as there are clients or requests,
/// unless the cluster has lower limits. Of hosts that the configuration does not list nothing is known.
fn of_all_hosts(config: &Config, workers: u64) -> u64 {
    let with_requests = config.listeners.iter().filter(|listener| !listener.protocols.is_empty());
    let clients = (with_requests.count() * config.limits.connections_max) as u64;
    let of_one = |cluster: &Cluster| {
        let on_all = |limit: usize| (limit as u64).saturating_mul(workers);
        let connections = on_all(cluster.breakers.connections_max);
        let wanted = match (cluster.pool, cluster.breakers.requests_max) {
            (PoolMode::Multiplex, _) => on_all(cluster.hosts.len() * cluster.connections_per_host),
            // Clients may have several requests at a time, or none: only a breaker knows.
            (PoolMode::Binding, _) | (PoolMode::PingPong, usize::MAX) => clients,
            (PoolMode::PingPong, requests) => on_all(requests),
        };
        wanted.min(connections)
    };
    config.clusters.iter().map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_kept_from_clients_and_never_more_than_a_limit() {
        for (limit, expected) in [(64, 16), (1024, 256), (4096, 1024), (1 << 20, 1024)] {
            assert_eq!(reserved(limit), expected, "{limit}");
        }
    }

    #[test]
    fn what_is_advised_is_the_least_that_is_enough() {
        for used in (1..5000).chain([1 << 20]) {
            let limit = limit_for(used);
            assert!(limit - reserved(limit) >= used, "{used}");
            assert!(limit - 1 - reserved(limit - 1) < used, "{used}");
        }
    }

    /// One listener, two hosts, and so many clients.
    fn config(connections_max: usize) -> Config {
        let mut config = Config::parse("demo.json".as_ref(), crate::DEMO_CONFIG).unwrap();
        config.limits.connections_max = connections_max;
        config
    }

    /// The limit that is advised, and the warning.
    fn advice(config: &Config, limit: u64) -> (u64, String) {
        let text = shortage(config, 2, limit).unwrap();
        let (_, rest) = text.split_once("raise ulimit -n to ").unwrap();
        (rest.split(',').next().unwrap().parse().unwrap(), text)
    }

    #[test]
    fn a_limit_that_is_too_low_is_named_with_what_is_needed() {
        let mut config = config(1000);
        let others = 2 * (OF_A_THREAD + 1) + OF_THE_PROCESS;
        assert_eq!(shortage(&config, 2, 1 << 20), None);
        let (needed, text) = advice(&config, 1024);
        let start = format!(
            "1000 descriptors for clients, 4 for connections to hosts and {others} more may be needed; \
             the limit is 1024, 256 of them not for clients: raise ulimit -n to {needed}, "
        );
        assert!(text.starts_with(&start), "{text}");
        // 1,038 are three quarters of it.
        assert_eq!(needed, 1383);
        // A plain TCP listener needs two for each client.
        config.listeners[0].protocols.clear();
        assert!(shortage(&config, 2, 2024).unwrap().starts_with("2000 descriptors for clients"));
    }

    #[test]
    fn who_follows_the_advice_hears_nothing_more_and_one_less_is_not_enough() {
        for connections_max in [1, 7, 1000, 3000, 16_384, 1 << 20] {
            let config = config(connections_max);
            for limit in [1, 20, 33] {
                let (needed, _) = advice(&config, limit);
                assert_eq!(shortage(&config, 2, needed), None, "{connections_max}");
                assert_eq!(advice(&config, needed - 1).0, needed, "{connections_max}");
            }
        }
    }

    #[test]
    fn connections_that_are_not_shared_are_as_many_as_clients_or_as_breakers_allow() {
        let mut config = config(1000);
        let (none, some) = (usize::MAX, 30);
        for (pool, requests_max, connections_max, expected) in [
            (PoolMode::Multiplex, none, none, 4),
            (PoolMode::Binding, none, none, 1000),
            (PoolMode::Binding, some, none, 1000),
            (PoolMode::Binding, none, some, 60),
            (PoolMode::PingPong, none, none, 1000),
            (PoolMode::PingPong, some, none, 60),
            (PoolMode::PingPong, none, some, 60),
        ] {
            let cluster = &mut config.clusters[0];
            cluster.pool = pool;
            cluster.breakers.requests_max = requests_max;
            cluster.breakers.connections_max = connections_max;
            assert_eq!(of_all_hosts(&config, 2), expected, "{pool:?}");
        }
    }
}
