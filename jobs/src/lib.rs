//! what runs: the job file, the runtime, the braid command
