//! The arithmetic of the tables.

/// The middle value, or the mean of the two middle ones; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// The smallest value that at least the share `of_one` of all are at or below (nearest rank); 0 of
/// none. Sorts the values.
pub fn percentile(values: &mut [f64], of_one: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (of_one * values.len() as f64).ceil() as usize;
    let place = rank.clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or(0.0)
}

/// The median of `a / b`, round by round: what disturbs one round disturbs both sides of it. Rounds
/// in which `b` is 0 do not count.
pub(super) fn median_ratio(a: &[f64], b: &[f64]) -> f64 {
    let rounds = a.iter().zip(b).filter(|(_, b)| **b != 0.0);
    let ratios: Vec<f64> = rounds.map(|(a, b)| a / b).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!(close(median(&[]), 0.0));
        assert!(close(median(&[3.0]), 3.0));
        assert!(close(median(&[9.0, 1.0, 5.0]), 5.0));
        assert!(close(median(&[4.0, 1.0, 100.0, 2.0]), 3.0));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!(close(percentile(&mut hundred, 0.5), 50.0));
        assert!(close(percentile(&mut hundred, 0.99), 99.0));
        assert!(close(percentile(&mut hundred, 1.0), 100.0));
        assert!(close(percentile(&mut hundred, 0.0), 1.0));
        assert!(close(percentile(&mut [7.0], 0.99), 7.0));
        assert!(close(percentile(&mut [], 0.5), 0.0));
    }

    #[test]
    fn ratios_are_of_one_round() {
        // The second round was disturbed: both sides took ten times as long.
        assert!(close(median_ratio(&[1.0, 10.0, 1.2], &[2.0, 20.0, 2.0]), 0.5));
        assert!(close(median_ratio(&[1.0, 3.0], &[0.0, 2.0]), 1.5));
        assert!(close(median_ratio(&[], &[]), 0.0));
    }
}
