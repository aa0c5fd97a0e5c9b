//! The time beside a line: the person's own, whatever the server's is.
//!
//! Knows the system's time zone. Knows no line.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The local time of day, `HH:MM`.
pub(super) fn now() -> String {
    of_day(&Timestamp::now().to_zoned(TimeZone::system()))
}

/// A server's `2026-11-21 08:05 UTC` as local time. `None` if it is none.
pub(super) fn local(stamp: &str) -> Option<String> {
    in_zone(stamp, TimeZone::system())
}

fn of_day(time: &Zoned) -> String {
    time.strftime("%H:%M").to_string()
}

fn in_zone(stamp: &str, zone: TimeZone) -> Option<String> {
    let time = DateTime::strptime("%Y-%m-%d %H:%M UTC", stamp).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?.with_time_zone(zone);
    Some(time.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_server_becomes_local() {
        let east = || TimeZone::fixed(jiff::tz::offset(2));
        let local = in_zone("2026-11-21 23:05 UTC", east());
        assert_eq!(local.as_deref(), Some("2026-11-22 01:05"));
        for stamp in ["", "yesterday", "2026-11-21", "2026-13-21 08:05 UTC"] {
            assert_eq!(in_zone(stamp, east()), None, "{stamp}");
        }
    }

    #[test]
    fn a_time_of_day_has_five_characters() {
        assert_eq!(of_day(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)), "00:00");
        assert_eq!(now().len(), 5);
    }
}
