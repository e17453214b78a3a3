//! Which of the fields that a job maps no record has: most likely their names are misspelt.

use super::raw::Raw;
use super::{DecodeSpec, Decoder, FieldMap, FieldPath, FieldSource, FieldValue};

impl Decoder {
    /// From now on notes which fields records have; see [`Decoder::missing`].
    pub fn note_fields(&mut self) {
        self.found = Some(vec![false; self.plan.slots]);
    }

    pub(super) fn note(&mut self, slots: &[Raw<'_>]) {
        for (found, slot) in self.found.iter_mut().flatten().zip(slots) {
            *found |= match slot {
                Raw::Absent => false,
                Raw::Str(text) | Raw::Field(text) => !text.is_empty(),
                _ => true,
            };
        }
    }

    /// The envelope fields that the spec takes from a field of the record's value, and that field,
    /// where the job asks for them and no record since [`Decoder::note_fields`] had it.
    pub fn missing(&self, spec: &DecodeSpec) -> Vec<(FieldPath, FieldPath)> {
        // Where nothing could be read, all of it is wrong and not some names.
        let Some(found) = self.found.as_ref().filter(|found| found.contains(&true)) else {
            return Vec::new();
        };
        let is_missing = |path: &FieldPath| {
            let slots = self.plan.in_value.iter().filter(|(_, of)| of.below(path).is_some());
            let had: Vec<bool> = slots.map(|(slot, _)| found[*slot]).collect();
            !had.is_empty() && !had.contains(&true)
        };
        let sources = |map: &FieldMap| match &map.value {
            FieldValue::From(source) => vec![source.clone()],
            FieldValue::Concat { parts, .. } => parts.clone(),
            FieldValue::Const(_) => Vec::new(),
        };
        let mut missing = Vec::new();
        for map in &spec.fields {
            for source in sources(map) {
                if let FieldSource::Value(path) = source
                    && is_missing(&path)
                {
                    missing.push((map.target.clone(), path));
                }
            }
        }
        missing
    }
}
