//! scenarios, oracles, crashes
