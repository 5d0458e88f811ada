//! A pipe with a name, which nobody reads.

use std::path::PathBuf;
use std::process::Command;

use super::process::file;

/// Who opens it to write waits for ever. Removed at the end.
pub struct Pipe(pub PathBuf);

impl Pipe {
    pub fn new(name: &str) -> Pipe {
        let path = file(name);
        let _ = std::fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        Pipe(path)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
