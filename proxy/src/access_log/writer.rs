//! The thread that writes one access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use super::BATCHES_MAX;

/// Lines to be written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) text: String,
    pub(super) lines: usize,
}

/// The way to the thread. Dropping it waits until everything handed over is written.
#[derive(Debug)]
pub(super) struct Writer {
    batches: Option<SyncSender<Batch>>,
    dropped: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(path: &Path) -> Writer {
        let (batches, received) = sync_channel(BATCHES_MAX);
        let dropped = Arc::new(AtomicUsize::new(0));
        let log = LogFile {
            path: path.to_owned(),
            file: None,
            is_failing: false,
            dropped: Arc::clone(&dropped),
        };
        let thread = thread::Builder::new().name("access log".to_owned());
        let thread = thread.spawn(move || log.run(&received));
        if let Err(error) = &thread {
            log::error!("access log {}: no thread to write it: {error}", path.display());
        }
        Writer { batches: Some(batches), dropped, thread: thread.ok() }
    }

    /// Hands lines over without waiting; the number of lines that were not taken otherwise.
    pub(super) fn hand_over(&self, batch: Batch) -> Result<(), usize> {
        let Some(batches) = &self.batches else { return Err(batch.lines) };
        batches.try_send(batch).map_err(|error| match error {
            TrySendError::Full(batch) | TrySendError::Disconnected(batch) => batch.lines,
        })
    }

    /// Lines that were handed over and could not be written, since the last call.
    pub(super) fn take_dropped(&self) -> usize {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // It panics at nothing; and if it did, there would be nobody left to tell.
            let _ = thread.join();
        }
    }
}

struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// The log has said so, and does not say it again until it works.
    is_failing: bool,
    dropped: Arc<AtomicUsize>,
}

impl LogFile {
    fn run(mut self, received: &Receiver<Batch>) {
        for batch in received {
            match self.write(&batch) {
                Ok(()) => self.is_failing = false,
                Err(error) => {
                    self.file = None;
                    self.dropped.fetch_add(batch.lines, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.is_failing, true) {
                        log::error!("access log {}: {error}", self.path.display());
                    }
                }
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|file| self.was_renamed(file)) {
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().create(true).append(true).open(&self.path)?),
        };
        file.write_all(batch.text.as_bytes())
    }

    /// Whether the log's name does not lead to the file that is open any more.
    fn was_renamed(&self, file: &File) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let named = std::fs::metadata(&self.path).map(identity);
        named.ok() != file.metadata().map(identity).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: &str) -> Batch {
        Batch { text: text.to_owned(), lines: 1 }
    }

    /// A folder of its own, removed when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("access-log-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_handed_over_is_written_when_the_log_is_dropped() {
        let folder = Folder::new("drop");
        let path = folder.0.join("log");
        for text in ["a\n", "b\n"] {
            let writer = Writer::start(&path);
            writer.hand_over(batch(text)).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
    }

    #[test]
    fn a_renamed_log_is_begun_anew_under_its_name() {
        let folder = Folder::new("rename");
        let (path, old) = (folder.0.join("log"), folder.0.join("log.1"));
        let mut log =
            LogFile { path: path.clone(), file: None, is_failing: false, dropped: Arc::default() };
        log.write(&batch("a\n")).unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.write(&batch("b\n")).unwrap();
        log.write(&batch("c\n")).unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "a\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b\nc\n");
    }

    #[test]
    fn a_buffer_without_lines_opens_a_renamed_log_anew() {
        let folder = Folder::new("reopen");
        let (path, old) = (folder.0.join("log"), folder.0.join("log.1"));
        let mut log =
            LogFile { path: path.clone(), file: None, is_failing: false, dropped: Arc::default() };
        log.write(&batch("a\n")).unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.write(&Batch::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "a\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_log_that_cannot_be_written_costs_its_lines_and_nothing_else() {
        let dropped = Arc::default();
        let log = LogFile {
            path: "/nowhere/at/all".into(),
            file: None,
            is_failing: false,
            dropped: Arc::clone(&dropped),
        };
        let (batches, received) = sync_channel(4);
        for _ in 0..3 {
            batches.send(batch("x\n")).unwrap();
        }
        drop(batches);
        log.run(&received);
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_thread_that_is_behind_takes_no_more_than_its_limit() {
        let (batches, received) = sync_channel(BATCHES_MAX);
        let writer = Writer { batches: Some(batches), dropped: Arc::default(), thread: None };
        for _ in 0..BATCHES_MAX {
            writer.hand_over(batch("x\n")).unwrap();
        }
        assert_eq!(writer.hand_over(batch("x\n")), Err(1));
        drop(received);
    }
}
