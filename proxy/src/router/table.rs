//! The routes of one virtual host, and which of them can be a request's.
//!
//! Most tables are a long list of services, each by its exact name. Asking one route after the other
//! would make the last service slower than the first. So the routes that want an exact value of one
//! header, the one that most of them name, are found by that value; all others are asked in turn.
//! The order of the configuration decides all the same.

use std::collections::HashMap;

use super::Route;
use crate::codec::{Codec, CodecError, Frame};

/// See the module's page.
#[derive(Default)]
pub(super) struct Table {
    routes: Vec<Route>,
    /// Name of the header that routes are found by; empty when there is no exact condition.
    key: Vec<u8>,
    /// The routes that want this value of it, in order.
    by_value: HashMap<Vec<u8>, Vec<usize>>,
    /// The routes that want no certain value of it, in order.
    others: Vec<usize>,
}

impl Table {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        let mut table = Table { key: commonest_exact_name(&routes), routes, ..Table::default() };
        for (number, route) in table.routes.iter().enumerate() {
            let mut exact = route.conditions.iter().filter(|c| c.name() == table.key);
            match exact.find_map(|condition| condition.exact()) {
                Some(value) => table.by_value.entry(value.to_vec()).or_default().push(number),
                None => table.others.push(number),
            }
        }
        table
    }

    /// The first route that matches.
    pub(super) fn find(
        &self,
        codec: &impl Codec,
        frame: &Frame,
        bytes: &[u8],
    ) -> Result<Option<&Route>, CodecError> {
        let value =
            if self.by_value.is_empty() { None } else { codec.header(frame, bytes, &self.key)? };
        let by_value = value.and_then(|value| self.by_value.get(value));
        let by_value = by_value.map_or(&[][..], Vec::as_slice);
        for number in in_order(by_value, &self.others) {
            let route = &self.routes[number];
            if route.matches(codec, frame, bytes)? {
                return Ok(Some(route));
            }
        }
        Ok(None)
    }
}

/// The header that most routes want an exact value of.
fn commonest_exact_name(routes: &[Route]) -> Vec<u8> {
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    let conditions = routes.iter().flat_map(|route| &route.conditions);
    for condition in conditions.filter(|condition| condition.exact().is_some()) {
        *counts.entry(condition.name()).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|&(name, count)| (count, name));
    most.map_or_else(Vec::new, |(name, _)| name.to_vec())
}

/// Two rising lists as one.
fn in_order<'a>(a: &'a [usize], b: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(x), Some(y)) if x > y => b.next(),
        (Some(_), _) => a.next(),
        _ => b.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn two_rising_lists_become_one() {
        let merged = |a: &[usize], b: &[usize]| in_order(a, b).collect::<Vec<_>>();
        assert_eq!(merged(&[1, 4], &[0, 2, 3, 9]), [0, 1, 2, 3, 4, 9]);
        assert_eq!(merged(&[], &[2]), [2]);
        assert_eq!(merged(&[2], &[]), [2]);
    }
}
