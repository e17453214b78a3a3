//! A whole job, and its broker, killed at random times and at every moment there is.

use std::path::Path;

use braid_tests::kafka::{Cluster, Story, shared};
use connectors::moments::Moment;

fn braid() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_braid-tested"))
}

#[test]
fn killed_at_random_times() {
    let mut story = Story::begin(braid(), shared(), 1);
    for _ in 0..24 {
        story.kill_at_random();
    }
    assert_eq!(story.kills(), 24);
    story.finish();
}

/// The first time that a moment comes, and a later one.
#[test]
fn killed_at_every_moment() {
    let mut story = Story::begin(braid(), shared(), 2);
    for (place, moment) in (0..).zip(Moment::ALL) {
        story.kill_at(moment, 1);
        // Producers are fenced off once in a life.
        let later = if moment == Moment::Fenced { 1 } else { 2 + place % 4 };
        story.kill_at(moment, later);
    }
    assert_eq!(story.kills(), 2 * Moment::ALL.len() as u64);
    story.finish();
}

/// What a change of the job has changed is published once, in topics and tables, whenever the run
/// that publishes it is killed.
#[test]
fn killed_while_a_change_of_the_job_is_published() {
    let mut story = Story::begin(braid(), shared(), 4);
    story.run(300);
    story.change("owners_max = 2", "owners_max = 1");
    for moment in [Moment::Bound, Moment::TopicSent, Moment::TopicProgress, Moment::TopicCommitted]
    {
        story.kill_at(moment, 1);
    }
    story.run(100);
    story.change("funnelWindowInterval = 3", "funnelWindowInterval = 1");
    for moment in [Moment::TopicCommitted, Moment::TableFile, Moment::TableCommitted] {
        story.kill_at(moment, 1);
    }
    assert_eq!(story.kills(), 7);
    story.finish();
}

/// What stands in topics is told by changelogs only: nothing can be said without them.
#[test]
fn a_changelog_is_gone_while_topics_lack_a_change() {
    let mut story = Story::begin(braid(), shared(), 5);
    story.run(200);
    story.change("owners_max = 2", "owners_max = 1");
    story.refused_without("changelog/events", "as it was");
    story.kill_at(Moment::TopicSent, 1);
    story.refused_without("changelog/events", "which tell what stands there; restore them");
    story.run(50);
    story.finish();
}

/// The broker goes while the job is in the middle of something, and the job afterwards.
#[test]
fn killed_with_its_broker() {
    let mut cluster = Cluster::start(1);
    let mut story = Story::begin(braid(), &cluster, 3);
    let moments = [
        Moment::Fenced,
        Moment::Bound,
        Moment::TopicBegun,
        Moment::TopicSent,
        Moment::TopicDrained,
        Moment::TopicProgress,
        Moment::TopicCommitted,
    ];
    for moment in moments {
        story.kill_broker_at(&mut cluster, moment, 1);
    }
    story.kill_broker_at_random(&mut cluster);
    assert_eq!(story.kills(), 17);
    story.finish();
}
