//! Tables of keys and values, and the few operators on them. Each has a name, so that the log of a
//! run says which one costs what.
//!
//! The functions with a type of key and value only translate; the work is in those below them,
//! which have none and are compiled once.

use std::marker::PhantomData;

use differential_dataflow::consolidation::ConsolidatingContainerBuilder;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use differential_dataflow::{AsCollection as _, VecCollection};
use smallvec::SmallVec;
use timely::container::{CapacityContainerBuilder, PushInto as _};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator as _;
use timely::order::Product;
use timely::progress::Timestamp;

use super::code::{Code, Coded};
use crate::model::Epoch;

/// A change of a table, untyped.
pub(super) type Update = (Row, Epoch, isize);
type Row = (Code, Code);
type Rows<'scope, T> = VecCollection<'scope, T, Row, isize>;
type Trace<T> = TraceAgent<ValSpine<Code, Code, T, isize>>;
type Index<'scope, T> = Arranged<'scope, Trace<T>>;
type Made = SmallVec<[Row; 2]>;
type OfRow = Box<dyn FnMut(&Code, &Code) -> Made>;
type OfPair = Box<dyn FnMut(&Code, &Code, &Code) -> Made>;
type OfKey = Box<dyn FnMut(&Code, &[(&Code, isize)], &mut Vec<(Code, isize)>)>;

/// A multiset of rows of keys and values.
pub(super) struct Table<'scope, K, V> {
    rows: Rows<'scope, Epoch>,
    types: PhantomData<(K, V)>,
}

/// A table indexed by key.
pub(super) struct Keyed<'scope, K, V> {
    index: Index<'scope, Epoch>,
    types: PhantomData<(K, V)>,
}

impl<K, V> Clone for Table<'_, K, V> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), types: PhantomData }
    }
}

impl<K, V> Clone for Keyed<'_, K, V> {
    fn clone(&self) -> Self {
        Self { index: self.index.clone(), types: PhantomData }
    }
}

impl<'scope, K: Coded, V: Coded> Table<'scope, K, V> {
    /// A table that someone else fills.
    pub(super) fn new(updates: StreamVec<'scope, Epoch, Update>) -> Self {
        Self { rows: updates.as_collection(), types: PhantomData }
    }

    /// Its changes.
    pub(super) fn updates(self) -> StreamVec<'scope, Epoch, Update> {
        self.rows.inner
    }

    /// Replaces each row by others.
    pub(super) fn flat_map<K2: Coded, V2: Coded, I: IntoIterator<Item = (K2, V2)>>(
        self,
        name: &str,
        mut each: impl FnMut(K, V) -> I + 'static,
    ) -> Table<'scope, K2, V2> {
        let each: OfRow = Box::new(move |key, value| match (K::read(key), V::read(value)) {
            (Some(key), Some(value)) => each(key, value)
                .into_iter()
                .map(|(key, value)| (key.code(), value.code()))
                .collect(),
            _ => Made::new(),
        });
        Table { rows: flat_map(name, self.rows, each), types: PhantomData }
    }

    /// Replaces each row by another.
    pub(super) fn map<K2: Coded, V2: Coded>(
        self,
        name: &str,
        mut each: impl FnMut(K, V) -> (K2, V2) + 'static,
    ) -> Table<'scope, K2, V2> {
        self.flat_map(name, move |key, value| [each(key, value)])
    }

    /// Keeps some rows.
    pub(super) fn filter(self, name: &str, mut keep: impl FnMut(K, V) -> bool + 'static) -> Self {
        self.flat_map(name, move |key, value| keep(key, value).then_some((key, value)))
    }

    /// The rows of all tables.
    pub(super) fn concat(self, others: impl IntoIterator<Item = Self>) -> Self {
        let others = others.into_iter().map(|other| other.rows);
        Self { rows: self.rows.concatenate(others), types: PhantomData }
    }

    /// Indexes by key.
    pub(super) fn keyed(self, name: &str) -> Keyed<'scope, K, V> {
        Keyed { index: self.rows.arrange_by_key_named(name), types: PhantomData }
    }

    /// Reduces the values of each key, presented in order and each once, to others.
    pub(super) fn reduce<V2: Coded, I: IntoIterator<Item = V2>>(
        self,
        name: &str,
        mut each: impl FnMut(K, &[(V, isize)]) -> I + 'static,
    ) -> Keyed<'scope, K, V2> {
        let each: OfKey = Box::new(move |key, values, out| {
            let Some(key) = K::read(key) else { return };
            let read = |(value, times): &(&Code, isize)| Some((V::read(value)?, *times));
            let values: Vec<_> = values.iter().filter_map(read).collect();
            out.extend(each(key, &values).into_iter().map(|value| (value.code(), 1)));
        });
        Keyed { index: reduce(name, self.rows, each), types: PhantomData }
    }

    /// The smallest value of each key.
    pub(super) fn smallest(self, name: &str) -> Keyed<'scope, K, V> {
        self.reduce(name, |_, values| values.first().map(|value| value.0))
    }

    /// The largest value of each key.
    pub(super) fn largest(self, name: &str) -> Keyed<'scope, K, V> {
        self.reduce(name, |_, values| values.last().map(|value| value.0))
    }

    /// The keys, each once.
    pub(super) fn keys(self, name: &str) -> Table<'scope, K, ()> {
        let unit: OfRow = Box::new(|key, _| Made::from_iter([(*key, ().code())]));
        let rows = flat_map(&format!("{name}: keys"), self.rows, unit);
        let once: OfKey = Box::new(|_, _, out| out.push((().code(), 1)));
        Keyed { index: reduce(name, rows, once), types: PhantomData }.table()
    }

    /// The keys that occur more often than `max` says.
    pub(super) fn frequent(
        self,
        name: &str,
        max: impl Fn(K) -> u32 + 'static,
    ) -> Table<'scope, K, ()> {
        let counts = self.map(&format!("{name}: keys"), |key, _| (key, ()));
        let often = move |key, values: &[((), isize)]| {
            let times = values.first().map_or(0, |value| value.1);
            (times > max(key) as isize).then_some(())
        };
        counts.reduce(name, often).table()
    }

    /// The rows whose key is among `keys`, each of which is there once.
    pub(super) fn within(self, name: &str, keys: Table<'scope, K, ()>) -> Self {
        let rows = self.keyed(&format!("{name}: rows"));
        let keys = keys.keyed(&format!("{name}: keys"));
        rows.join(name, &keys, |key, value, ()| [(key, value)])
    }

    /// The rows whose key is not among `keys`, each of which is there once.
    pub(super) fn without(self, name: &str, keys: Table<'scope, K, ()>) -> Self {
        let others =
            Self { rows: self.clone().within(name, keys).rows.negate(), types: PhantomData };
        self.concat([others])
    }
}

impl<'scope, K: Coded, V: Coded> Keyed<'scope, K, V> {
    /// Pairs rows of equal key and replaces each pair by rows.
    pub(super) fn join<V2: Coded, K3: Coded, V3: Coded, I: IntoIterator<Item = (K3, V3)>>(
        &self,
        name: &str,
        other: &Keyed<'scope, K, V2>,
        mut each: impl FnMut(K, V, V2) -> I + 'static,
    ) -> Table<'scope, K3, V3> {
        let each: OfPair =
            Box::new(move |key, a, b| match (K::read(key), V::read(a), V2::read(b)) {
                (Some(key), Some(a), Some(b)) => each(key, a, b)
                    .into_iter()
                    .map(|(key, value)| (key.code(), value.code()))
                    .collect(),
                _ => Made::new(),
            });
        let rows = join(name, self.index.clone(), other.index.clone(), each);
        Table { rows, types: PhantomData }
    }

    /// The rows.
    pub(super) fn table(self) -> Table<'scope, K, V> {
        let rows = self.index.as_collection(|key, value| (*key, *value));
        Table { rows, types: PhantomData }
    }
}

fn flat_map<'scope>(name: &str, rows: Rows<'scope, Epoch>, mut each: OfRow) -> Rows<'scope, Epoch> {
    let made =
        rows.inner.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, name, |_, _| {
            move |input, output| {
                input.for_each_stamp(|capability, data| {
                    let mut session = output.session(&capability);
                    for ((key, value), time, times) in data.flat_map(std::mem::take) {
                        for row in each(&key, &value) {
                            session.give((row, time, times));
                        }
                    }
                });
            }
        });
    made.as_collection()
}

fn join<'scope>(
    name: &str,
    left: Index<'scope, Epoch>,
    right: Index<'scope, Epoch>,
    mut each: OfPair,
) -> Rows<'scope, Epoch> {
    join_traces::<_, _, _, _, ConsolidatingContainerBuilder<_>>(
        left,
        right,
        name,
        move |key, a, b, time, times_a: &isize, times_b: &isize, out| {
            for row in each(key, a, b) {
                out.push_into((row, time, times_a * times_b));
            }
        },
    )
    .as_collection()
}

fn reduce<'scope, T: Timestamp + Lattice>(
    name: &str,
    rows: Rows<'scope, T>,
    mut each: OfKey,
) -> Index<'scope, T> {
    rows.arrange_by_key_named(&format!("{name}: rows"))
        .reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<_, _, _, _>, _, _>(
            name,
            move |key, values, out| each(key, values, out),
            |batch, key, updates| {
                batch.clear();
                batch.extend(
                    updates.drain(..).map(|(value, time, times)| ((*key, value), time, times)),
                );
            },
        )
}

/// The smallest key that each key is connected with by `edges`, which lead both ways.
///
/// Every key tells its neighbours the smallest that it knows of, round by round, until none learns
/// anything: as many rounds as the longest shortest path has edges, and in each of them the change
/// of one label is a change of a row.
pub(super) fn components<'scope, K: Coded>(
    name: &str,
    keys: Table<'scope, K, ()>,
    edges: Table<'scope, K, K>,
) -> Table<'scope, K, K> {
    use differential_dataflow::operators::iterate::Variable;
    let outer = edges.rows.scope();
    let own = keys.map(&format!("{name}: own labels"), |key, ()| (key, key));
    let edges = edges.keyed(&format!("{name}: neighbours")).index;
    let rows = outer.scoped::<Product<Epoch, u64>, _, _>(name, |scope| {
        let own = own.rows.enter(scope);
        let edges = edges.enter(scope);
        let round = Product::new(Default::default(), 1);
        let (variable, told) = Variable::new(scope, round);
        let smallest: OfKey = Box::new(|_, labels, out| {
            out.extend(labels.first().map(|label| (*label.0, 1)));
        });
        let labels = reduce(&format!("{name}: labels"), own.concat(told), smallest);
        let tell = join_traces::<_, _, _, _, ConsolidatingContainerBuilder<_>>(
            labels.clone(),
            edges,
            &format!("{name}: tell"),
            |_, label: &Code, other: &Code, time, once: &isize, times: &isize, out| {
                out.push_into(((*other, *label), time, once * times));
            },
        );
        variable.set(tell.as_collection());
        labels.as_collection(|key, label| (*key, *label)).leave(outer)
    });
    Table { rows, types: PhantomData }
}
