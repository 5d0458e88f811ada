//! Parts of a cluster by the labels of its hosts.
//!
//! [`Rules`] name the sets of label keys by which a route may ask (MOSN's `subset_selectors`). For each
//! of them the hosts fall into groups of equal values. A request that asks for labels finds its group
//! by one look into a hash table, under a hash that is computed once and not for every request; one that asks for none, for keys that no selector has, or for values
//! that no host has, goes where [`Fallback`] says.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use super::{hash, rng};

/// Labels, sorted by key, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Of what follows; 0 when there are none.
    hash: u64,
    pairs: Vec<(String, String)>,
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl Labels {
    /// These labels; of two values of one key the later counts.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let sorted: std::collections::BTreeMap<String, String> = pairs.into_iter().collect();
        let pairs: Vec<(String, String)> = sorted.into_iter().collect();
        let words = pairs.iter().flat_map(|(key, value)| [key, value]);
        let hash = words.fold(0, |sum, word| rng::mix(sum ^ hash(word.as_bytes())));
        Labels { hash, pairs }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Key and value of each, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn value(&self, key: &str) -> Option<&str> {
        let at = self.pairs.binary_search_by(|(other, _)| other.as_str().cmp(key)).ok()?;
        Some(&self.pairs[at].1)
    }

    /// Those of these keys; `None` when one is missing.
    fn of_keys(&self, keys: &BTreeSet<&String>) -> Option<Labels> {
        let pair = |key: &&String| Some(((*key).clone(), self.value(key)?.to_owned()));
        let pairs = keys.iter().map(pair);
        pairs.collect::<Option<Vec<_>>>().map(Labels::new)
    }

    fn has_all_of(&self, others: &Labels) -> bool {
        others.iter().all(|(key, value)| self.value(key) == Some(value))
    }
}

/// Where a request goes whose labels lead to no group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Nowhere.
    #[default]
    None,
    /// To any host.
    Any,
    /// To the hosts that have these labels.
    Default(Labels),
}

/// How a cluster is divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Sets of keys by which a request may ask.
    pub selectors: Vec<Vec<String>>,
    /// Where the others go.
    pub fallback: Fallback,
}

/// Which of the groups that [`Subsets::new`] gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(pub usize);

/// The groups of one set of hosts.
#[derive(Clone, Debug, Default)]
pub struct Subsets {
    by_labels: HashMap<Labels, Group>,
    fallback: Option<Group>,
}

impl Subsets {
    /// Divides hosts with these labels. The second part is the indices of the hosts of each group;
    /// no group is empty but that of [`Fallback`].
    pub fn new(rules: &Rules, hosts: &[&Labels]) -> (Self, Vec<Vec<usize>>) {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut by_labels = HashMap::new();
        // Two selectors of the same keys lead to the same groups.
        let selectors = rules.selectors.iter().map(|keys| keys.iter().collect::<BTreeSet<_>>());
        for keys in selectors.collect::<BTreeSet<_>>() {
            for (host, labels) in hosts.iter().enumerate() {
                let Some(wanted) = labels.of_keys(&keys) else { continue };
                let Group(group) = *by_labels.entry(wanted).or_insert_with(|| {
                    groups.push(Vec::new());
                    Group(groups.len() - 1)
                });
                groups[group].push(host);
            }
        }
        let others = match &rules.fallback {
            Fallback::None => None,
            Fallback::Any => Some((0..hosts.len()).collect()),
            Fallback::Default(wanted) => {
                Some((0..hosts.len()).filter(|host| hosts[*host].has_all_of(wanted)).collect())
            }
        };
        let fallback = others.map(|hosts| {
            groups.push(hosts);
            Group(groups.len() - 1)
        });
        (Subsets { by_labels, fallback }, groups)
    }

    /// The group for a request that asks for these labels; `None`: no host may take it.
    pub fn find(&self, wanted: &Labels) -> Option<Group> {
        self.by_labels.get(wanted).copied().or(self.fallback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    fn keys(selectors: &[&[&str]]) -> Vec<Vec<String>> {
        selectors.iter().map(|keys| keys.iter().map(|k| (*k).to_owned()).collect()).collect()
    }

    /// The hosts that a request for `wanted` may go to.
    fn hosts(fallback: Fallback, wanted: &[(&str, &str)]) -> Option<Vec<usize>> {
        let cluster = [
            labels(&[("zone", "a"), ("version", "1")]),
            labels(&[("zone", "a"), ("version", "2")]),
            labels(&[("zone", "b"), ("version", "1")]),
            labels(&[]),
        ];
        let rules = Rules { selectors: keys(&[&["zone"], &["version", "zone"]]), fallback };
        let (subsets, groups) = Subsets::new(&rules, &cluster.each_ref());
        subsets.find(&labels(wanted)).map(|Group(group)| groups[group].clone())
    }

    #[test]
    fn a_request_goes_to_the_hosts_that_have_its_labels() {
        assert_eq!(hosts(Fallback::None, &[("zone", "a")]), Some(vec![0, 1]));
        assert_eq!(hosts(Fallback::None, &[("zone", "b")]), Some(vec![2]));
        assert_eq!(hosts(Fallback::None, &[("zone", "a"), ("version", "2")]), Some(vec![1]));
    }

    #[test]
    fn labels_that_lead_nowhere_follow_the_fallback() {
        let default = Fallback::Default(labels(&[("version", "1")]));
        for wanted in [&[][..], &[("zone", "c")], &[("version", "1")], &[("colour", "red")]] {
            assert_eq!(hosts(Fallback::None, wanted), None, "{wanted:?}");
            assert_eq!(hosts(Fallback::Any, wanted), Some(vec![0, 1, 2, 3]), "{wanted:?}");
            assert_eq!(hosts(default.clone(), wanted), Some(vec![0, 2]), "{wanted:?}");
        }
    }

    #[test]
    fn a_default_that_no_host_has_is_an_empty_group() {
        let default = Fallback::Default(labels(&[("zone", "z")]));
        assert_eq!(hosts(default, &[]), Some(vec![]));
    }

    proptest! {
        #[test]
        fn a_group_is_exactly_the_hosts_with_its_labels(
            cluster in prop::collection::vec(prop::collection::btree_map("[xyz]", "[12]", 0..3), 0..12),
            wanted in prop::collection::btree_map("[xyz]", "[12]", 1..3),
        ) {
            let cluster: Vec<Labels> = cluster.into_iter().map(Labels::new).collect();
            let rules = Rules {
                selectors: keys(&[&["x"], &["x", "y"], &["y", "x"], &["z", "y"]]),
                fallback: Fallback::None,
            };
            let wanted = Labels::new(wanted);
            let (subsets, groups) = Subsets::new(&rules, &cluster.iter().collect::<Vec<_>>());
            let keys: Vec<&str> = wanted.iter().map(|(key, _)| key).collect();
            let expected: Vec<usize> =
                (0..cluster.len()).filter(|host| cluster[*host].has_all_of(&wanted)).collect();
            let found = subsets.find(&wanted).map(|Group(group)| groups[group].clone());
            if [&["x"][..], &["x", "y"], &["y", "z"]].contains(&&keys[..]) && !expected.is_empty() {
                prop_assert_eq!(found, Some(expected));
            } else {
                prop_assert_eq!(found, None);
            }
        }
    }
}
