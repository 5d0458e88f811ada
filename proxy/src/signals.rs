//! What the signals of the system mean to a proxy that serves.
//!
//! | signal | effect |
//! |---|---|
//! | `SIGTERM`, `SIGINT` | stop, and let the requests in flight end; a second one: end at once |
//! | `SIGHUP` | open the access logs anew |
//! | `SIGUSR1` | write all counters to standard error |
//!
//! They are listened for on a thread of their own, so that no worker is special, and so that a second
//! signal to stop ends the process also when a worker is stuck.

use std::future::poll_fn;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use proxy::Threads;
use reactor::{Signal, SignalKind, signal, time};

/// Time that the workers have to end after a second signal to stop. Then the process exits without them.
const END_TIME: Duration = Duration::from_secs(1);

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
                // Who asks is answered, whatever the log's level.
                let _ = writeln!(
                    io::stderr(),
                    "SIGUSR1: counters of {workers} thread(s):\n{}",
                    stats.trim_end()
                );
            }
            stop => self.stop(stop),
        }
    }

    fn stop(&mut self, kind: SignalKind) {
        let name = if kind == SignalKind::INTERRUPT { "SIGINT" } else { "SIGTERM" };
        if std::mem::replace(&mut self.stops, true) {
            let number = kind.as_raw() as u8;
            self.ended.0.store(number, Ordering::Relaxed);
            self.threads.end();
            reactor::spawn(exit_after(END_TIME, 128 + number)).detach();
            log::warn!("{name}: ends at once");
        } else {
            let grace = self.grace;
            log::info!(
                "{name}: stops; requests in flight have {grace:?}, another signal ends them"
            );
            self.threads.drain(grace);
        }
    }
}

/// For workers that do not end: a process that ends has exited by then.
async fn exit_after(time: Duration, code: u8) {
    time::sleep(time).await;
    log::error!("a thread is stuck: the process exits without it");
    std::process::exit(code.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{SocketAddr, TcpStream};
    use std::process::Command;
    use std::sync::atomic::AtomicBool;

    use proxy::filter::{NetworkFilter, NetworkFlow};
    use proxy::{Config, DEMO_CONFIG, Filters};
    use rustix::process::{Signal as Number, getpid, kill_process};

    static IS_STUCK: AtomicBool = AtomicBool::new(false);

    /// Never gives the worker back.
    struct Stuck;

    impl NetworkFilter for Stuck {
        fn on_new_connection(&mut self, _: SocketAddr) -> NetworkFlow {
            IS_STUCK.store(true, Ordering::Relaxed);
            loop {
                thread::park();
            }
        }
    }

    fn filters() -> Filters {
        let mut filters = Filters::new();
        filters.add_network("stuck", |_| Ok(|| Box::new(Stuck) as Box<dyn NetworkFilter>));
        filters
    }

    /// Ends the process.
    fn get_stuck() {
        let listener = r#""name": "demo", "network_filters": [{"type": "stuck"}],"#;
        let text = DEMO_CONFIG.replacen(r#""name": "demo","#, listener, 1);
        let config = Config::parse_with("demo.json".as_ref(), &text, &filters()).unwrap();
        let threads = Arc::new(Threads::new(config, 1).unwrap().filters(filters));
        obey(&threads, Duration::from_secs(1000)).unwrap();
        let address = threads.addresses()[0];
        thread::spawn(move || {
            let mut clients = Vec::new();
            while !IS_STUCK.load(Ordering::Relaxed) {
                clients.extend(TcpStream::connect(address));
                thread::yield_now();
            }
            kill_process(getpid(), Number::TERM).unwrap();
            kill_process(getpid(), Number::INT).unwrap();
        });
        threads.run().unwrap();
    }

    #[test]
    fn a_second_signal_ends_the_process_also_when_a_worker_is_stuck() {
        const IN_A_PROCESS_OF_ITS_OWN: &str = "PROXY_TEST_GETS_STUCK";
        if std::env::var_os(IN_A_PROCESS_OF_ITS_OWN).is_some() {
            return get_stuck();
        }
        let name = "signals::tests::a_second_signal_ends_the_process_also_when_a_worker_is_stuck";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name]).env(IN_A_PROCESS_OF_ITS_OWN, "1").output();
        let output = output.unwrap();
        // Either may be heard first.
        assert!(matches!(output.status.code(), Some(130 | 143)), "{output:?}");
    }
}
