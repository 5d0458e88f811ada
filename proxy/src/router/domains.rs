//! Which virtual host a domain belongs to.

use std::cmp::Ordering;

use crate::config::Domain;

/// Domains, each with the number of its virtual host.
///
/// The most precise one wins: the very name, then the longest `*` followed by what the name ends
/// with, then `*` alone. ASCII letters are compared without regard to case, as in DNS.
#[derive(Debug, Default)]
pub(super) struct Domains {
    /// In order, for a binary search.
    names: Vec<(Vec<u8>, usize)>,
    /// What comes behind the `*`; the longest first.
    suffixes: Vec<(Vec<u8>, usize)>,
    any: Option<usize>,
}

impl Domains {
    /// The domains of each virtual host, by its number. No domain comes twice.
    pub(super) fn new<'a>(hosts: impl Iterator<Item = &'a [Domain]>) -> Self {
        let mut domains = Domains::default();
        for (number, list) in hosts.enumerate() {
            for domain in list {
                match domain {
                    Domain::Any => domains.any = Some(number),
                    Domain::Suffix(end) => domains.suffixes.push((end.clone().into(), number)),
                    Domain::Name(name) => domains.names.push((name.clone().into(), number)),
                }
            }
        }
        domains.names.sort_by(|(a, _), (b, _)| compare(a, b));
        domains.suffixes.sort_by_key(|(end, _)| std::cmp::Reverse(end.len()));
        domains
    }

    /// Whether the answer depends on the domain at all.
    pub(super) fn ask(&self) -> bool {
        !self.names.is_empty() || !self.suffixes.is_empty()
    }

    /// The virtual host of a request with this domain, or with none.
    pub(super) fn find(&self, domain: Option<&[u8]>) -> Option<usize> {
        domain.and_then(|domain| self.named(domain)).or(self.any)
    }

    fn named(&self, domain: &[u8]) -> Option<usize> {
        if let Ok(place) = self.names.binary_search_by(|(name, _)| compare(name, domain)) {
            return Some(self.names[place].1);
        }
        let found = self.suffixes.iter().find(|(end, _)| ends_with(domain, end));
        found.map(|(_, number)| *number)
    }
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let lower = u8::to_ascii_lowercase;
    a.iter().map(lower).cmp(b.iter().map(lower))
}

/// Something stands for the `*`: `*.a.example` is not `.a.example`.
fn ends_with(domain: &[u8], end: &[u8]) -> bool {
    let Some(start) = domain.len().checked_sub(end.len()).filter(|&start| start > 0) else {
        return false;
    };
    domain[start..].eq_ignore_ascii_case(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(hosts: &[&[&str]]) -> Domains {
        let hosts: Vec<Vec<Domain>> = hosts
            .iter()
            .map(|list| list.iter().map(|text| Domain::parse(text).unwrap()).collect())
            .collect();
        Domains::new(hosts.iter().map(Vec::as_slice))
    }

    #[test]
    fn the_most_precise_domain_wins_in_whatever_order_they_stand() {
        let domains = domains(&[
            &["*"],
            &["*.example"],
            &["*-bar.foo.example", "www.foo.example"],
            &["*.foo.example"],
        ]);
        for (domain, host) in [
            ("www.foo.example", 2),
            ("WWW.Foo.EXAMPLE", 2),
            ("foo-bar.foo.example", 2),
            ("a.foo.example", 3),
            ("foo.example", 1),
            (".example", 0),
            ("example", 0),
            ("", 0),
        ] {
            assert_eq!(domains.find(Some(domain.as_bytes())), Some(host), "{domain}");
        }
        assert_eq!(domains.find(None), Some(0));
    }

    #[test]
    fn without_a_star_there_may_be_no_virtual_host() {
        let domains = domains(&[&["a.example"], &["b.example"]]);
        assert!(domains.ask());
        assert_eq!(domains.find(Some(b"b.example")), Some(1));
        assert_eq!(domains.find(Some(b"c.example")), None);
        assert_eq!(domains.find(None), None);
        assert!(!super::Domains::new([&[Domain::Any][..]].into_iter()).ask());
    }
}
