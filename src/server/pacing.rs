//! Who must wait so that others need not: messages per client, and bulk senders.
//!
//! Knows moments, addresses and byte counts. Knows no socket and no queue. Nobody's bytes
//! are ever dropped here: who must wait is not read from, and TCP pushes back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::recent_writes::RecentWrites;
use crate::limits;

/// How many messages a client has sent of late, as the moment at which it will have
/// recovered (the generic cell rate algorithm).
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageMeter {
    recovered_at: Option<Instant>,
}

/// The limit of messages per client.
#[derive(Debug, Clone, Copy)]
pub struct MessageRate {
    /// Messages at once.
    pub burst: u32,
    /// Messages a second after that.
    pub per_second: u32,
}

impl MessageRate {
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

impl MessageMeter {
    /// When the next message may be read, if not now.
    pub fn wait_until(self, rate: MessageRate, now: Instant) -> Option<Instant> {
        let tolerance = rate.interval() * rate.burst.saturating_sub(1);
        self.recovered_at?.checked_sub(tolerance).filter(|&at| at > now)
    }

    /// Counts a message.
    pub fn count(&mut self, rate: MessageRate, now: Instant) {
        let from = self.recovered_at.map_or(now, |at| at.max(now));
        self.recovered_at = Some(from + rate.interval());
    }
}

/// How many bytes a client has sent to the room of late.
#[derive(Debug, Clone, Copy, Default)]
pub struct BulkMeter {
    since: Option<Instant>,
    bytes: usize,
}

impl BulkMeter {
    /// Counts `bytes` that went to the room.
    pub fn count(&mut self, bytes: usize, now: Instant) {
        if self.since.is_none_or(|since| since + limits::BULK_WINDOW <= now) {
            *self = Self { since: Some(now), bytes: 0 };
        }
        self.bytes += bytes;
    }

    /// Whether the client sends more than people type.
    pub fn is_bulk(self, now: Instant) -> bool {
        self.bytes > limits::BULK_BYTES
            && self.since.is_some_and(|since| since + limits::BULK_WINDOW > now)
    }

    /// The window begins anew and is full: who was held goes on as a bulk sender.
    pub fn remain_bulk(&mut self, now: Instant) {
        *self = Self { since: Some(now), bytes: limits::BULK_BYTES + 1 };
    }
}

/// What a client has sent of late, or was sent alone. Who only listens has none.
#[derive(Debug, Default)]
pub struct Activity {
    /// Bytes that went to the room.
    pub bulk: BulkMeter,
    /// Messages, where they are counted.
    pub messages: MessageMeter,
    /// Bytes that others said to it alone.
    private: Option<Box<RecentWrites>>,
}

impl Activity {
    /// Others have said `bytes` to it alone.
    pub fn note_private(&mut self, bytes: usize, now: Instant) {
        self.private.get_or_insert_default().note(bytes, now);
    }

    /// How many bytes of late.
    pub fn private_bytes(&self, now: Instant) -> u64 {
        self.private.as_ref().map_or(0, |private| private.bytes(now))
    }
}

/// Which recipients make bulk senders wait.
#[derive(Debug, Default)]
pub struct BulkHold {
    /// Addresses with recipients over their soft limit, and how long each has made bulk
    /// senders wait in its period.
    addresses: HashMap<IpAddr, Hold>,
    /// Recipients over their soft limit.
    over_soft: usize,
    updated_at: Option<Instant>,
    /// Whether bulk senders are to wait, as of the last update.
    holds: bool,
}

#[derive(Debug)]
struct Hold {
    recipients: usize,
    spent: Duration,
    period_began: Instant,
}

impl BulkHold {
    /// A recipient of `address` has more than its soft limit to read.
    pub fn over_soft(&mut self, address: IpAddr, now: Instant) {
        self.over_soft += 1;
        let new = || Hold { recipients: 0, spent: Duration::ZERO, period_began: now };
        self.addresses.entry(address).or_insert_with(new).recipients += 1;
    }

    /// It no longer has, or is gone.
    pub fn recovered(&mut self, address: IpAddr) {
        self.over_soft = self.over_soft.saturating_sub(1);
        if let Some(hold) = self.addresses.get_mut(&address) {
            hold.recipients = hold.recipients.saturating_sub(1);
        }
    }

    /// Brings the times up to `now`; `holding`: bulk senders were waiting since the last.
    pub fn update(&mut self, holding: bool, now: Instant) {
        let updated_at = self.updated_at.replace(now).unwrap_or(now);
        if self.addresses.is_empty() {
            self.holds = false;
            return;
        }
        self.addresses.retain(|_, hold| {
            if holding && hold.recipients > 0 {
                hold.spent += now.saturating_duration_since(updated_at);
            }
            if hold.period_began + limits::BULK_HOLD_PERIOD <= now {
                hold.period_began = now;
                hold.spent = Duration::ZERO;
            }
            hold.recipients > 0 || !hold.spent.is_zero()
        });
        let holds = |hold: &Hold| hold.recipients > 0 && hold.spent < limits::BULK_HOLD;
        self.holds = self.over_soft > 0 && self.addresses.values().any(holds);
    }

    /// Whether bulk senders are to wait, as of the last update.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// When the last address that holds them has had its time.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let left = |hold: &Hold| limits::BULK_HOLD.saturating_sub(hold.spent);
        let holding = self.addresses.values().filter(|hold| hold.recipients > 0);
        holding.map(left).filter(|left| !left.is_zero()).max().map(|left| now + left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn a_burst_of_messages_then_a_steady_rate() {
        let rate = MessageRate { burst: 20, per_second: 10 };
        let (mut meter, now) = (MessageMeter::default(), Instant::now());
        for _ in 0..20 {
            assert_eq!(meter.wait_until(rate, now), None);
            meter.count(rate, now);
        }
        let next = now + Duration::from_millis(100);
        assert_eq!(meter.wait_until(rate, now), Some(next));
        assert_eq!(meter.wait_until(rate, next), None);
    }

    #[test]
    fn only_who_sends_much_within_the_window_is_a_bulk_sender() {
        let (mut meter, now) = (BulkMeter::default(), Instant::now());
        meter.count(limits::BULK_BYTES, now);
        assert!(!meter.is_bulk(now));
        meter.count(1, now);
        assert!(meter.is_bulk(now));
        assert!(!meter.is_bulk(now + limits::BULK_WINDOW));
        meter.remain_bulk(now + limits::BULK_WINDOW);
        assert!(meter.is_bulk(now + limits::BULK_WINDOW));
    }

    #[test]
    fn an_address_holds_bulk_senders_for_so_long_a_minute() {
        let (mut hold, now) = (BulkHold::default(), Instant::now());
        hold.update(false, now);
        hold.over_soft(HERE, now);
        hold.update(false, now);
        assert!(hold.holds());
        assert_eq!(hold.deadline(now), Some(now + limits::BULK_HOLD));
        hold.update(false, now + limits::BULK_HOLD);
        assert!(hold.holds(), "nobody was waiting");
        let spent = now + 2 * limits::BULK_HOLD;
        hold.update(true, spent);
        assert!(!hold.holds(), "its time is spent");
        hold.recovered(HERE);
        hold.over_soft(HERE, spent);
        hold.update(true, spent);
        assert!(!hold.holds(), "nor by starting anew");
        hold.update(false, now + limits::BULK_HOLD_PERIOD);
        assert!(hold.holds(), "another period");
    }
}
