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

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Config, PoolMode};

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

/// What a proxy may lack if as many clients come as its configuration allows; `None` when a process may
/// have as many as it needs then.
pub fn shortage(config: &Config, workers: usize, limit: u64) -> Option<String> {
    let workers = workers as u64;
    let (clients, upstream) = (of_all_clients(config), of_all_hosts(config) * workers);
    let listeners = config.listeners.len() as u64;
    let others = workers * (OF_A_THREAD + listeners) + OF_THE_PROCESS;
    // What is kept from clients is there for the rest.
    let needed = clients + (upstream + others).max(reserved(limit));
    (needed > limit).then(|| {
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

/// For each thread; where connections are not shared there are as many as there are requests or
/// clients, and one to each host is the least.
fn of_all_hosts(config: &Config) -> u64 {
    let of_one = |cluster: &crate::config::Cluster| {
        let each = match cluster.pool {
            PoolMode::Multiplex => cluster.connections_per_host,
            PoolMode::PingPong | PoolMode::Binding => 1,
        };
        (cluster.hosts.len() * each) as u64
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
    fn a_limit_that_is_too_low_is_named_with_what_is_needed() {
        // One listener, two hosts.
        let mut config = Config::parse("demo.json".as_ref(), crate::DEMO_CONFIG).unwrap();
        config.limits.connections_max = 1000;
        let others = 2 * (OF_A_THREAD + 1) + OF_THE_PROCESS;
        assert_eq!(shortage(&config, 2, 1 << 20), None);
        let text = shortage(&config, 2, 1024).unwrap();
        let start = format!(
            "1000 descriptors for clients, 4 for connections to hosts and {others} more may be needed; \
             the limit is 1024, 256 of them not for clients: raise ulimit -n to 1256"
        );
        assert!(text.starts_with(&start), "{text}");
        assert_eq!(shortage(&config, 2, 2024), None);
        // A plain TCP listener needs two for each client.
        config.listeners[0].protocols.clear();
        assert!(shortage(&config, 2, 2024).unwrap().starts_with("2000 descriptors for clients"));
    }
}
