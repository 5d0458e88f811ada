//! TLS over the traits of futures-io: rustls, with a certificate made for the test.

#[path = "support/leaks.rs"]
mod leaks;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use leaks::leaving_nothing_open;
use net::{TcpListener, TcpStream};
use reactor::spawn;
use reactor::time::timeout;

const HUNG_AFTER: Duration = Duration::from_secs(60);
const HOST: &str = "localhost";
const SENT_BYTES: usize = 2 << 20;

fn run(test: impl Future<Output = io::Result<()>>) {
    leaving_nothing_open(|| {
        let outcome = reactor::block_on(timeout(HUNG_AFTER, test)).unwrap();
        outcome.expect("the test hangs").unwrap();
    });
}

/// A server that has a certificate, and a client that trusts it.
fn sides() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

async fn echo(acceptor: TlsAcceptor, listener: TcpListener) -> io::Result<()> {
    let (stream, _) = listener.accept().await?;
    let (mut read, mut write) = acceptor.accept(stream).await?.split();
    futures_util::io::copy(&mut read, &mut write).await?;
    write.close().await
}

#[test]
fn rustls_carries_megabytes_there_and_back_and_ends_in_due_form() {
    run(async {
        let (acceptor, connector) = sides();
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let server = spawn(echo(acceptor, listener));

        let name = ServerName::try_from(HOST).unwrap();
        let (mut read, mut write) = connector.connect(name, stream).await?.split();
        let sent: Vec<u8> = (0..SENT_BYTES).map(|i| ((i * 31) >> 3) as u8).collect();
        let expected = sent.clone();
        let writing = spawn(async move {
            write.write_all(&sent).await?;
            write.close().await
        });
        let mut received = Vec::new();
        // A stream that is cut off instead of closed would be an error of rustls.
        read.read_to_end(&mut received).await?;
        assert!(received == expected);
        writing.await.unwrap()?;
        server.await.unwrap()
    });
}

#[test]
fn a_client_that_does_not_trust_the_certificate_says_so_to_both_sides() {
    run(async {
        let ((acceptor, _), (_, connector_of_another)) = (sides(), sides());
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let server = spawn(echo(acceptor, listener));
        let name = ServerName::try_from(HOST).unwrap();
        let refused = connector_of_another.connect(name, stream).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(server.await.unwrap().is_err());
        Ok(())
    });
}
