//! The task that checks one host.

use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use net::TcpStream;
use reactor::time;

use super::Host;
use crate::balance::Rng;
use crate::codec::{Codec, Decoded, FrameLimits, Kind, Protocol};
use crate::descriptors::is_exhausted;
use crate::health::{Check, CheckRules, Probe};

/// Most bytes that are read while waiting for the acknowledgement of a heartbeat.
const ACK_BYTES_MAX: usize = 4096;

/// Checks the host until it is gone.
pub(super) async fn run(host: Weak<Host>, rules: CheckRules) {
    let Some(address) = host.upgrade().map(|host| host.address) else { return };
    let mut check = Check::new(&rules, time::now());
    let mut rng = Rng::new(crate::balance::hash(address.to_string().as_bytes()));
    loop {
        time::sleep_until(check.next_at()).await;
        let result = time::timeout(rules.timeout, probe(address, rules.probe)).await;
        let result = result.map_err(io::Error::from).flatten();
        let Some(host) = host.upgrade() else { return };
        if result.as_ref().is_err_and(is_exhausted) {
            // It says nothing about the host.
            check.put_off(&rules, time::now(), rng.number());
            continue;
        }
        let changed = check.ended(result.is_ok(), &rules, time::now(), rng.number());
        if changed {
            tell(&host, &result);
            host.set_healthy(check.is_healthy());
        }
    }
}

fn tell(host: &Rc<Host>, result: &io::Result<()>) {
    let (cluster, address) = (&host.shared.config.name, host.address);
    match result {
        Ok(()) => log::info!("cluster `{cluster}`: host {address} is healthy again"),
        Err(error) => log::warn!("cluster `{cluster}`: host {address} is not healthy: {error}"),
    }
}

async fn probe(address: SocketAddr, probe: Probe) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    match probe {
        Probe::Connect => Ok(()),
        Probe::Heartbeat(protocol) => heartbeat(&stream, protocol).await,
    }
}

async fn heartbeat(stream: &TcpStream, protocol: Protocol) -> io::Result<()> {
    let mut bytes = Vec::new();
    protocol.heartbeat(1, &mut bytes);
    stream.write_all(&bytes).await?;
    let limits = FrameLimits { frame_bytes_max: ACK_BYTES_MAX, header_bytes_max: ACK_BYTES_MAX };
    let mut held = Vec::new();
    loop {
        match protocol.decode(&held, &limits).map_err(io::Error::other)? {
            Decoded::Frame(frame) if frame.kind == Kind::HeartbeatAck => return Ok(()),
            Decoded::Frame(frame) => drop(held.drain(..frame.total_bytes)),
            Decoded::Incomplete { .. } => {
                let mut buffer = [0; 512];
                let n = stream.read(&mut buffer).await?;
                if n == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                held.extend_from_slice(&buffer[..n]);
            }
        }
    }
}
