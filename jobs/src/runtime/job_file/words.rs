//! Words that a user may have meant.

/// The word that is most like `written`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(written: &str, words: &[&'a str]) -> Option<&'a str> {
    let written = written.to_lowercase();
    let of = |word: &&'a str| (distance(&written, &word.to_lowercase()), *word);
    let (distance, word) = words.iter().map(of).min_by_key(|(distance, _)| *distance)?;
    let most = 1.max(word.chars().count() / 3);
    (distance <= most).then_some(word)
}

/// How many letters must be changed, added, left out or swapped with the next to get from `a` to
/// `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Words as a list: `a, b or c`.
pub(in crate::runtime) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases =
            [("", "abc", 3), ("abc", "abc", 0), ("nmae", "name", 1), ("kitten", "sitting", 3)];
        for (a, b, expected) in cases {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let words = ["name", "out", "funnelWindowInterval"];
        assert_eq!(nearest("NMAE", &words), Some("name"));
        assert_eq!(nearest("funnel_window_interval", &words), Some("funnelWindowInterval"));
        assert_eq!(nearest("tenant", &words), None);
        assert_eq!(nearest("tenant", &[]), None);
    }

    #[test]
    fn lists() {
        assert_eq!(listed(&["a", "b", "c"]), "a, b or c");
        assert_eq!(listed(&["a"]), "a");
    }
}
