//! How a run is told to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

/// A flag that SIGTERM and Ctrl-C set: the run ends in order. A second signal ends it at once.
pub(super) fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    // Others may set the flag as well, as they do in a cluster: the next signal is the first then.
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: it is looked at before it is set.
        register_conditional_shutdown(signal, 1, Arc::clone(&signalled))?;
        register(signal, Arc::clone(&signalled))?;
        register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use signal_hook::low_level::raise;

    use super::*;

    /// Whoever was told to end by somebody else ends in order when the first signal comes.
    #[test]
    fn the_first_signal_ends_nothing_at_once() {
        let stop = stop_on_signals().unwrap();
        stop.store(true, Ordering::Release);
        raise(SIGTERM).unwrap();
        assert!(stop.load(Ordering::Acquire), "and this process is still there");
    }
}
