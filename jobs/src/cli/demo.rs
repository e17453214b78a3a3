//! `braid demo`.
use std::path::Path;
/// Shows what braid is for.
pub(super) fn demo(_dir: &Path) -> u8 {
    1
}
