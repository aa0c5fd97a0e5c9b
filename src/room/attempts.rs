//! How often an address may try to log in or sign up (`promises.md`, the rows about
//! log-in failures and sign-ups).
//!
//! Knows addresses, user names and moments. Knows no connection and no password. Who has
//! tried too often is told when to try again: it waits, it is never told a lie.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Meter {
    /// Wrong log-ins of an address to one user name (by its keyed hash).
    Failures(IpAddr, u64),
    /// Wrong log-ins of an address.
    AddressFailures(IpAddr),
    /// Sign-ups of an address.
    SignUps(IpAddr),
}

impl Meter {
    /// How many at once, and the time for one more.
    const fn rate(self) -> (u32, Duration) {
        match self {
            Self::Failures(..) => (limits::LOGIN_FAILURES_BURST, limits::LOGIN_FAILURE_INTERVAL),
            Self::AddressFailures(_) => {
                (limits::ADDRESS_FAILURES_BURST, limits::ADDRESS_FAILURE_INTERVAL)
            }
            Self::SignUps(_) => (limits::SIGN_UPS_BURST, limits::SIGN_UP_INTERVAL),
        }
    }
}

/// An attempt that was begun, to be taken back if it turns out not to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    meters: [Option<Meter>; 2],
}

impl Attempt {
    /// One that is never counted: the address is exempt.
    pub(super) const UNCOUNTED: Self = Self { meters: [None, None] };
}

/// The attempts of all addresses. Each meter is one moment: when it will have recovered
/// (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub(super) struct Attempts {
    recovered_at: HashMap<Meter, Instant>,
    hasher: RandomState,
}

impl Attempts {
    /// A log-in of `address` as `user_name`.
    pub(super) fn log_in(&self, address: IpAddr, user_name: &str) -> Attempt {
        let user = self.hasher.hash_one(user_name);
        Attempt {
            meters: [Some(Meter::Failures(address, user)), Some(Meter::AddressFailures(address))],
        }
    }

    /// A sign-up of `address`.
    pub(super) fn sign_up(&self, address: IpAddr) -> Attempt {
        Attempt { meters: [Some(Meter::SignUps(address)), None] }
    }

    /// When `attempt` may begin, if not now.
    pub(super) fn wait_until(&self, attempt: Attempt, now: Instant) -> Option<Instant> {
        let allowed_at = |meter: Meter| {
            let (burst, interval) = meter.rate();
            let recovered_at = *self.recovered_at.get(&meter)?;
            recovered_at.checked_sub(interval * (burst - 1)).filter(|&at| at > now)
        };
        attempt.meters.into_iter().flatten().filter_map(allowed_at).max()
    }

    /// Counts `attempt`, which begins now. A log-in counts as wrong until it is known.
    pub(super) fn count(&mut self, attempt: Attempt, now: Instant) {
        for meter in attempt.meters.into_iter().flatten() {
            if self.recovered_at.len() >= limits::ATTEMPTS_REMEMBERED {
                self.forget(now);
            }
            let recovered_at = self.recovered_at.entry(meter).or_insert(now);
            *recovered_at = (*recovered_at).max(now) + meter.rate().1;
        }
    }

    /// Takes back an attempt that was counted.
    pub(super) fn take_back(&mut self, attempt: Attempt) {
        for meter in attempt.meters.into_iter().flatten() {
            if let Some(recovered_at) = self.recovered_at.get_mut(&meter)
                && let Some(earlier) = recovered_at.checked_sub(meter.rate().1)
            {
                *recovered_at = earlier;
            }
        }
    }

    /// Forgets meters that have recovered, or else the one nearest to it.
    fn forget(&mut self, now: Instant) {
        self.recovered_at.retain(|_, &mut at| at > now);
        if self.recovered_at.len() >= limits::ATTEMPTS_REMEMBERED {
            let nearest = self.recovered_at.iter().min_by_key(|(_, at)| **at).map(|(m, _)| *m);
            if let Some(nearest) = nearest {
                self.recovered_at.remove(&nearest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn five_wrong_log_ins_then_one_every_twelve_seconds() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let attempt = attempts.log_in(HERE, "owner");
        for _ in 0..limits::LOGIN_FAILURES_BURST {
            assert_eq!(attempts.wait_until(attempt, now), None);
            attempts.count(attempt, now);
        }
        let next = now + limits::LOGIN_FAILURE_INTERVAL;
        assert_eq!(attempts.wait_until(attempt, now), Some(next));
        assert_eq!(attempts.wait_until(attempt, next), None);
        assert_eq!(attempts.wait_until(attempts.log_in(THERE, "owner"), now), None, "not locked");
        assert_eq!(attempts.wait_until(attempts.log_in(HERE, "other"), now), None);
    }

    #[test]
    fn right_log_ins_do_not_count() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let attempt = attempts.log_in(HERE, "owner");
        for _ in 0..1_000 {
            assert_eq!(attempts.wait_until(attempt, now), None);
            attempts.count(attempt, now);
            attempts.take_back(attempt);
        }
    }

    #[test]
    fn an_address_has_sixty_failures_whatever_the_names() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for user in 0..limits::ADDRESS_FAILURES_BURST {
            let attempt = attempts.log_in(HERE, &format!("user{user}"));
            assert_eq!(attempts.wait_until(attempt, now), None);
            attempts.count(attempt, now);
        }
        let next = now + limits::ADDRESS_FAILURE_INTERVAL;
        assert_eq!(attempts.wait_until(attempts.log_in(HERE, "new"), now), Some(next));
        assert_eq!(attempts.wait_until(attempts.log_in(THERE, "new"), now), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for bits in 0..(limits::ATTEMPTS_REMEMBERED as u32 + 10) {
            let address = IpAddr::V4(bits.into());
            attempts.count(attempts.sign_up(address), now + Duration::from_micros(bits.into()));
        }
        assert!(attempts.recovered_at.len() <= limits::ATTEMPTS_REMEMBERED);
    }
}
