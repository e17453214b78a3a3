//! Identity graphs for benchmarks: pairs of identifiers as events show them, from a seed.

use super::random::{Random, mix2};

/// Two identifiers that occur in one event, as numbers.
pub type Pair = (u64, u64);

/// People with a few identifiers each, seen in pairs again and again, and a hairball: identifiers
/// that many people have in common and that hang together by chance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Persons {
    /// People.
    pub people: u64,
    /// Pairs in all.
    pub pairs: u64,
    /// Identifiers of the hairball; 0 for none.
    pub hairball: u64,
    /// Of a thousand pairs so many are of the hairball.
    pub hairball_per_mille: u64,
    /// Another seed gives other pairs.
    pub seed: u64,
}

impl Persons {
    /// Identifiers of a person at most; on average there are about half as many.
    pub const IDS_MAX: u64 = 8;

    /// 300,000 people, ten million pairs, and a hairball of 20,000 identifiers.
    pub fn usual(seed: u64) -> Self {
        Self { people: 300_000, pairs: 10_000_000, hairball: 20_000, hairball_per_mille: 5, seed }
    }

    /// Identifiers that a person has: 2 to [`Persons::IDS_MAX`], fewer more often.
    pub fn ids_of(&self, person: u64) -> u64 {
        let bits = mix2(self.seed, person);
        2 + (bits % (Self::IDS_MAX - 1)).min((bits >> 32) % (Self::IDS_MAX - 1))
    }

    /// The number of a person's identifier. Those of the hairball come after all people's.
    pub fn id(&self, person: u64, index: u64) -> u64 {
        person * Self::IDS_MAX + index
    }

    /// The first number that no pair has.
    pub fn end(&self) -> u64 {
        self.people * Self::IDS_MAX + self.hairball
    }

    /// The pairs.
    pub fn iter(self) -> impl Iterator<Item = Pair> {
        let mut random = Random::new(mix2(self.seed, 0x0067_7261_7068));
        let first_of_hairball = self.people * Self::IDS_MAX;
        (0..self.pairs).map(move |_| {
            let hairy = self.hairball > 1 && random.below(1000) < self.hairball_per_mille;
            if hairy || self.people == 0 {
                let x = random.below(self.hairball);
                let y = random.below(self.hairball.saturating_sub(1));
                let y = if y >= x { y + 1 } else { y };
                return (first_of_hairball + x, first_of_hairball + y);
            }
            let person = random.below(self.people);
            let ids = self.ids_of(person);
            let x = random.below(ids);
            let y = random.below(ids - 1);
            let y = if y >= x { y + 1 } else { y };
            (self.id(person, x), self.id(person, y))
        })
    }
}

/// A chain of so many links: 0 - 1 - 2 - …
pub fn chain(links: u64) -> impl Iterator<Item = Pair> {
    (0..links).map(|n| (n, n + 1))
}

/// A chain whose links come in another order.
pub fn chain_shuffled(links: u64, seed: u64) -> impl Iterator<Item = Pair> {
    permutation(links, seed).map(|n| (n, n + 1))
}

/// One identifier with so many neighbours: 0 - 1, 0 - 2, …
pub fn star(links: u64) -> impl Iterator<Item = Pair> {
    (1..=links).map(|n| (0, n))
}

/// A grid of `width` times `height` identifiers, each linked with its neighbours to the right and
/// below; row by row.
pub fn grid(width: u64, height: u64) -> impl Iterator<Item = Pair> {
    (0..width.saturating_mul(height)).flat_map(move |n| {
        let right = (n % width + 1 < width).then_some((n, n + 1));
        let below = (n / width + 1 < height).then_some((n, n + width));
        right.into_iter().chain(below)
    })
}

/// The numbers below `count` in an order of chance, without memory: steps of a length that has no
/// divisor in common with the count.
fn permutation(count: u64, seed: u64) -> impl Iterator<Item = u64> {
    let mut step = (mix2(seed, count) % count.max(1)).max(1);
    while common_divisor(step, count) > 1 {
        step += 1;
    }
    let start = mix2(count, seed) % count.max(1);
    let place = move |n| (u128::from(start) + u128::from(n) * u128::from(step)) % u128::from(count);
    (0..count).map(move |n| place(n) as u64)
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Numbers of the groups that pairs make, by plain union-find.
    fn groups(pairs: impl Iterator<Item = Pair>) -> Vec<usize> {
        let mut parent: Vec<usize> = Vec::new();
        let mut nodes = BTreeSet::new();
        let root = |parent: &mut Vec<usize>, mut n: usize| {
            while parent[n] != n {
                parent[n] = parent[parent[n]];
                n = parent[n];
            }
            n
        };
        for (x, y) in pairs {
            assert_ne!(x, y, "no identifier is its own neighbour");
            while parent.len() as u64 <= x.max(y) {
                parent.push(parent.len());
            }
            nodes.extend([x as usize, y as usize]);
            let (x, y) = (root(&mut parent, x as usize), root(&mut parent, y as usize));
            parent[x] = y;
        }
        let mut sizes = vec![0; parent.len()];
        for node in nodes {
            sizes[root(&mut parent, node)] += 1;
        }
        sizes.retain(|size| *size > 0);
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn chain_star_and_grid_are_one_group() {
        assert_eq!(groups(chain(100)), [101]);
        assert_eq!(groups(star(100)), [101]);
        assert_eq!(groups(grid(7, 5)), [35]);
        assert_eq!(grid(7, 5).count(), 6 * 5 + 7 * 4);
        assert_eq!(grid(0, 5).count() + grid(5, 0).count(), 0);
        assert_eq!((chain(0).count(), star(0).count()), (0, 0));
    }

    #[test]
    fn a_shuffled_chain_is_the_chain_in_another_order() {
        for links in [0, 1, 2, 3, 10, 997, 1000] {
            let mut shuffled: Vec<Pair> = chain_shuffled(links, 3).collect();
            let plain: Vec<Pair> = chain(links).collect();
            assert!(links < 10 || shuffled != plain);
            shuffled.sort_unstable();
            assert_eq!(shuffled, plain);
        }
    }

    #[test]
    fn persons_stay_apart_but_for_the_hairball() {
        let persons =
            Persons { people: 200, pairs: 20_000, hairball: 50, hairball_per_mille: 20, seed: 1 };
        let pairs: Vec<Pair> = persons.iter().collect();
        assert_eq!(pairs.len(), 20_000);
        assert_eq!(pairs, persons.iter().collect::<Vec<_>>());
        assert!(pairs.iter().all(|(x, y)| (*x).max(*y) < persons.end()));
        let mut expected: Vec<usize> =
            (0..200).map(|person| persons.ids_of(person) as usize).collect();
        expected.push(50);
        expected.sort_unstable();
        assert_eq!(groups(pairs.into_iter()), expected);
    }
}
