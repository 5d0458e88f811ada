//! Which cluster a request goes to.

use std::rc::Rc;
use std::time::Duration;

use crate::balance::Labels;
use crate::cluster::Cluster;
use crate::codec::{Codec, CodecError, Frame};
use crate::config;
use crate::limits::{REQUEST_TIMEOUT, TIMEOUT_MAX};
use crate::retry::Retry;

/// The routes of one listener, tried in order.
pub(crate) struct Router {
    routes: Vec<Route>,
}

pub(crate) struct Route {
    headers: Vec<config::HeaderMatch>,
    /// `None` when the configuration names a cluster that does not exist.
    pub(crate) cluster: Option<Rc<Cluster>>,
    /// For requests that name no time-out themselves.
    timeout: Duration,
    /// What the host must have.
    pub(crate) labels: Rc<Labels>,
    pub(crate) retry: Option<Rc<Retry>>,
}

impl Router {
    pub(crate) fn new(routes: &[config::Route], clusters: &[Rc<Cluster>]) -> Self {
        let routes = routes.iter().map(|route| Route {
            headers: route.headers.clone(),
            cluster: clusters.iter().find(|cluster| cluster.name() == route.cluster).cloned(),
            timeout: route.timeout.unwrap_or(REQUEST_TIMEOUT).min(TIMEOUT_MAX),
            labels: Rc::new(route.labels.clone()),
            retry: route.retry_policy.clone().map(|policy| Rc::new(Retry::new(policy))),
        });
        Router { routes: routes.collect() }
    }

    /// The first route that matches. Headers are looked at only when a route asks for one.
    pub(crate) fn find(
        &self,
        codec: &impl Codec,
        frame: &Frame,
        bytes: &[u8],
    ) -> Result<Option<&Route>, CodecError> {
        for route in &self.routes {
            if route.matches(codec, frame, bytes)? {
                return Ok(Some(route));
            }
        }
        Ok(None)
    }
}

impl Route {
    /// The time-out of a request that carries `frame_ms`. A request without one, or with one that
    /// is no time, still gets one: nothing waits for ever.
    pub(crate) fn timeout(&self, frame_ms: i32) -> Duration {
        match u64::try_from(frame_ms) {
            Ok(ms) if ms > 0 => Duration::from_millis(ms),
            _ => self.timeout,
        }
    }

    fn matches(&self, codec: &impl Codec, frame: &Frame, bytes: &[u8]) -> Result<bool, CodecError> {
        for wanted in &self.headers {
            let Some(found) = codec.header(frame, bytes, wanted.name.as_bytes())? else {
                return Ok(false);
            };
            if wanted.value.as_ref().is_some_and(|value| value.as_bytes() != found) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bolt::{self, Bolt};
    use crate::codec::{Decoded, FrameLimits};

    /// Header name and value, if any value.
    type Condition<'a> = (&'a str, Option<&'a str>);

    fn router(routes: &[(&[Condition<'_>], u64)]) -> Router {
        let routes = routes.iter().map(|(headers, timeout_s)| Route {
            headers: headers
                .iter()
                .map(|(name, value)| config::HeaderMatch {
                    name: (*name).to_owned(),
                    value: value.map(str::to_owned),
                })
                .collect(),
            cluster: None,
            timeout: Duration::from_secs(*timeout_s),
            labels: Rc::default(),
            retry: None,
        });
        Router { routes: routes.collect() }
    }

    /// The time-out, in seconds, of the route that a request with this header map takes.
    fn route_of(router: &Router, header: &[u8]) -> Result<Option<u64>, CodecError> {
        let request = bolt::Request {
            id: 1,
            oneway: false,
            timeout_ms: 0,
            class: b"c",
            header,
            content: b"x",
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes).unwrap();
        let limits = FrameLimits { frame_bytes_max: 1 << 20, header_bytes_max: 32767 };
        let Decoded::Frame(frame) = Bolt.decode(&bytes, &limits).unwrap() else { panic!() };
        Ok(router.find(&Bolt, &frame, &bytes)?.map(|route| route.timeout.as_secs()))
    }

    fn map(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, value) in entries {
            bolt::push_header(key.as_bytes(), value.as_bytes(), &mut out);
        }
        out
    }

    #[test]
    fn the_first_route_whose_conditions_all_hold_is_taken() {
        let router = router(&[
            (&[("service", Some("a")), ("zone", None)], 1),
            (&[("service", Some("a"))], 2),
            (&[("service", None)], 3),
        ]);
        assert_eq!(route_of(&router, &map(&[("service", "a"), ("zone", "z")])), Ok(Some(1)));
        assert_eq!(route_of(&router, &map(&[("service", "a")])), Ok(Some(2)));
        assert_eq!(route_of(&router, &map(&[("zone", "z"), ("service", "b")])), Ok(Some(3)));
        assert_eq!(route_of(&router, &map(&[("zone", "z")])), Ok(None));
    }

    #[test]
    fn a_route_without_conditions_does_not_look_at_the_header_map() {
        let malformed = [0, 0, 0, 9, b'x'];
        assert_eq!(route_of(&router(&[(&[], 1)]), &malformed), Ok(Some(1)));
        assert!(route_of(&router(&[(&[("service", None)], 1)]), &malformed).is_err());
    }

    #[test]
    fn a_request_always_has_a_time_out() {
        let router = router(&[(&[], 9)]);
        let route = &router.routes[0];
        assert_eq!(route.timeout(1500), Duration::from_millis(1500));
        for none in [0, -1, i32::MIN] {
            assert_eq!(route.timeout(none), Duration::from_secs(9));
        }
    }
}
