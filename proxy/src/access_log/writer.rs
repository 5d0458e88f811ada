//! The thread that writes one access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::BATCHES_MAX;
use crate::limits::LAST_LINES_TIME;

/// Lines to be written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) text: String,
    pub(super) lines: usize,
}

/// The way to the thread. Dropping it waits until everything handed over is written, but no longer than
/// [`LAST_LINES_TIME`]: a file may take for ever, if it is a pipe that nobody reads.
#[derive(Debug)]
pub(super) struct Writer {
    batches: Option<SyncSender<Batch>>,
    /// Nobody waits for the thread any more.
    is_given_up: bool,
    progress: Arc<Progress>,
}

/// What is known of the thread's work.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Lines that were handed over and are neither written nor dropped yet.
    waiting: AtomicUsize,
    /// Lines that could not be written.
    dropped: AtomicUsize,
    has_ended: Mutex<bool>,
    ended: Condvar,
}

impl Progress {
    /// Waits until the thread has ended: without a limit, so not on a loop.
    pub(super) fn wait(&self) {
        let has_ended = self.ended.wait_while(self.lock(), |has_ended| !*has_ended);
        drop(has_ended.unwrap_or_else(PoisonError::into_inner));
    }

    fn wait_a_little(&self) {
        let waited =
            self.ended.wait_timeout_while(self.lock(), LAST_LINES_TIME, |has_ended| !*has_ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.has_ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says when the thread has ended, however it did, and also when it was never started.
struct Ending(Arc<Progress>);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.lock() = true;
        self.0.ended.notify_all();
    }
}

impl Writer {
    pub(super) fn start(path: &Path) -> Writer {
        let (batches, received) = sync_channel(BATCHES_MAX);
        let progress = Arc::new(Progress::default());
        let log = LogFile::new(path, &progress);
        let thread = thread::Builder::new().name("access log".to_owned());
        let thread = thread.spawn(move || log.run(&received));
        if let Err(error) = &thread {
            log::error!("access log {}: no thread to write it: {error}", path.display());
        }
        Writer { batches: Some(batches), is_given_up: false, progress }
    }

    /// Hands lines over without waiting; the number of lines that were not taken otherwise.
    pub(super) fn hand_over(&self, batch: Batch) -> Result<(), usize> {
        let Some(batches) = &self.batches else { return Err(batch.lines) };
        let lines = batch.lines;
        self.progress.waiting.fetch_add(lines, Ordering::Relaxed);
        batches.try_send(batch).map_err(|error| match error {
            TrySendError::Full(batch) | TrySendError::Disconnected(batch) => {
                self.progress.waiting.fetch_sub(lines, Ordering::Relaxed);
                batch.lines
            }
        })
    }

    /// Takes no further lines: the thread ends when it has written what it has.
    pub(super) fn close(&mut self) -> Arc<Progress> {
        self.batches = None;
        Arc::clone(&self.progress)
    }

    /// The thread is waited for no longer; how many lines it has not written. None when it has ended.
    pub(super) fn give_up(&mut self) -> usize {
        self.is_given_up = true;
        if *self.progress.lock() { 0 } else { self.progress.waiting.load(Ordering::Relaxed) }
    }

    /// Lines that were handed over and could not be written, since the last call.
    pub(super) fn take_dropped(&self) -> usize {
        self.progress.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.batches = None;
        if !self.is_given_up {
            self.progress.wait_a_little();
        }
    }
}

struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// The log has said so, and does not say it again until it works.
    is_failing: bool,
    ending: Ending,
}

impl LogFile {
    fn new(path: &Path, progress: &Arc<Progress>) -> LogFile {
        let ending = Ending(Arc::clone(progress));
        LogFile { path: path.to_owned(), file: None, is_failing: false, ending }
    }

    fn run(mut self, received: &Receiver<Batch>) {
        for batch in received {
            match self.write(&batch) {
                Ok(()) => self.is_failing = false,
                Err(error) => {
                    self.file = None;
                    self.ending.0.dropped.fetch_add(batch.lines, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.is_failing, true) {
                        log::error!("access log {}: {error}", self.path.display());
                    }
                }
            }
            self.ending.0.waiting.fetch_sub(batch.lines, Ordering::Relaxed);
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
        let mut log = LogFile::new(&path, &Arc::default());
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
        let mut log = LogFile::new(&path, &Arc::default());
        log.write(&batch("a\n")).unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.write(&Batch::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "a\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_log_that_cannot_be_written_costs_its_lines_and_nothing_else() {
        let progress = Arc::default();
        let log = LogFile::new("/nowhere/at/all".as_ref(), &progress);
        let (batches, received) = sync_channel(4);
        for _ in 0..3 {
            batches.send(batch("x\n")).unwrap();
        }
        drop(batches);
        log.run(&received);
        assert_eq!(progress.dropped.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_thread_that_is_behind_takes_no_more_than_its_limit() {
        let (batches, received) = sync_channel(BATCHES_MAX);
        let progress = Arc::default();
        drop(Ending(Arc::clone(&progress)));
        let writer = Writer { batches: Some(batches), is_given_up: false, progress };
        for _ in 0..BATCHES_MAX {
            writer.hand_over(batch("x\n")).unwrap();
        }
        assert_eq!(writer.hand_over(batch("x\n")), Err(1));
        drop(received);
    }
}
