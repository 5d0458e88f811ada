//! Options of a stream.

use std::io;
use std::time::Duration;

use net::{Keepalive, TcpListener, TcpStream};

use crate::{fill, pair, pair_on, run, settle, v4, v6};

#[test]
fn options_are_read_back_as_they_were_set() {
    run(async {
        let (near, _far) = pair().await?;
        near.set_nodelay(false)?;
        assert!(!near.nodelay()?);
        near.set_nodelay(true)?;
        assert!(near.nodelay()?);

        assert_eq!(near.linger()?, None);
        near.set_linger(Some(Duration::from_millis(1500)))?;
        assert_eq!(near.linger()?, Some(Duration::from_secs(2)), "rounded up");
        near.set_linger(None)?;
        assert_eq!(near.linger()?, None);

        near.set_keepalive(None)?;
        assert_eq!(near.keepalive()?, None);
        let odd =
            Keepalive { idle: Duration::from_secs(40), interval: Duration::from_secs(5), count: 2 };
        near.set_keepalive(Some(odd))?;
        assert_eq!(near.keepalive()?, Some(odd));

        near.set_recv_buffer_bytes(50_000)?;
        near.set_send_buffer_bytes(60_000)?;
        let doubled = (near.recv_buffer_bytes()?, near.send_buffer_bytes()?);
        assert_eq!(doubled, (100_000, 120_000));
        Ok(())
    });
}

#[test]
fn the_finer_options_are_read_back_as_they_were_set() {
    run(async {
        for on in [v4(), v6()] {
            let (near, _far) = pair_on(on).await?;
            assert_eq!(near.user_timeout()?, None);
            near.set_user_timeout(Some(Duration::from_micros(1500)))?;
            assert_eq!(near.user_timeout()?, Some(Duration::from_millis(2)), "rounded up");
            near.set_user_timeout(None)?;
            assert_eq!(near.user_timeout()?, None);

            for bytes in [16 << 10, u32::MAX] {
                near.set_notsent_lowat_bytes(bytes)?;
                assert_eq!(near.notsent_lowat_bytes()?, bytes);
            }
            near.set_quickack(false)?;
            assert!(!near.quickack()?);
            near.set_quickack(true)?;
            assert!(near.quickack()?);

            near.set_ttl(7)?;
            assert_eq!(near.ttl()?, 7);
            assert_eq!(near.set_ttl(256).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            near.set_tos(0xb8)?;
            assert_eq!(near.tos()?, 0xb8, "expedited forwarding");

            near.set_congestion("reno")?;
            assert_eq!(near.congestion()?, "reno");
            for odd in ["no-such-algorithm", "sixteen-letters!", ""] {
                assert!(near.set_congestion(odd).is_err(), "{odd:?}");
            }
            assert_eq!(near.congestion()?, "reno");
        }
        Ok(())
    });
}

#[test]
fn a_v4_connection_on_a_v6_socket_has_the_options_of_v4() {
    run(async {
        let listener = TcpListener::bind("[::]:0".parse().unwrap())?;
        let port = listener.local_addr()?.port();
        let _near = TcpStream::connect(([127, 0, 0, 1], port).into()).await?;
        let (far, peer) = listener.accept().await?;
        assert!(peer.is_ipv6());
        far.set_ttl(7)?;
        far.set_tos(0x10)?;
        assert_eq!((far.ttl()?, far.tos()?), (7, 0x10));
        let seen = rustix::net::sockopt::ip_ttl(&far)?;
        assert_eq!(seen, 7, "what IPv4's segments carry");
        Ok(())
    });
}

#[test]
fn the_low_water_mark_of_unsent_data_holds_writes_back() {
    run(async {
        let (free, _far) = pair().await?;
        let (held, _far_too) = pair().await?;
        held.set_notsent_lowat_bytes(1)?;
        let (free, held) = (fill(&free)?, fill(&held)?);
        assert!(held < free, "{held} of {free} bytes");
        Ok(())
    });
}

#[test]
fn the_kernel_says_what_it_knows_of_a_connection() {
    run(async {
        let (near, far) = pair().await?;
        near.write_all(b"ping").await?;
        far.read(&mut [0; 8]).await?;
        settle().await;
        let info = near.info()?;
        assert!(info.rtt > Duration::ZERO && info.rtt < Duration::from_secs(60), "{info:?}");
        assert!(info.rtt_variance > Duration::ZERO && info.retransmit_timeout > info.rtt);
        assert!(info.min_rtt <= info.rtt, "{info:?}");
        assert!(info.congestion_window_segments >= 2 && info.send_segment_bytes >= 536);
        assert_eq!((info.lost_segments, info.retransmit_timeouts, info.notsent_bytes), (0, 0, 0));
        assert_eq!(info.path_mtu_bytes, 65536 - 1, "the loopback's, as far as TCP can use it");
        near.close();
        assert!(reactor::is_closed(&near.info().unwrap_err()));
        Ok(())
    });
}

#[test]
fn keepalive_out_of_range_is_refused_and_changes_nothing_that_counts() {
    run(async {
        let (near, _far) = pair().await?;
        near.set_keepalive(None)?;
        for odd in [
            Keepalive { idle: Duration::ZERO, ..Keepalive::default() },
            Keepalive { idle: Duration::MAX, ..Keepalive::default() },
            Keepalive { interval: Duration::from_secs(32_768), ..Keepalive::default() },
            Keepalive { count: 0, ..Keepalive::default() },
            Keepalive { count: u32::MAX, ..Keepalive::default() },
        ] {
            let err = near.set_keepalive(Some(odd)).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput, "{odd:?}");
            assert_eq!(near.keepalive()?, None, "{odd:?}");
        }
        Ok(())
    });
}

#[test]
fn a_pending_error_is_taken_once() {
    run(async {
        let listener = std::net::TcpListener::bind(v4())?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        assert!(near.take_error()?.is_none());
        let (far, _) = listener.accept()?;
        near.write_all(b"never read").await?;
        drop(far);
        let err = near.take_error()?.expect("reset");
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
        assert!(near.take_error()?.is_none());
        Ok(())
    });
}
