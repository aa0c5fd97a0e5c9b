//! Durations as people type and read them.
//!
//! Knows text and durations, and nothing of what they are for.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// A duration as typed: `90s`, `10m`, `2h`, `7d`, `1h30m`; a bare number is seconds. At
/// least a second, at most ten years.
pub fn duration(text: &str) -> Option<Duration> {
    const MOST: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let span: Span = text.parse().ok()?;
            span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()?
        }
    };
    (Duration::from_secs(1)..=MOST).contains(&duration).then_some(duration)
}

/// The same for people to read: `10m`, `1h 30m`.
pub fn shown(duration: Duration) -> String {
    let days = duration.as_secs() / 86_400;
    let rest = duration.as_secs() % 86_400;
    match (days, rest) {
        (0, rest) => format!("{:#}", SignedDuration::from_secs(rest as i64)),
        (days, 0) => format!("{days}d"),
        (days, rest) => format!("{days}d {:#}", SignedDuration::from_secs(rest as i64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("30s", 30),
            ("90", 90),
            ("10m", 600),
            ("2h", 7_200),
            ("7d", 604_800),
            ("1h30m", 5_400),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0", "-5s", "soon", "1 month", "100000d"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(shown(Duration::from_secs(5_400)), "1h 30m");
        assert_eq!(shown(Duration::from_secs(90_000)), "1d 1h");
    }
}
