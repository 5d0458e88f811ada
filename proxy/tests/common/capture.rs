//! What the proxy under test says.

use std::cell::RefCell;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps warnings per thread; a test and its runtime are one thread.
struct Capture;

impl log::Log for Capture {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = record.args().to_string();
            // The thread may be on its way out.
            let _ = LINES.try_with(|lines| lines.borrow_mut().push(line));
        }
    }

    fn flush(&self) {}
}

pub fn capture_log() {
    // Another test of the binary may have been first.
    let _ = log::set_logger(&Capture);
    log::set_max_level(log::LevelFilter::Warn);
}

/// The warnings since the last call.
pub fn warnings() -> Vec<String> {
    LINES.with(|lines| lines.take())
}
