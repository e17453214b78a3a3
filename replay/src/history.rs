//! Reads the records of bound epochs again, in the same epochs.

use connectors::bindings::Binding;
use connectors::file::{FileEntry, FileSource, FileSpec, Position, RawBatch, SourceError};

/// The files of a source as an earlier run listed them, in its order.
pub fn recorded(bindings: &[Binding], source: u16) -> Vec<FileEntry> {
    let files = bindings.iter().flat_map(|binding| &binding.files);
    files.filter(|(of, _)| *of == source).map(|(_, entry)| entry.clone()).collect()
}

/// Opens a source at its beginning, with the files of the bindings first.
///
/// # Errors
///
/// [`SourceError::Gone`] if a file of the bindings is not there as it was.
pub fn open(spec: &FileSpec, bindings: &[Binding]) -> Result<FileSource, SourceError> {
    let mut spec = spec.clone();
    spec.recorded = recorded(bindings, spec.source);
    FileSource::open(&spec, Position::default())
}

/// Hands every record of a bound epoch to `each`, source by source.
///
/// # Errors
///
/// [`SourceError::Gone`] if a source ends before the place where the epoch ended.
pub fn feed(
    binding: &Binding,
    sources: &mut [FileSource],
    records_max: usize,
    mut each: impl FnMut(RawBatch),
) -> Result<(), SourceError> {
    for (source, end) in sources.iter_mut().zip(&binding.sources) {
        while let Some(batch) = source.next_until(end.upper, records_max)? {
            each(batch);
        }
    }
    Ok(())
}
