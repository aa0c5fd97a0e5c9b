//! What is to be looked at again, and when.
//!
//! Knows moments and identities. Knows nothing of what is due: a timer only says "look
//! again", and whoever looks finds out whether something is to be done, so timers are
//! never taken back. Those of a connection that has gone find nobody.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::room::ClientId;

/// Why a connection is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Timer {
    /// Silence may tell that a frame is complete.
    Silence = 1,
    /// A burst client may be written to again.
    Quiet = 2,
    /// The next message may be read.
    Rate = 4,
    /// A recipient over its soft limit may have stalled.
    Stall = 8,
    /// Closing has taken long enough.
    Ending = 16,
}

impl Timer {
    /// The bit of this kind among the timers of a connection.
    pub const fn bit(self) -> u8 {
        self as u8
    }
}

/// All timers, the next one first.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, ClientId, Timer)>>,
}

impl Timers {
    /// Sets a timer.
    pub fn set(&mut self, at: Instant, client: ClientId, timer: Timer) {
        self.heap.push(Reverse((at, client, timer)));
    }

    /// Takes the next timer that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<(ClientId, Timer)> {
        let &Reverse((at, client, timer)) = self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((client, timer))
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}
