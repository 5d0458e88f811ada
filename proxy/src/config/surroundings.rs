//! The files and folders that a configuration names, looked at as they are now.
//!
//! They are no part of the configuration: they may come and go while it runs. So what is wrong with them
//! is worth a note and no error.

use std::fs::{self, OpenOptions};
use std::path::Path;

use super::{Config, Membership};
use crate::cluster;

impl Config {
    /// What keeps access logs from being written now: one line each.
    pub fn notes_on_logs(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for listener in &self.listeners {
            let place = listener.address_path.strip_suffix("address").unwrap_or_default();
            for (number, log) in listener.access_logs.iter().enumerate() {
                if let Some(why) = hindrance(&log.path) {
                    notes.push(format!(
                        "{place}access_logs[{number}].log_path: {} cannot be written: {why}",
                        log.path.display()
                    ));
                }
            }
        }
        notes
    }

    /// What keeps files from giving hosts now: one line each.
    pub fn notes_on_hosts(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (number, cluster) in self.clusters.iter().enumerate() {
            let Membership::File { path, .. } = &cluster.membership else { continue };
            let why = match cluster::hosts_in(path) {
                Ok(hosts) if hosts.is_empty() => format!("{}: 0 hosts", path.display()),
                Ok(_) => continue,
                Err(why) => why,
            };
            notes.push(format!(
                "cluster_manager.clusters[{number}].hosts_file: {why}; the requests of cluster `{}` are \
                 answered with \"no upstream\"",
                cluster.name
            ));
        }
        notes
    }
}

fn hindrance(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some("it is a folder".to_owned());
    }
    if path.exists() {
        return OpenOptions::new().append(true).open(path).err().map(|error| error.to_string());
    }
    let folder = match path.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(format!("{} is no folder", folder.display())),
        Err(error) => Some(format!("its folder {}: {error}", folder.display())),
    }
}
