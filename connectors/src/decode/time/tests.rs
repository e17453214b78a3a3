//! Times against jiff, which reads them by other code.

use super::*;

fn micros(text: &str) -> Option<Micros> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

#[test]
fn rfc3339_agrees_with_jiff() {
    for text in [
        "1970-01-01T00:00:00Z",
        "2024-02-29T23:59:59.999999Z",
        "2026-03-01t12:00:00z",
        "2026-03-01 12:00:00.5+01:00",
        "2026-03-01T12:00:00.123456-11:30",
        "2000-02-29T00:00:00+23:59",
        "1600-12-31T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-30T21:59:59Z",
        "2016-12-31T23:59:60Z",
    ] {
        assert_eq!(TimeFormat::Rfc3339.read_text(text), micros(text), "{text}");
        assert!(micros(text).is_some(), "{text}");
    }
    assert_eq!(
        TimeFormat::Rfc3339.read_text("2026-03-01T12:00:00+0130"),
        micros("2026-03-01T12:00:00+01:30")
    );
    assert_eq!(TimeFormat::Rfc3339.read_text("2026-03-01T12:00:00.1234569Z").unwrap() % 10, 6);
}

#[test]
fn every_day_of_eight_centuries_agrees_with_jiff() {
    let mut day = jiff::civil::date(1600, 1, 1);
    while day.year() < 2401 {
        let zoned = TimeZone::UTC.to_zoned_datetime(day.at(1, 2, 3, 0)).unwrap();
        let text = format!("{day}T01:02:03Z");
        let expected = zoned.timestamp().as_microsecond();
        assert_eq!(TimeFormat::Rfc3339.read_text(&text), Some(expected), "{text}");
        day = day.tomorrow().unwrap();
    }
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "2026",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-13-01T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-04-31T12:00:00Z",
        "2026-03-00T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:61Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00+1:00",
        "2026-03-01T12:00:00Zx",
        "2026-03-01X12:00:00Z",
        "0000-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
        "ä026-03-01T12:00:00Z",
    ] {
        assert_eq!(TimeFormat::Rfc3339.read_text(text), None, "{text}");
    }
    assert_eq!(TimeFormat::Rfc3339.read_int(5), None);
    assert_eq!(TimeFormat::UnixS.read_float(f64::NAN), None);
    assert_eq!(TimeFormat::UnixS.read_float(f64::INFINITY), None);
    assert_eq!(TimeFormat::UnixS.read_int(i64::MAX), None);
    assert_eq!(TimeFormat::UnixMs.read_text("99999999999999999999"), None);
    assert_eq!(TimeFormat::UnixMs.read_text("1e3"), None);
    assert_eq!(TimeFormat::UnixMs.read_text("--1"), None);
}

#[test]
fn unix_times_of_every_unit() {
    assert_eq!(TimeFormat::UnixS.read_text("1787418392"), Some(1_787_418_392_000_000));
    assert_eq!(TimeFormat::UnixS.read_text("1787418392.1234567"), Some(1_787_418_392_123_456));
    assert_eq!(TimeFormat::UnixS.read_text("-1.5"), Some(-1_500_000));
    assert_eq!(TimeFormat::UnixMs.read_text("1787418392123.4"), Some(1_787_418_392_123_400));
    assert_eq!(TimeFormat::UnixUs.read_text("17.9"), Some(17));
    assert_eq!(TimeFormat::UnixMs.read_int(17), Some(17_000));
    assert_eq!(TimeFormat::UnixS.read_float(1_787_418_392.25), Some(1_787_418_392_250_000));
}

#[test]
fn naive_times_in_a_zone() {
    let berlin = TimeFormat::parse("naive", Some("Europe/Berlin")).unwrap();
    assert_eq!(berlin.read_text("2026-07-01 12:00:00.25"), micros("2026-07-01T10:00:00.25Z"));
    assert_eq!(berlin.read_text("2026-01-01T12:00:00"), micros("2026-01-01T11:00:00Z"));
    // Skipped: moved on by the gap. Twice: the first.
    assert_eq!(berlin.read_text("2026-03-29 02:30:00"), micros("2026-03-29T01:30:00Z"));
    assert_eq!(berlin.read_text("2026-10-25 02:30:00"), micros("2026-10-25T00:30:00Z"));
    assert_eq!(berlin.read_text("2026-07-01 12:00:00Z"), None);
    let utc = TimeFormat::parse("%Y-%m-%d %H:%M:%S", Some("UTC")).unwrap();
    assert_eq!(utc.read_text("2024-03-13 10:21:14"), micros("2024-03-13T10:21:14Z"));
}

#[test]
fn patterns() {
    let german = TimeFormat::parse("%d.%m.%Y %H:%M", Some("Europe/Berlin")).unwrap();
    assert_eq!(german.read_text("01.07.2026 12:00"), micros("2026-07-01T10:00:00Z"));
    assert_eq!(german.read_text("31.02.2026 12:00"), None);
    let offset = TimeFormat::parse("%d/%b/%Y:%H:%M:%S %z", None).unwrap();
    assert_eq!(offset.read_text("10/Oct/2026:13:55:36 -0700"), micros("2026-10-10T20:55:36Z"));
    assert!(matches!(TimeFormat::parse("%H:%M", Some("UTC")), Err(TimeFormatError::Pattern(..))));
    let needs = TimeFormat::parse("%d.%m.%Y %H:%M", None);
    assert!(matches!(needs, Err(TimeFormatError::NeedsZone(_))));
    assert!(matches!(TimeFormat::parse("naive", None), Err(TimeFormatError::NeedsZone(_))));
    assert!(matches!(TimeFormat::parse("unix_s", Some("UTC")), Err(TimeFormatError::NoZone(_))));
    let zone = TimeFormat::parse("naive", Some("Europe/Nowhere"));
    assert!(matches!(zone, Err(TimeFormatError::Zone(_))));
    assert!(matches!(TimeFormat::parse("iso", None), Err(TimeFormatError::Unknown(_))));
}
