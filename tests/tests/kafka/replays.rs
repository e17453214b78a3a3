//! `braid replay` over topics: beside the running job, into topics of its own, and as what the job
//! is switched to.

use std::path::Path;

use braid_tests::kafka::{Story, shared};

#[test]
fn a_replay_runs_beside_the_job_and_is_switched_to() {
    let braid = Path::new(env!("CARGO_BIN_EXE_braid-tested"));
    let mut story = Story::begin(braid, shared(), 21);
    story.run(300);
    let again = story.prefix("again");
    // While records come and are published.
    story.run_beside(200, |story| {
        story.replay(&["again", "--prefix", &again, "--workers", "1"]);
        story.replay(&["new", "--set", "identity.type.email.owners_max=1"]);
    });
    // And to the end of what the job has bound.
    story.replay(&["again", "--prefix", &again]);
    story.assert_published(&again);
    story.change("owners_max = 2", "owners_max = 1");
    story.replay(&["new", "--switch"]);
    story.finish();
}
