//! A run that ends or stands still at a given moment, for tests of crashes.

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

/// Reads `MOMENT:COUNT:kill` or `MOMENT:COUNT:stop`.
pub(super) fn parse(text: &str) -> Result<CrashAt, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [moment, count, act] = parts[..] else {
        return Err("write MOMENT:COUNT:kill or MOMENT:COUNT:stop".to_owned());
    };
    let words = Moment::ALL.map(Moment::word).join(", ");
    let moment =
        Moment::from_word(moment).ok_or_else(|| format!("no such moment; write one of {words}"))?;
    let count = count.parse().map_err(|_| "COUNT is no number; write 1 or more".to_owned())?;
    let act = match act {
        "kill" => kill,
        "stop" => stop,
        _ => return Err("write kill or stop after COUNT".to_owned()),
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
