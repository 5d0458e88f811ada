//! What errors say.

use std::error::Error;
use std::io;

use net::{OpError, TcpListener};
use reactor::time::now;

use crate::{pair, pair_on, run, v4, v6};

#[test]
fn a_failed_read_says_operation_network_and_addresses() {
    run(async {
        for addr in [v4(), v6()] {
            let (near, far) = pair_on(addr).await?;
            let names = format!("{}->{}", near.local_addr()?, near.peer_addr()?);
            far.reset()?;
            let err = near.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(err.to_string(), format!("read tcp {names}: connection reset by peer"));
            let err = near.write(b"x").await.unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(err.to_string(), format!("write tcp {names}: broken pipe"));
        }
        Ok(())
    });
}

#[test]
fn the_systems_number_stays_within_reach() {
    run(async {
        let (near, far) = pair().await?;
        far.reset()?;
        let err = near.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(OpError::of(&err).unwrap().raw_os_error(), Some(libc::ECONNRESET));
        let source = err.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.unwrap().raw_os_error(), Some(libc::ECONNRESET));
        Ok(())
    });
}

#[test]
fn a_deadline_says_which_connection_it_was() {
    run(async {
        let (near, _far) = pair().await?;
        near.set_deadline(Some(now()));
        let names = format!("tcp {}->{}: ", near.local_addr()?, near.peer_addr()?);
        let err = near.read(&mut [0; 8]).await.unwrap_err();
        assert!(err.to_string().starts_with(&format!("read {names}")), "{err}");
        let err = near.write(b"x").await.unwrap_err();
        assert!(err.to_string().starts_with(&format!("write {names}")), "{err}");
        assert!(!reactor::is_closed(&err));
        Ok(())
    });
}

#[test]
fn use_after_close_says_which_connection_it_was() {
    run(async {
        let (near, _far) = pair().await?;
        let names = format!("{}->{}", near.local_addr()?, near.peer_addr()?);
        near.close();
        let err = near.read(&mut [0; 8]).await.unwrap_err();
        assert!(reactor::is_closed(&err));
        assert!(err.to_string().starts_with(&format!("read tcp {names}: ")), "{err}");

        let listener = TcpListener::bind(v4())?;
        listener.close();
        let err = listener.accept().await.unwrap_err();
        let addr = listener.local_addr()?;
        assert!(err.to_string().starts_with(&format!("accept tcp {addr}: ")), "{err}");
        Ok(())
    });
}

#[test]
fn would_block_is_bare() {
    run(async {
        let (near, _far) = pair().await?;
        let err = near.try_read(&mut [0; 8]).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        assert!(OpError::of(&err).is_none(), "nothing was allocated for it");
        Ok(())
    });
}
