//! Identity graphs as raw edges between 128-bit tokens, in the order in which events bring them.

use operators::identity::testing::Seeded;

/// A raw edge: the two identifiers of one event.
pub type Edge = (u128, u128);

/// A random token.
pub fn token(random: &mut Seeded) -> u128 {
    u128::from(random.bits()) << 64 | u128::from(random.bits())
}

fn tokens(random: &mut Seeded, count: usize) -> Vec<u128> {
    (0..count).map(|_| token(random)).collect()
}

fn shuffle<T>(random: &mut Seeded, list: &mut [T]) {
    for place in (1..list.len()).rev() {
        list.swap(place, random.below(place as u64 + 1) as usize);
    }
}

/// People in the hairball, as a share of all edges and of all identifiers.
const HAIRBALL_ONE_IN: u64 = 50;

/// How many people a graph of this many edges has: about 33 edges each.
pub fn people(edges: usize) -> usize {
    (edges / 33).max(1)
}

/// People of two to five identifiers each, linked as a tree by most of their events and at random
/// by one in five; and one *hairball*, identifiers linked with each other at random by one edge in
/// 50. The edges come in random order.
pub fn persons(seed: u64, edges: usize) -> Vec<Edge> {
    let mut random = Seeded(seed);
    let people: Vec<Vec<u128>> = (0..people(edges))
        .map(|_| {
            let count = 2 + random.below(4) as usize;
            tokens(&mut random, count)
        })
        .collect();
    let size = (people.len() / HAIRBALL_ONE_IN as usize).max(2);
    let hairball = tokens(&mut random, size);
    let edge = |_| {
        if random.once_in(HAIRBALL_ONE_IN) {
            let x = random.below(hairball.len() as u64 - 1) as usize;
            let y = x + 1 + random.below((hairball.len() - x - 1) as u64) as usize;
            return (hairball[x], hairball[y]);
        }
        let person = &people[random.below(people.len() as u64) as usize];
        let child = 1 + random.below(person.len() as u64 - 1) as usize;
        let parent =
            if random.once_in(5) { random.below(child as u64) as usize } else { child / 2 };
        (person[child], person[parent])
    };
    (0..edges).map(edge).collect()
}

/// One path, its edges in random order.
pub fn chain(seed: u64, edges: usize) -> Vec<Edge> {
    let mut random = Seeded(seed);
    let nodes = tokens(&mut random, edges + 1);
    let mut list: Vec<Edge> = nodes.windows(2).map(|pair| (pair[0], pair[1])).collect();
    shuffle(&mut random, &mut list);
    list
}

/// One identifier linked with all others.
pub fn star(seed: u64, edges: usize) -> Vec<Edge> {
    let mut random = Seeded(seed);
    let hub = token(&mut random);
    (0..edges).map(|_| (hub, token(&mut random))).collect()
}

/// A square grid of about this many edges, in random order.
pub fn grid(seed: u64, edges: usize) -> Vec<Edge> {
    let mut random = Seeded(seed);
    let side = ((edges as f64 / 2.0).sqrt() as usize).max(2);
    let nodes = tokens(&mut random, side * side);
    let mut list = Vec::new();
    for row in 0..side {
        for column in 0..side {
            let here = row * side + column;
            if column + 1 < side {
                list.push((nodes[here], nodes[here + 1]));
            }
            if row + 1 < side {
                list.push((nodes[here], nodes[here + side]));
            }
        }
    }
    shuffle(&mut random, &mut list);
    list
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn graphs_have_their_shape_and_follow_from_the_seed() {
        assert_eq!(persons(1, 500), persons(1, 500));
        assert_ne!(persons(1, 500), persons(2, 500));
        assert!(persons(3, 5_000).iter().all(|(x, y)| x != y));
        let nodes =
            |list: &[Edge]| list.iter().flat_map(|(x, y)| [*x, *y]).collect::<BTreeSet<_>>().len();
        assert_eq!((chain(1, 9).len(), nodes(&chain(1, 9))), (9, 10));
        assert_eq!((star(1, 9).len(), nodes(&star(1, 9))), (9, 10));
        assert_eq!((grid(1, 18).len(), nodes(&grid(1, 18))), (12, 9));
    }
}
