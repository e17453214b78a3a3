//! Groups that an unmerge divides: the rule's constrained loop, in that group alone.

use super::groups::{DIVIDED, Group};
use super::slots::{ClusterId, Node};
use super::{Incremental, Map, Set};

impl Incremental {
    /// Brings the clusters of divided groups up to date.
    ///
    /// Costs one look per in-rank unmerge in an epoch that changed any group, and the links of each
    /// divided group that was touched.
    pub(super) fn settle(&mut self) {
        let touched = std::mem::take(&mut self.changed.groups);
        if !std::mem::take(&mut self.changed.structure) && touched.is_empty() {
            return;
        }
        let mut bars: Map<Group, Vec<(Node, Node)>> = Map::default();
        for &(x, y) in &self.links.apart {
            let group = self.group(x);
            if group == self.group(y) {
                bars.entry(group).or_default().push((x, y));
            }
        }
        let mut groups: Vec<Group> = touched.into_iter().map(|n| self.group(n)).collect();
        groups.extend(bars.keys().filter(|&&g| g & DIVIDED == 0));
        groups.extend(self.groups.divided().filter(|g| !bars.contains_key(g)));
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let members = self.group_members(group);
            let parts = match bars.get(&group) {
                Some(bars) => self.constrained(&members, bars),
                None if group & DIVIDED != 0 => vec![members],
                None => continue,
            };
            let clusters = self.arrange(parts);
            self.set_group(group, clusters, bars.contains_key(&group));
        }
    }

    /// Joins the ends of each edge in turn, unless that would bring a barred pair together: merges
    /// first, newest first, then links by the tokens of their ends.
    fn constrained(&self, members: &[Node], bars: &[(Node, Node)]) -> Vec<Vec<Node>> {
        let place: Map<Node, usize> = members.iter().enumerate().map(|(i, &n)| (n, i)).collect();
        let mut root: Vec<usize> = (0..members.len()).collect();
        let mut parts: Vec<Vec<usize>> = (0..members.len()).map(|i| vec![i]).collect();
        let bars: Vec<(usize, usize)> = bars.iter().map(|(x, y)| (place[x], place[y])).collect();
        for (x, y) in self.ordered_edges(members) {
            let (mut a, mut b) = (root[place[&x]], root[place[&y]]);
            let barred = |&(p, q): &(usize, usize)| {
                let ends = (root[p], root[q]);
                ends == (a, b) || ends == (b, a)
            };
            if a == b || bars.iter().any(barred) {
                continue;
            }
            if parts[a].len() < parts[b].len() {
                std::mem::swap(&mut a, &mut b);
            }
            for node in std::mem::take(&mut parts[b]) {
                root[node] = a;
                parts[a].push(node);
            }
        }
        parts.retain(|part| !part.is_empty());
        parts.into_iter().map(|part| part.into_iter().map(|i| members[i]).collect()).collect()
    }

    fn ordered_edges(&self, members: &[Node]) -> Vec<(Node, Node)> {
        let token = |n: Node| {
            let ident = self.nodes[n].ident();
            (ident.token, ident.kind)
        };
        let (mut merges, mut links) = (Vec::new(), Vec::new());
        for &node in members {
            for &other in self.merged_with(node) {
                if node < other {
                    merges.push((self.commands.order(node, other), node, other));
                }
            }
            for other in self.nodes[node].neighbours.all() {
                if token(node) < token(other) && self.joining(node, other) {
                    links.push((token(node), token(other), node, other));
                }
            }
        }
        merges.sort_unstable_by(|a, b| b.cmp(a));
        links.sort_unstable();
        let merges = merges.into_iter().map(|(_, x, y)| (x, y));
        merges.chain(links.into_iter().map(|(_, _, x, y)| (x, y))).collect()
    }

    /// Makes each part a cluster; returns the clusters. A part keeps the cluster that weighs most
    /// in it.
    fn arrange(&mut self, mut parts: Vec<Vec<Node>>) -> Vec<ClusterId> {
        let weight = |n: &Node| u64::from(self.nodes[*n].weight());
        let weigh = |part: &Vec<Node>| {
            let mut by_cluster: Map<ClusterId, u64> = Map::default();
            for node in part {
                *by_cluster.entry(self.cluster_of(*node)).or_default() += weight(node);
            }
            let mut list: Vec<(u64, ClusterId)> =
                by_cluster.into_iter().map(|(c, w)| (w, c)).collect();
            list.sort_unstable_by(|a, b| b.cmp(a));
            list
        };
        // The heaviest claim on a cluster first; ties by the smallest node, to be the same each
        // run.
        for part in &mut parts {
            part.sort_unstable();
        }
        let mut weighed: Vec<_> = parts.into_iter().map(|part| (weigh(&part), part)).collect();
        weighed.sort_by(|a, b| b.0[0].0.cmp(&a.0[0].0).then_with(|| a.1.cmp(&b.1)));
        let mut taken: Set<ClusterId> = Set::default();
        let mut made = Vec::new();
        for (clusters, part) in weighed {
            let keep = clusters.iter().map(|(_, c)| *c).find(|c| taken.insert(*c));
            let to = keep.unwrap_or_else(|| {
                let id = self.split_off(clusters[0].1);
                taken.insert(id);
                id
            });
            self.move_nodes(&part, to);
            made.push(to);
        }
        made
    }

    /// Whether a link joins clusters: it is in force and its unit within `cluster_max`.
    fn joining(&self, x: Node, y: Node) -> bool {
        self.in_force(x, y) && self.joins(x, y)
    }
}
