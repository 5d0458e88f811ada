//! Where a route leads: one cluster, or several by weight.

use std::rc::Rc;

use crate::cluster::Cluster;
use crate::config;
use crate::random::Random;

/// Clusters with the sums of their weights up to each.
#[derive(Default)]
pub(super) struct Targets {
    /// `None` when the configuration names a cluster that does not exist.
    clusters: Vec<(Option<Rc<Cluster>>, u32)>,
}

impl Targets {
    pub(super) fn new(targets: &[config::Target], clusters: &[Rc<Cluster>]) -> Self {
        let mut sum = 0_u32;
        let mut out = Vec::new();
        for target in targets {
            sum = sum.saturating_add(target.weight);
            let cluster = clusters.iter().find(|cluster| cluster.name() == target.cluster);
            out.push((cluster.cloned(), sum));
        }
        Targets { clusters: out }
    }

    /// The cluster of the next request.
    pub(super) fn pick(&self, random: &Random) -> Option<&Rc<Cluster>> {
        let place = match &self.clusters[..] {
            [_] => 0,
            several => {
                let point = random.below(several.last()?.1);
                several.partition_point(|&(_, sum)| sum <= point)
            }
        };
        self.clusters.get(place)?.0.as_ref()
    }
}
