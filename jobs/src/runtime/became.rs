//! Who became whom with a change of the job, less what has been told already.

use std::collections::{BTreeMap, BTreeSet};

use operators::model::Cell;

/// A tenant and a person id.
pub(super) type Person = (Cell, Cell);

/// Who became whom: by person the ids that it became, each with a message that brought it about.
pub(super) type Became = BTreeMap<Person, BTreeMap<Cell, Cell>>;

/// What was told of persons: a row of `id_changes`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    /// When. What is said of one epoch holds at once.
    pub epoch: Cell,
    pub from: Person,
    pub to: Cell,
    /// Whether who became another is no more.
    pub is_merge: bool,
    pub message: Cell,
}

/// What is to be told beside what was said: `became` is who became whom between a time and now,
/// `said` what was told of the time since then, in order, and `stood` who of them had events at
/// that time, and whether some of these are still theirs.
///
/// Whoever follows a person from that time on is led to where its events are now, and from where
/// they are not. What was said and is so is not told again.
pub(super) fn beside(
    mut became: Became,
    said: &[Said],
    stood: &BTreeMap<Person, bool>,
) -> BTreeMap<(Cell, Cell, Cell), Cell> {
    let mut told = BTreeMap::new();
    for (person, places) in followed(said, stood) {
        let nows = became.remove(&person).unwrap_or_default();
        let mut truth: BTreeSet<&Cell> = nows.keys().collect();
        truth.extend(stood.get(&person).is_some_and(|stays| *stays).then_some(&person.1));
        let Some(any) = truth.first() else { continue }; // its events are no more
        let wrong: Vec<&Cell> = places.keys().filter(|place| !truth.contains(place)).collect();
        let missing: Vec<&Cell> =
            truth.iter().copied().filter(|now| !places.contains_key(*now)).collect();
        let itself = places.get_key_value(&person.1).map(|(place, _)| place);
        let here = wrong.first().copied().or(itself).or(places.keys().next());
        let there = missing.first().unwrap_or(any);
        let ways = wrong.iter().map(|place| (*place, *there));
        for (from, to) in ways.chain(missing.iter().filter_map(|now| Some((here?, *now)))) {
            let message = nows.get(to).or(places.get(from)).cloned().unwrap_or(Cell::Null);
            told.entry((person.0.clone(), from.clone(), to.clone())).or_insert(message);
        }
    }
    for ((tenant, person), nows) in became {
        for (now, message) in nows {
            told.entry((tenant.clone(), person.clone(), now)).or_insert(message);
        }
    }
    told
}

/// Where those are led who follow the persons that something was said of, each with the last
/// message that led there.
fn followed(said: &[Said], stood: &BTreeMap<Person, bool>) -> Became {
    // By place, who are led there.
    let mut led: BTreeMap<Person, BTreeMap<Cell, Cell>> = BTreeMap::new();
    let begin = |place: &Person| {
        let itself = stood.contains_key(place).then(|| (place.1.clone(), Cell::Null));
        itself.into_iter().collect::<BTreeMap<Cell, Cell>>()
    };
    for at_once in said.chunk_by(|one, next| one.epoch == next.epoch) {
        let mut who = Vec::new();
        for Said { from, .. } in at_once {
            let here = led.entry(from.clone()).or_insert_with(|| begin(from));
            who.push(here.keys().cloned().collect::<Vec<Cell>>());
        }
        for Said { from, .. } in at_once.iter().filter(|said| said.is_merge) {
            led.insert(from.clone(), BTreeMap::new());
        }
        for (Said { from, to, message, .. }, who) in at_once.iter().zip(who) {
            let to = (from.0.clone(), to.clone());
            let there = led.entry(to.clone()).or_insert_with(|| begin(&to));
            there.extend(who.into_iter().map(|person| (person, message.clone())));
        }
    }
    let mut followed = Became::new();
    for ((tenant, place), who) in led {
        for (person, message) in who {
            followed.entry((tenant.clone(), person)).or_default().insert(place.clone(), message);
        }
    }
    followed
}

#[cfg(test)]
mod tests {
    use operators::identity::testing::Seeded;
    use operators::model::Token;

    use super::*;

    fn person(name: char) -> Cell {
        Cell::Id(Token(u128::from(u32::from(name))))
    }

    /// `became` such as "ab ac"; `said` too, a split with `/` between, and `+` before what is said
    /// with what is before it; who `stood`, in capitals those with events that are still theirs;
    /// the answer as `became`.
    fn told(became: &str, said: &str, stood: &str) -> String {
        let ends = |word: &str| (word.chars().next().unwrap(), word.chars().last().unwrap());
        let of = |name: char| (Cell::str("t"), person(name));
        let mut all = Became::new();
        for (before, now) in became.split_whitespace().map(ends) {
            all.entry(of(before)).or_default().insert(person(now), Cell::str("new"));
        }
        let mut at = 0;
        let said = said.split_whitespace().map(|word| {
            at += i64::from(!word.starts_with('+'));
            let word = word.trim_start_matches('+');
            let ((from, to), is_merge) = (ends(word), !word.contains('/'));
            let (epoch, message) = (Cell::Int(at), Cell::str("said"));
            Said { epoch, from: of(from), to: person(to), is_merge, message }
        });
        let stays = |name: char| (of(name.to_ascii_lowercase()), name.is_ascii_uppercase());
        let stood = stood.chars().map(stays).collect();
        let told = beside(all, &said.collect::<Vec<_>>(), &stood);
        assert!(told.values().all(|message| *message != Cell::Null));
        let name = |of: &Cell| ('a'..='z').find(|name| person(*name) == *of).unwrap();
        let words = told.keys().map(|(_, b, n)| [name(b), name(n)].iter().collect::<String>());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_was_said_is_not_told_again_and_what_is_not_so_is_taken_back() {
        for (what, became, said, stood, expected) in [
            ("nothing was said", "ab cd", "", "abcd", "ab cd"),
            ("it was said", "ab", "ab", "aB", ""),
            ("it was said by way of another", "ac", "ab bc", "a", ""),
            ("so it was of that one too", "ac bc", "ab bc", "ab", ""),
            ("it is not so any more", "", "ab", "AB", "ba"),
            ("neither is the way on", "", "ab bc", "ABC", "ca cb"),
            ("it became a third one", "ac", "ab", "aBC", "bc"),
            ("some of it was another's, and is not", "", "a/b", "AB", "ba"),
            ("some of it is another's", "ab", "a/b", "A", ""),
            ("all of it is a third one's", "ac", "a/b", "a", "ac bc"),
            ("all of it is another's, and not some", "ab", "a/b", "aB", "ab"),
            ("one of two was wrong", "cb", "ab cb", "ABc", "ba"),
            ("its events are no more", "", "ab", "aB", ""),
            ("both were one, and are two", "", "ab ba", "AB", "ab"),
            ("who had no events then is only on the way", "", "ba", "A", ""),
            ("another way on was said", "ab", "ab bc", "aC", "cb"),
            ("it came back, and did not", "ab", "ab b/a", "aB", "ab"),
            ("by way of some of another", "ac bc", "a/b bc", "ab", "ac"),
            ("its name is somebody else's", "ac da", "ab", "ad", "bc da"),
            ("it was two people's", "ab ac", "ab +ac", "a", ""),
            ("it was not two people's", "", "ab +ac", "A", "ba ca"),
            ("its name went on, and it not", "xy yz", "xy +y/z", "xY", ""),
            ("neither did its name", "xy", "xy +y/z", "xY", "zy"),
        ] {
            assert_eq!(told(became, said, stood), expected, "{what}");
        }
    }

    /// Where a person's followers are by what was said, epoch by epoch.
    fn places(of: &Person, said: &[Said]) -> BTreeSet<Cell> {
        let mut places = BTreeSet::from([of.1.clone()]);
        for at_once in said.chunk_by(|one, next| one.epoch == next.epoch) {
            let next = |place: Cell| {
                let said = at_once.iter().filter(|said| said.from == (of.0.clone(), place.clone()));
                let said: Vec<&Said> = said.collect();
                let stays = !said.iter().any(|said| said.is_merge);
                let to = said.into_iter().map(|said| said.to.clone());
                to.chain(stays.then(|| place.clone())).collect::<Vec<Cell>>()
            };
            places = places.into_iter().flat_map(next).collect();
        }
        places
    }

    /// Whoever follows a person finds where its events are, and ways from where they are not.
    #[test]
    fn followers_end_where_the_events_are() {
        let mut random = Seeded(17);
        for _ in 0..5000 {
            let names = ['a', 'b', 'c', 'd'];
            let of = |name: char| (Cell::str("t"), person(name));
            let mut said = Vec::new();
            for _ in 0..random.below(5) {
                let (from, to) = (random.pick(&names), random.pick(&names));
                let epoch = Cell::Int(said.len() as i64 / (1 + random.below(2) as i64));
                let (is_merge, message) = (random.below(2) == 0, Cell::str("said"));
                if from != to {
                    said.push(Said { epoch, from: of(from), to: person(to), is_merge, message });
                }
            }
            said.sort_by_key(|said| said.epoch.clone());
            let (mut became, mut stood) = (Became::new(), BTreeMap::new());
            for name in names {
                if random.below(4) == 0 {
                    continue;
                }
                stood.insert(of(name), random.below(2) == 0);
                for now in names.iter().filter(|now| **now != name && random.below(4) == 0) {
                    became.entry(of(name)).or_default().insert(person(*now), Cell::str("new"));
                }
            }
            let told = beside(became.clone(), &said, &stood);
            let leads = |from: &Cell, to: &Cell| {
                told.contains_key(&(Cell::str("t"), from.clone(), to.clone()))
            };
            for (who, stays) in &stood {
                let nows = became.get(who).into_iter().flat_map(BTreeMap::keys).cloned();
                let truth: BTreeSet<Cell> = nows.chain(stays.then(|| who.1.clone())).collect();
                let places = places(who, &said);
                for place in places.iter().filter(|place| !truth.contains(place)) {
                    let found = truth.is_empty() || truth.iter().any(|now| leads(place, now));
                    assert!(found, "{who:?} {said:?} {became:?} {stood:?}");
                }
                for now in &truth {
                    let found = places.contains(now) || places.iter().any(|from| leads(from, now));
                    assert!(found, "{who:?} {said:?} {became:?} {stood:?}");
                }
            }
        }
    }
}
