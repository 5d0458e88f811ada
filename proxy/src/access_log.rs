//! Access logs: a line for every request that has ended.
//!
//! The loop never waits for a disk. A line goes into a buffer of the worker; the buffer goes to a
//! thread that writes it, after [`FLUSH_AFTER`] or when it has [`BATCH_BYTES`]. The thread is given
//! at most [`BATCHES_MAX`] buffers at a time; when it is that far behind, the next ones are dropped
//! and their lines counted.
//!
//! The file is opened by that thread, to append; a log that cannot be opened or written costs its
//! lines and nothing else, and is tried again with the next buffer. A file that was renamed is left
//! and its name opened anew with the next line, so that rotating it needs no signal; who wants it at
//! once [asks for it](crate::Server::reopen_logs).
//!
//! A worker keeps its logs until it ends. One that stops [closes](close_all) them when nothing is left to
//! be noted, and waits for their threads, not on its loop and not for ever.

mod format;
mod writer;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reactor::{spawn_blocking, time};

use crate::filter::Record;
use crate::stats::Stats;
use crate::worker::Worker;

pub(crate) use format::Format;
use writer::{Batch, Writer};

/// Longest time that a line stays in the worker's buffer.
pub(crate) const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// Bytes in the worker's buffer that are not kept for longer.
pub(crate) const BATCH_BYTES: usize = 32 << 10;
/// Buffers that may wait for the thread.
pub(crate) const BATCHES_MAX: usize = 64;

/// One access log of one listener on one worker.
pub(crate) struct AccessLog {
    format: Format,
    writer: RefCell<Writer>,
    path: PathBuf,
    stats: Arc<Stats>,
    batch: RefCell<Batch>,
    is_flush_due: Cell<bool>,
    this: Weak<AccessLog>,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

impl AccessLog {
    pub(crate) fn new(path: &Path, format: Format, worker: &Rc<Worker>) -> Rc<Self> {
        let log = Rc::new_cyclic(|this| AccessLog {
            format,
            writer: RefCell::new(Writer::start(path)),
            path: path.to_owned(),
            stats: Arc::clone(&worker.stats),
            batch: RefCell::default(),
            is_flush_due: Cell::new(false),
            this: Weak::clone(this),
        });
        worker.logs.borrow_mut().push(Rc::clone(&log));
        log
    }

    /// Writes what waits where it was going to, and has the file opened anew.
    pub(crate) fn reopen(&self) {
        self.flush();
        // Whatever is written, a file that was renamed is left. One that cannot be told has much to write,
        // and will see it then.
        let _ = self.writer.borrow().hand_over(Batch::default());
    }

    /// Whether the record's service is going to be written.
    pub(crate) fn wants_service(&self) -> bool {
        self.format.wants_service()
    }

    pub(crate) fn write(&self, record: &Record) {
        let mut batch = self.batch.borrow_mut();
        self.format.write(record, &mut batch.text);
        batch.lines += 1;
        if batch.text.len() >= BATCH_BYTES {
            drop(batch);
            self.flush();
        } else if !self.is_flush_due.replace(true) {
            let this = Weak::clone(&self.this);
            let flush = async move {
                time::sleep(FLUSH_AFTER).await;
                if let Some(log) = this.upgrade() {
                    log.is_flush_due.set(false);
                    log.flush();
                }
            };
            reactor::spawn(flush).detach();
        }
    }

    fn flush(&self) {
        let batch = self.batch.take();
        let (writer, dropped) = (self.writer.borrow(), &self.stats.log_lines_dropped);
        dropped.add(writer.take_dropped());
        if batch.lines > 0
            && let Err(lines) = writer.hand_over(batch)
        {
            dropped.add(lines);
        }
    }

    /// Its thread has had its time: what it has not written is counted and named.
    fn give_up(&self) {
        let lines = self.writer.borrow_mut().give_up();
        let dropped = &self.stats.log_lines_dropped;
        dropped.add(self.writer.borrow().take_dropped());
        dropped.add(lines);
        if lines > 0 {
            let path = self.path.display();
            log::warn!("access log {path}: {lines} lines could not be written in time");
        }
    }
}

/// Writes the logs to their ends, until then at the latest. No line may come any more.
pub(crate) async fn close_all(logs: &[Rc<AccessLog>], end: Instant) {
    let close = |log: &Rc<AccessLog>| {
        log.flush();
        log.writer.borrow_mut().close()
    };
    let writers: Vec<_> = logs.iter().map(close).collect();
    if !writers.is_empty() {
        let left = end.saturating_duration_since(time::now());
        let all = spawn_blocking(move || writers.iter().for_each(|writer| writer.wait()));
        // Whether they have ended is asked below.
        let _ = time::timeout(left, all).await;
    }
    logs.iter().for_each(|log| log.give_up());
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}
