//! What the signals of the system mean to a proxy that serves.
//!
//! | signal | effect |
//! |---|---|
//! | `SIGTERM`, `SIGINT` | stop, and let the requests in flight end; a second one: end at once |
//! | `SIGHUP` | open the access logs anew |
//! | `SIGUSR1` | log all counters |
//!
//! They are listened for on a thread of their own, so that no worker is special.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use proxy::Threads;
use reactor::{Signal, SignalKind, signal};

const KINDS: [SignalKind; 4] =
    [SignalKind::TERMINATE, SignalKind::INTERRUPT, SignalKind::HANGUP, SignalKind::USER1];

/// The signal that ended a proxy at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<AtomicU8>);

impl Ended {
    /// What a shell takes for the end by this signal; `None` when there was none.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        let number = self.0.load(Ordering::Relaxed);
        (number != 0).then(|| 128 + number)
    }
}

/// Has the signals do what they mean from here on, for the rest of the process's life.
pub(crate) fn obey(threads: &Arc<Threads>, grace: Duration) -> io::Result<Ended> {
    let ended = Ended::default();
    let ears = Ears { threads: Arc::clone(threads), grace, ended: ended.clone(), stops: false };
    let (send, ready) = mpsc::channel();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let heard = reactor::block_on(ears.run(&send)).and_then(|result| result);
        if let Err(error) = heard {
            // It has hung up when it has been told that all is well.
            let _ = send.send(Err(error));
        }
    })?;
    ready.recv().unwrap_or_else(|_| Err(io::Error::other("the thread for signals has ended")))?;
    Ok(ended)
}

struct Ears {
    threads: Arc<Threads>,
    grace: Duration,
    ended: Ended,
    /// Whether a signal to stop has come.
    stops: bool,
}

impl Ears {
    async fn run(mut self, ready: &mpsc::Sender<io::Result<()>>) -> io::Result<()> {
        let mut signals = Vec::new();
        for kind in KINDS {
            signals.push(signal(kind)?);
        }
        // The other side waits for this.
        let _ = ready.send(Ok(()));
        loop {
            let kind = next(&mut signals).await?;
            self.heard(kind);
        }
    }

    fn heard(&mut self, kind: SignalKind) {
        match kind {
            SignalKind::HANGUP => {
                log::info!("SIGHUP: the access logs are opened anew");
                self.threads.reopen_logs();
            }
            SignalKind::USER1 => {
                let (workers, stats) = (self.threads.workers(), self.threads.stats().to_string());
                log::info!("SIGUSR1: counters of {workers} thread(s):\n{}", stats.trim_end());
            }
            stop => self.stop(stop),
        }
    }

    fn stop(&mut self, kind: SignalKind) {
        let name = if kind == SignalKind::INTERRUPT { "SIGINT" } else { "SIGTERM" };
        if std::mem::replace(&mut self.stops, true) {
            log::warn!("{name}: ends at once");
            self.ended.0.store(kind.as_raw() as u8, Ordering::Relaxed);
            self.threads.end();
        } else {
            let grace = self.grace;
            log::info!(
                "{name}: stops; requests in flight have {grace:?}, another signal ends them"
            );
            self.threads.drain(grace);
        }
    }
}

/// The next of all of them.
async fn next(signals: &mut [Signal]) -> io::Result<SignalKind> {
    poll_fn(|cx| {
        for signal in &mut *signals {
            if let Poll::Ready(result) = signal.poll_recv(cx) {
                return Poll::Ready(result.map(|()| signal.kind()));
            }
        }
        Poll::Pending
    })
    .await
}
