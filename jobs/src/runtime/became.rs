//! Who became whom with a change of the job, less what has been told already.

use std::collections::{BTreeMap, BTreeSet};

use operators::model::Cell;

/// Of a tenant, who became whom.
pub(super) type Pair = (Cell, Cell, Cell);

/// What was told of persons: rows of `id_changes`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub pair: Pair,
    /// Whether who became another is no more.
    pub is_merge: bool,
    /// The message that brought it about.
    pub message: Cell,
}

/// What is to be told beside what was said: `pairs` are who became whom between a time and now,
/// each with a message, `said` is what was told of the time since then, and `stood` who had events
/// at that time. `is_left` is whether somebody has events now.
///
/// What was said and is so is not told again. Of what was said and is not so, the way back is told.
pub(super) fn beside(
    mut pairs: BTreeMap<Pair, Cell>,
    said: &[Said],
    stood: &BTreeSet<(Cell, Cell)>,
    is_left: impl Fn(&Cell) -> bool,
) -> BTreeMap<Pair, Cell> {
    let mut from: BTreeMap<(&Cell, &Cell), Vec<&Said>> = BTreeMap::new();
    for said in said {
        from.entry((&said.pair.0, &said.pair.1)).or_default().push(said);
    }
    let next = |tenant, person| from.get(&(tenant, person)).into_iter().flatten().copied();
    let stays = |tenant, person| !next(tenant, person).any(|said| said.is_merge);
    let mut back = BTreeMap::new();
    for &(tenant, person) in from.keys() {
        if !stood.contains(&(tenant.clone(), person.clone())) {
            continue; // on the way of somebody else
        }
        let mut reached: BTreeMap<&Cell, &Cell> = BTreeMap::new();
        let mut open = vec![person];
        while let Some(at) = open.pop() {
            for said in next(tenant, at) {
                let to = &said.pair.2;
                if to != person && !reached.contains_key(to) {
                    reached.insert(to, &said.message);
                    open.push(to);
                }
            }
        }
        let became = |now: &Cell| (tenant.clone(), person.clone(), now.clone());
        let ends = reached.iter().filter(|(to, _)| stays(tenant, to));
        let wrong = ends.filter(|(to, _)| !pairs.contains_key(&became(to)));
        let wrong: Vec<(&Cell, &Cell)> = wrong.map(|(to, message)| (*to, *message)).collect();
        pairs.retain(|(of, before, now), _| {
            (&*of, &*before) != (tenant, person) || !reached.contains_key(now)
        });
        if wrong.is_empty() {
            continue;
        }
        let now = if is_left(person) {
            Some(person.clone())
        } else {
            let mut others = pairs.keys().filter(|(of, b, _)| (of, b) == (tenant, person));
            others.next().map(|(_, _, now)| now.clone())
        };
        let Some(now) = now else { continue };
        for (to, message) in wrong.into_iter().filter(|(to, _)| **to != now) {
            back.insert((tenant.clone(), to.clone(), now.clone()), message.clone());
        }
        if now != *person && !stays(tenant, person) {
            pairs.remove(&became(&now));
        }
    }
    pairs.extend(back);
    pairs
}

#[cfg(test)]
mod tests {
    use operators::model::Token;

    use super::*;

    fn person(name: char) -> Cell {
        Cell::Id(Token(u128::from(u32::from(name))))
    }

    fn pair(before: char, now: char) -> Pair {
        (Cell::str("t"), person(before), person(now))
    }

    /// `pairs` such as "ab ac"; `said` too, a split with `/` between; the answer as `pairs`.
    fn told(pairs: &str, said: &str, (stood, left): (&str, &str)) -> String {
        let ends = |word: &str| (word.chars().next().unwrap(), word.chars().last().unwrap());
        let pairs = pairs.split_whitespace().map(ends);
        let pairs = pairs.map(|(before, now)| (pair(before, now), Cell::str("new"))).collect();
        let said = said.split_whitespace().map(|word| {
            let (before, now) = ends(word);
            let is_merge = !word.contains('/');
            Said { pair: pair(before, now), is_merge, message: Cell::str("said") }
        });
        let stood = stood.chars().map(|name| (Cell::str("t"), person(name))).collect();
        let is_left = |of: &Cell| left.chars().any(|name| person(name) == *of);
        let told = beside(pairs, &said.collect::<Vec<_>>(), &stood, is_left);
        let name = |of: &Cell| ('a'..='z').find(|name| person(*name) == *of).unwrap();
        let words = told.keys().map(|(_, b, n)| [name(b), name(n)].iter().collect::<String>());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_was_said_is_not_told_again_and_what_is_not_so_is_taken_back() {
        for (what, pairs, said, stood, left, expected) in [
            ("nothing was said", "ab cd", "", "abcd", "bd", "ab cd"),
            ("it was said", "ab", "ab", "ab", "b", ""),
            ("it was said by way of another", "ac", "ab bc", "a", "c", ""),
            ("so it was of that one too", "ac bc", "ab bc", "ab", "c", ""),
            ("it is not so any more", "", "ab", "ab", "ab", "ba"),
            ("neither is the way on", "", "ab bc", "abc", "abc", "ca cb"),
            ("it became a third one", "ac", "ab", "abc", "bc", "bc"),
            ("some of it was another's, and is not", "", "a/b", "ab", "ab", "ba"),
            ("some of it is another's", "ab", "a/b", "a", "ab", ""),
            ("all of it is a third one's", "ac", "a/b", "a", "c", "ac bc"),
            ("one of two was wrong", "cb", "ab cb", "abc", "ab", "ba"),
            ("its events are no more", "", "ab", "ab", "b", ""),
            ("round and round", "", "ab ba", "ab", "ab", ""),
            ("who had no events then is only on the way", "", "ba", "a", "a", ""),
        ] {
            assert_eq!(told(pairs, said, (stood, left)), expected, "{what}");
        }
    }
}
