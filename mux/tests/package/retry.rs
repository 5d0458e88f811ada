//! What is tried again: only that of which nothing was delivered.

use std::future::pending;
use std::io::ErrorKind;

use mux::package::{CallConfig, Caller, Error, Stage};
use reactor::time;

use crate::link::Fate::{Breaks, Refused};
use crate::link::{Near, Service};
use crate::{SECOND, caller, caller_with, echo, run, whole};

#[test]
fn a_connection_that_cannot_be_made_is_tried_again_with_pauses() {
    run(async {
        let service = Service::new(100);
        let _worker = echo(&service);
        let (refused, absent) =
            (Refused(ErrorKind::ConnectionRefused), Refused(ErrorKind::NotFound));
        service.next_fates(&[refused, absent, refused]);
        let start = time::now();
        let reply = caller(&service).call("x").await.unwrap();
        assert_eq!(time::now() - start, CallConfig::default().retry_pause * (1 + 2 + 4));
        assert_eq!(whole(reply).await.unwrap(), ["x"]);
        assert_eq!(service.connects(), 4);
    });
}

#[test]
fn it_is_tried_so_often_and_then_the_last_cause_is_given() {
    run(async {
        let service = Service::new(100);
        service.next_fates(&[Refused(ErrorKind::ConnectionRefused); 9]);
        let err = caller(&service).call("x").await.unwrap_err();
        assert!(
            matches!(&err, Error::Connect { attempts: 4, cause } if cause.kind() == ErrorKind::ConnectionRefused),
            "{err}"
        );
        assert_eq!(service.connects(), 4);
        let never = CallConfig { retries_max: 0, ..CallConfig::default() };
        let err = caller_with(&service, never).call("x").await.unwrap_err();
        assert!(matches!(err, Error::Connect { attempts: 1, .. }), "{err}");
    });
}

#[test]
fn what_another_attempt_cannot_change_is_not_tried_again() {
    run(async {
        let service = Service::new(100);
        service.next_fates(&[Refused(ErrorKind::PermissionDenied)]);
        let err = caller(&service).call("x").await.unwrap_err();
        assert!(matches!(err, Error::Connect { attempts: 1, .. }), "{err}");
        assert_eq!(service.connects(), 1);
    });
}

#[test]
fn a_connection_that_took_nothing_is_replaced() {
    run(async {
        let service = Service::new(100);
        let _worker = echo(&service);
        service.next_fates(&[Breaks(0), Breaks(0)]);
        let reply = caller(&service).call("x").await.unwrap();
        assert_eq!(whole(reply).await.unwrap(), ["x"]);
        assert_eq!(service.connects(), 3);
    });
}

#[test]
fn a_connection_that_took_one_byte_is_not() {
    run(async {
        for taken in 1..6 {
            let service = Service::new(100);
            let _worker = echo(&service);
            service.next_fates(&[Breaks(taken)]);
            let err = caller(&service).call("x!").await.unwrap_err();
            assert!(
                matches!(&err, Error::WorkerGone { sent_bytes, packages: 0, .. } if *sent_bytes == taken as u64),
                "{err}"
            );
            assert_eq!(service.connects(), 1);
        }
    });
}

#[test]
fn a_request_that_was_sent_whole_is_not_tried_again() {
    run(async {
        let service = Service::new(100);
        let reply = caller(&service).call("x").await.unwrap();
        drop(service.accept().await.unwrap());
        let err = whole(reply).await.unwrap_err();
        assert!(
            matches!(err, Error::WorkerGone { sent_bytes: 5, packages: 0, cause: None }),
            "{err}"
        );
        assert_eq!(service.connects(), 1);
    });
}

#[test]
fn a_connection_that_is_not_made_in_time_ends_the_call() {
    run(async {
        let caller = Caller::new(pending::<std::io::Result<Near>>, CallConfig::default());
        let start = time::now();
        let err = caller.call("x").await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Connect }), "{err}");
        assert_eq!(time::now() - start, 30 * SECOND);
    });
}

#[test]
fn the_deadline_comes_before_another_attempt() {
    run(async {
        let service = Service::new(100);
        service.next_fates(&[Refused(ErrorKind::ConnectionRefused); 9]);
        let config = CallConfig {
            call_timeout: Some(SECOND),
            retry_pause: 2 * SECOND,
            ..CallConfig::default()
        };
        let start = time::now();
        let err = caller_with(&service, config).call("x").await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Connect }), "{err}");
        assert_eq!((time::now() - start, service.connects()), (SECOND, 1));
    });
}
