//! Lists beside sorted vectors.

use super::*;
use crate::identity::testing::Seeded;

fn key(time: usize) -> EventKey {
    EventKey { time: time as i64, seq: 0, id: 0 }
}

/// What is known of the times in `naive`, in order, agrees with the list.
fn check(list: &SlotList, naive: &[usize], slots: &[Slot], events: &Events, probe: usize) {
    let slot = |time: Option<&usize>| time.map(|&time| slots[time]);
    assert!(list.iter(events).eq(naive.iter().map(|&time| slots[time])));
    assert_eq!((list.len(), list.is_empty()), (naive.len(), naive.is_empty()));
    assert_eq!(list.first(events), slot(naive.first()));
    assert_eq!(list.last(events), slot(naive.last()));
    let k = key(probe);
    let before = slot(naive.iter().rev().find(|&&time| time < probe));
    let after = slot(naive.iter().find(|&&time| time > probe));
    let equal = slot(naive.iter().find(|&&time| time == probe));
    assert_eq!(list.around(events, k), (before, after));
    assert_eq!(list.beside(events, k), (equal.or(before), after));
    assert_eq!(list.find(events, k), equal);
    let mut range = Vec::new();
    list.between(events, k, key(probe + 70), |slot| range.push(slot));
    let expected = naive.iter().filter(|&&time| (probe..=probe + 70).contains(&time));
    assert!(range.into_iter().eq(expected.map(|&time| slots[time])));
}

/// Every operation agrees with a sorted vector, through growth to several lengths and back:
/// all forms of a list, each way.
#[test]
fn agrees_with_a_sorted_vector() {
    assert_eq!(size_of::<SlotList>(), 16);
    for (most, rounds) in [(5, 300), (12, 200), (30, 100), (70, 50), (140, 20), (1_500, 2)] {
        let (mut random, mut events) = (Seeded(most as u64), Events::default());
        let times = 2 * most;
        let slots: Vec<Slot> = (0..times).map(|time| events.add(key(time), &[])).collect();
        let (mut list, mut naive) = (SlotList::default(), Vec::new());
        for step in 0..rounds * most {
            let time = random.below(times as u64) as usize;
            let grow = if step / most % 2 == 0 { 9 } else { 1 };
            let place = naive.partition_point(|&t| t < time);
            let there = naive.get(place) == Some(&time);
            if random.below(10) < grow {
                if place == naive.len() && random.once_in(2) {
                    list.push(&mut events, slots[time]);
                } else {
                    assert_eq!(list.insert(&mut events, slots[time]), !there);
                }
                if !there {
                    naive.insert(place, time);
                }
            } else {
                assert_eq!(list.remove(&mut events, slots[time]), there);
                naive.retain(|&t| t != time);
            }
            if most < 500 || step % 37 == 0 {
                check(&list, &naive, &slots, &events, random.below(times as u64) as usize);
            }
        }
        for time in naive {
            assert!(list.remove(&mut events, slots[time]));
        }
        assert!(list.is_empty());
        assert_eq!(events.blocks.used(), (0, 0), "all blocks are given back");
    }
}

/// A list that grows at its end fills its blocks.
#[test]
fn what_comes_in_order_leaves_no_room() {
    let mut events = Events::default();
    let mut list = SlotList::default();
    for time in 0..IN_BLOCKS {
        let slot = events.add(key(time), &[]);
        list.push(&mut events, slot);
        let (wholes, halves) = events.blocks.used();
        let room = wholes * ROOM + halves * ROOM / 2;
        let lists = if matches!(list, SlotList::Listed { .. }) { ROOM } else { 0 };
        assert!(time < FEW || room <= time + ROOM / 2 + lists, "{time}");
    }
    assert_eq!(events.blocks.used(), (ROOM + 1, 0));
    assert!(matches!(list, SlotList::Listed { .. }));
}
