//! Hosts that come from a file or from DNS: looked for again and again, off the loop.
//!
//! A file is read once on the loop, before the first client can come; a name may take its resolver
//! seconds, so until its first answer the cluster has no hosts.
//!
//! What cannot be read or resolved changes nothing: the cluster keeps the hosts it has. The log says so,
//! and says it again when the reason is another one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use reactor::{JoinHandle, spawn_blocking, time};

use super::{Cluster, Resolver};
use crate::config::{self, Host, Membership};
use crate::limits::{HOSTS_FILE_BYTES_MAX, HOSTS_MAX};

/// A file that was changed less than this ago is read again although it looks the same.
const SETTLED_AGE: Duration = Duration::from_secs(1);

/// What was found: hosts, that nothing has changed, or why neither can be said.
type Found = Result<Option<Vec<Host>>, String>;

/// Starts what keeps the cluster's hosts up to date; `None` when they do not change. It has those of a
/// file already then.
pub(super) fn watch(cluster: &Rc<Cluster>) -> Option<JoinHandle<()>> {
    let weak = Rc::downgrade(cluster);
    let (interval, mut source) = match cluster.shared.config.membership.clone() {
        Membership::Static => return None,
        Membership::File { path, interval } => (interval, Source::File { path, seen: None }),
        Membership::Dns { hosts, interval } => {
            let resolver = cluster.shared.worker.resolver.clone();
            (interval, Source::Dns { hosts, resolver })
        }
    };
    let mut failing = None;
    let is_file = matches!(source, Source::File { .. });
    if is_file {
        let found;
        (source, found) = source.look();
        if matches!(&found, Ok(Some(hosts)) if hosts.is_empty()) {
            // It had none before either: to have none is no change, and worth a word.
            cluster.log_change(0);
        }
        cluster.found(found, &mut failing);
    }
    Some(reactor::spawn(async move {
        if is_file {
            time::sleep(interval).await;
        }
        loop {
            let found;
            (source, found) = match spawn_blocking(move || source.look()).await {
                Ok(result) => result,
                // The runtime is on its way out.
                Err(_) => return,
            };
            let Some(cluster) = weak.upgrade() else { return };
            cluster.found(found, &mut failing);
            drop(cluster);
            time::sleep(interval).await;
        }
    }))
}

impl Cluster {
    /// `failing` is the last reason that was logged, if nothing has been found since.
    fn found(&self, found: Found, failing: &mut Option<String>) {
        match found {
            Ok(hosts) => {
                *failing = None;
                if let Some(hosts) = hosts.filter(|hosts| self.differs(hosts)) {
                    self.log_change(hosts.len());
                    self.set_hosts(&hosts);
                }
            }
            Err(why) if failing.as_ref() != Some(&why) => {
                let name = self.name();
                match self.members.borrow().hosts.len() {
                    0 => log::warn!("cluster `{name}`: has no hosts yet: {why}"),
                    _ => log::warn!("cluster `{name}`: keeps the hosts it has: {why}"),
                }
                *failing = Some(why);
            }
            Err(_) => {}
        }
    }

    fn log_change(&self, hosts: usize) {
        let name = self.name();
        if hosts == 0 {
            log::warn!(
                "cluster `{name}`: has 0 hosts now: its requests are answered with \"no upstream\""
            );
        } else {
            log::info!("cluster `{name}`: has {hosts} hosts now");
        }
    }

    /// Whether these are other hosts than those it has.
    fn differs(&self, hosts: &[Host]) -> bool {
        let members = self.members.borrow();
        let same = |(member, host): (&Rc<super::Host>, &Host)| {
            member.address == host.address
                && member.weight() == host.weight
                && *member.labels() == host.labels
        };
        members.hosts.len() != hosts.len() || !members.hosts.iter().zip(hosts).all(same)
    }
}

/// Where to look. It travels to a thread that may block, and back.
enum Source {
    File { path: PathBuf, seen: Option<Seen> },
    Dns { hosts: Vec<(String, Host)>, resolver: Resolver },
}

/// What a file looked like when it was read.
#[derive(PartialEq, Eq)]
struct Seen {
    modified: SystemTime,
    bytes: u64,
}

impl Source {
    fn look(mut self) -> (Self, Found) {
        let found = match &mut self {
            Source::File { path, seen } => read(path, seen),
            Source::Dns { hosts, resolver } => resolve(hosts, resolver).map(Some),
        };
        (self, found)
    }
}

/// The hosts in a file, as it is now; why there are none otherwise.
pub(crate) fn hosts_in(path: &Path) -> Result<Vec<Host>, String> {
    read(path, &mut None).map(Option::unwrap_or_default)
}

fn read(path: &Path, seen: &mut Option<Seen>) -> Found {
    let failed = |error: io::Error| format!("{}: cannot read the file: {error}", path.display());
    // To open a pipe may take for ever.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{}: it is no file", path.display()));
    }
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let now = Seen { modified: metadata.modified().map_err(failed)?, bytes: metadata.len() };
    if now.bytes > HOSTS_FILE_BYTES_MAX {
        let bytes = now.bytes;
        return Err(format!(
            "{}: the file has {bytes} bytes, the limit is {HOSTS_FILE_BYTES_MAX}",
            path.display()
        ));
    }
    if seen.as_ref() == Some(&now) {
        return Ok(None);
    }
    let mut text = String::new();
    file.by_ref().take(HOSTS_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    // A file that is being written may be read half: it is no list then, or it changes again.
    let hosts = config::parse_hosts(path, &text).map_err(|error| error.to_string())?;
    // Clocks of file systems are coarse: a file may change twice in one of their ticks.
    let age = now.modified.elapsed().unwrap_or_default();
    *seen = (age >= SETTLED_AGE).then_some(now);
    Ok(Some(hosts))
}

/// Every address of every name, in the order of the names and of the addresses, each once.
fn resolve(names: &[(String, Host)], resolver: &Resolver) -> Result<Vec<Host>, String> {
    let mut hosts: Vec<Host> = Vec::new();
    for (name, host) in names {
        let found = resolver.addresses(name);
        let mut addresses = found.map_err(|error| format!("{name}: {error}"))?;
        if addresses.is_empty() {
            return Err(format!("{name}: no address"));
        }
        // The resolver turns them about; that is no change.
        addresses.sort_unstable();
        for address in addresses {
            if hosts.iter().all(|other| other.address != address) {
                hosts.push(Host { address, ..host.clone() });
            }
        }
    }
    if hosts.len() > HOSTS_MAX {
        return Err(format!("{} addresses, the limit is {HOSTS_MAX}", hosts.len()));
    }
    Ok(hosts)
}

#[cfg(test)]
mod names;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: impl IntoIterator<Item = String>) -> Vec<(String, Host)> {
        let address: std::net::SocketAddr = "0.0.0.0:0".parse().unwrap();
        let host = Host { weight: 3, ..Host::from(address) };
        names.into_iter().map(|name| (name, host.clone())).collect()
    }

    #[test]
    fn an_address_that_two_names_have_is_one_host_with_what_stands_beside_the_first() {
        let mut names = named(["127.0.0.2:80", "127.0.0.1:80", "127.0.0.2:80"].map(String::from));
        names[2].1.weight = 9;
        let hosts = resolve(&names, &Resolver::default()).unwrap();
        let seen: Vec<_> =
            hosts.iter().map(|host| (host.address.to_string(), host.weight)).collect();
        assert_eq!(seen, [("127.0.0.2:80".to_owned(), 3), ("127.0.0.1:80".to_owned(), 3)]);
    }

    #[test]
    fn more_addresses_than_a_cluster_may_have_are_refused() {
        let addresses = |count: usize| named((0..count).map(|n| format!("127.0.0.1:{}", n + 1)));
        assert_eq!(resolve(&addresses(HOSTS_MAX), &Resolver::default()).unwrap().len(), HOSTS_MAX);
        let error = resolve(&addresses(HOSTS_MAX + 1), &Resolver::default()).unwrap_err();
        assert_eq!(error, "10001 addresses, the limit is 10000");
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let path = std::env::temp_dir().join(format!("proxy-{}-long.json", std::process::id()));
        let file = File::create(&path).unwrap();
        file.set_len(HOSTS_FILE_BYTES_MAX + 1).unwrap();
        let error = read(&path, &mut None).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(error.ends_with("the file has 8388609 bytes, the limit is 8388608"), "{error}");
    }
}
