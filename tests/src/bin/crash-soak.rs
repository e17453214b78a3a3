//! Kills a job and its broker as often as asked for, story after story, and checks each of them.
//! `crash-soak KILLS [SEED]`; needs `braid-tested` beside it.

use std::process::ExitCode;
use std::time::Instant;

use braid_tests::kafka::{Cluster, Story, shared};
use connectors::moments::Moment;
use operators::identity::testing::Seeded;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let kills: Option<u64> = arguments.next().and_then(|kills| kills.parse().ok());
    let seed: Option<u64> = arguments.next().map_or(Some(1), |seed| seed.parse().ok());
    let (Some(kills), Some(mut seed)) = (kills, seed) else {
        eprintln!("crash-soak KILLS [SEED]");
        return ExitCode::from(2);
    };
    let braid = std::env::current_exe().expect("a path").with_file_name("braid-tested");
    let (begun, mut done) = (Instant::now(), 0);
    while done < kills {
        let mut random = Seeded(seed);
        let with_broker = random.once_in(4);
        let killed =
            if with_broker { with_broker_killed(&braid, seed) } else { alone(&braid, seed) };
        done += killed;
        let seconds = begun.elapsed().as_secs();
        println!("seed {seed}: {killed} kills, {done} in all, {seconds} s");
        seed += 1;
    }
    ExitCode::SUCCESS
}

/// A story in which the job alone is killed.
fn alone(braid: &std::path::Path, seed: u64) -> u64 {
    let (mut story, mut random) = (Story::begin(braid, shared(), seed), Seeded(seed));
    for _ in 0..40 {
        let moment = random.pick(&Moment::ALL);
        match moment {
            Moment::Fenced => story.kill_at(moment, 1),
            _ if random.once_in(2) => story.kill_at_random(),
            _ => story.kill_at(moment, 1 + random.below(6)),
        }
    }
    let kills = story.kills();
    story.finish();
    kills
}

/// A story in which the broker is killed too.
fn with_broker_killed(braid: &std::path::Path, seed: u64) -> u64 {
    let mut cluster = Cluster::start(1);
    let (mut story, mut random) = (Story::begin(braid, &cluster, seed), Seeded(seed));
    for _ in 0..12 {
        let moments = [Moment::Bound, Moment::TopicSent, Moment::TopicProgress];
        if random.once_in(3) {
            story.kill_broker_at_random(&mut cluster);
        } else {
            story.kill_broker_at(&mut cluster, random.pick(&moments), 1 + random.below(3));
        }
    }
    let kills = story.kills();
    story.finish();
    kills
}
