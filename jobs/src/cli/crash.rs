//! A run that ends, stands still or panics at a given moment, for tests of crashes.

use connectors::moments::{Moment, arm};
use signal_hook::consts::{SIGKILL, SIGSTOP};
use signal_hook::low_level::raise;

/// When to send oneself which signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrashAt {
    moment: Moment,
    count: u64,
    act: fn(),
}

impl CrashAt {
    /// From now on.
    pub(super) fn arm(self) {
        arm(self.moment, self.count, self.act);
    }
}

fn kill() {
    // Whether the signal can't be sent is seen by whoever waits for it.
    let _ = raise(SIGKILL);
}

fn stop() {
    let _ = raise(SIGSTOP);
}

fn panic() {
    // As a worker does whose invariants don't hold: that is what tests want to see.
    panic!("as it was told to");
}

/// Reads `MOMENT:COUNT:kill`, `MOMENT:COUNT:stop` or `MOMENT:COUNT:panic`.
pub(super) fn parse(text: &str) -> Result<CrashAt, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [moment, count, act] = parts[..] else {
        return Err("write MOMENT:COUNT:kill, with stop or panic as it may be".to_owned());
    };
    let words = Moment::ALL.map(Moment::word).join(", ");
    let moment =
        Moment::from_word(moment).ok_or_else(|| format!("no such moment; write one of {words}"))?;
    let count = count.parse().map_err(|_| "COUNT is no number; write 1 or more".to_owned())?;
    let act = match act {
        "kill" => kill,
        "stop" => stop,
        "panic" => panic,
        _ => return Err("write kill, stop or panic after COUNT".to_owned()),
    };
    Ok(CrashAt { moment, count, act })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_a_count_and_what_to_do() {
        let at = parse("topic-sent:3:kill").expect("this is how it is written");
        assert_eq!((at.moment, at.count), (Moment::TopicSent, 3));
        for wrong in ["", "topic-sent", "topic-sent:x:kill", "never:1:kill", "bound:1:wait"] {
            parse(wrong).expect_err(wrong);
        }
    }
}
