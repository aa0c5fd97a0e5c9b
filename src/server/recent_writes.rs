//! How many bytes were written of late: to everyone, or to one client alone.
//!
//! Knows moments and counts. Knows no socket: what is said to everyone is counted once, so
//! that it costs nothing per recipient. Together with how many bytes the peer has not
//! acknowledged this tells whether the first of them is old: bytes are acknowledged in the
//! order in which they were written. The system's own clocks do not tell. The time of the
//! last transmission moves with each repetition; the number of repetitions and the pause
//! between them, from which their beginning could be reckoned, say nothing once a router, or
//! this machine itself when its neighbour answers no more, reports the peer unreachable: then
//! Linux takes the doubling of the pause back (RFC 6069).

use std::time::{Duration, Instant};

use crate::limits;

const SLOT: Duration = limits::GHOST_SLACK;
/// As many as fit the wait, and the one at hand.
const SLOTS: usize = (limits::GHOST_WAIT.as_millis() / SLOT.as_millis()) as usize + 1;

/// Counts of bytes, one for each stretch of time.
#[derive(Debug, Default)]
pub(super) struct RecentWrites {
    /// When the stretch at hand began.
    began: Option<Instant>,
    /// That stretch first, then back in time.
    bytes: [u32; SLOTS],
}

impl RecentWrites {
    /// Counts `bytes`.
    pub(super) fn note(&mut self, bytes: usize, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age >= SLOT {
            let stretches = SLOTS.min((age.as_millis() / SLOT.as_millis()) as usize);
            self.began =
                Some(if stretches < SLOTS { began + SLOT * stretches as u32 } else { now });
            self.bytes.rotate_right(stretches);
            self.bytes[..stretches].fill(0);
        }
        self.bytes[0] = self.bytes[0].saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// All bytes counted within `limits::GHOST_WAIT`, and
    /// perhaps some of up to `limits::GHOST_SLACK` before.
    pub(super) fn bytes(&self, now: Instant) -> u64 {
        let Some(began) = self.began else { return 0 };
        let age = now.saturating_duration_since(began);
        let ends = (0..).map(|slot| age + SLOT * slot);
        let recent = ends.take_while(|&end| end < limits::GHOST_WAIT + SLOT);
        self.bytes.iter().zip(recent).map(|(&bytes, _)| u64::from(bytes)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = limits::GHOST_WAIT;
    const INSTANT: Duration = Duration::from_millis(1);

    #[test]
    fn bytes_are_recent_for_the_wait_and_hardly_longer() {
        let start = Instant::now();
        // Wherever in a stretch they are written.
        for offset in (0..60).map(|tenths| Duration::from_millis(100 * tenths)) {
            let mut writes = RecentWrites::default();
            assert_eq!(writes.bytes(start), 0);
            writes.note(5, start);
            let at = start + offset;
            writes.note(7, at);
            assert_eq!(writes.bytes(at), 12);
            assert!(writes.bytes(at + WAIT - INSTANT) >= 7, "{offset:?}");
            assert_eq!(writes.bytes(at + WAIT + SLOT), 0, "{offset:?}");
        }
    }

    #[test]
    fn a_stream_is_counted_over_the_wait() {
        let start = Instant::now();
        let mut writes = RecentWrites::default();
        let second = Duration::from_secs(1);
        for seconds in 0..100 {
            writes.note(1, start + second * seconds);
            let recent = writes.bytes(start + second * seconds);
            let least = u64::from(seconds + 1).min(WAIT.as_secs());
            assert!((least..=least + SLOT.as_secs()).contains(&recent), "{seconds}: {recent}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let start = Instant::now();
        let mut writes = RecentWrites::default();
        writes.note(usize::MAX, start);
        assert_eq!(writes.bytes(start), u64::from(u32::MAX), "no more are ever in a buffer");
        let later = start + Duration::from_secs(1_000_000_007);
        writes.note(1, later);
        assert_eq!(writes.bytes(later), 1);
        assert_eq!(writes.bytes(start), 1, "time never goes backwards, but nothing breaks");
    }
}
