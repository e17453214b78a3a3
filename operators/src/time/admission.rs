//! The one place where the watermark touches content.

use super::TimeConfig;
use crate::model::{Micros, Reason};

/// Whether an event is more than `future` ahead of its receive time. Such an event does not move
/// the watermark.
pub fn too_early(config: &TimeConfig, time: Micros, received: Micros) -> bool {
    time > received.saturating_add(config.future)
}

/// Admits an event at the watermark after the epoch before its own: whether it is late.
///
/// # Errors
///
/// [`Reason::TooLate`] if it is older than the watermark less `admit`.
pub fn admit(config: &TimeConfig, watermark: Micros, time: Micros) -> Result<bool, Reason> {
    if time < watermark.saturating_sub(config.admit) {
        return Err(Reason::TooLate);
    }
    Ok(time < watermark)
}
