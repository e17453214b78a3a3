//! The properties of an event.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thin_vec::ThinVec;

use super::Value;

/// Values by index in the job's property list, up to the last that is set: many events have none of
/// the properties that a job asks for, and then this is one word.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties(ThinVec<Option<Value>>);

impl Properties {
    /// The value of an index; `None` if it is not set.
    pub fn value(&self, index: usize) -> Option<&Value> {
        self.0.get(index)?.as_ref()
    }

    /// The values by index, up to the last that is set.
    pub fn iter(&self) -> impl Iterator<Item = Option<&Value>> {
        self.0.iter().map(Option::as_ref)
    }

    /// Takes the values out of a list of all of them, which is empty then.
    pub fn take(all: &mut Vec<Option<Value>>) -> Self {
        let set = all.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut values = ThinVec::with_capacity(set);
        values.extend(all.drain(..set));
        all.clear();
        Self(values)
    }

    /// Memory that they take beyond themselves, in bytes, without their texts.
    pub(crate) fn bytes(&self) -> usize {
        crate::bytes::thin(&self.0)
    }
}

impl From<Vec<Option<Value>>> for Properties {
    fn from(mut all: Vec<Option<Value>>) -> Self {
        Self::take(&mut all)
    }
}

impl<const N: usize> From<[Option<Value>; N]> for Properties {
    fn from(all: [Option<Value>; N]) -> Self {
        Vec::from(all).into()
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0[..].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_at_the_end_takes_nothing() {
        let one = || Some(Value::Int(1));
        let (none, two): (Properties, Properties) =
            ([None, None].into(), [None, one(), None].into());
        assert_eq!((none.iter().count(), none.bytes(), none.value(1)), (0, 0, None));
        assert!(two.iter().eq([None, one().as_ref()]));
        assert_eq!((two.value(2), two.value(9)), (None, None));
        assert_eq!(two, [None, one()].into());
        let json = serde_json::to_value(&two).unwrap();
        assert_eq!(serde_json::from_value::<Properties>(json).unwrap(), two);
        assert_eq!(size_of::<Properties>(), 8);
        let mut all = vec![one(), None];
        assert_eq!(Properties::take(&mut all), [one()].into());
        assert!(all.is_empty());
    }
}
