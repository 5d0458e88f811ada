//! The files and folders that a configuration names, looked at as they are now.
//!
//! They are no part of the configuration: they may come and go while it runs. So what is wrong with them
//! is worth a note and no error. What is to be written is asked for and not opened: to open a pipe may take
//! for ever.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

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
        return refusal(path, Access::WRITE_OK);
    }
    let folder = match path.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => refusal(folder, Access::WRITE_OK | Access::EXEC_OK)
            .map(|why| format!("its folder {}: {why}", folder.display())),
        Ok(_) => Some(format!("{} is no folder", folder.display())),
        Err(error) => Some(format!("its folder {}: {error}", folder.display())),
    }
}

/// Why the process may not do this with it, if it may not.
fn refusal(path: &Path, wanted: Access) -> Option<String> {
    access(path, wanted).err().map(|error| io::Error::from(error).to_string())
}
