//! What the room has said since it was last flushed: each broadcast once per format, in
//! buffers that all recipients of that format share.
//!
//! Knows bytes and positions. Knows no recipient and no socket. A caught-up recipient is
//! sent the whole buffer as it is; only for those whose sockets did not take it all is the
//! buffer frozen into shared memory, once, however many they are.

use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use crate::limits;
use crate::protocol::framing::Framing;
use crate::protocol::{Event, Protocol};

/// The formats a broadcast is encoded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Terminated by line feeds, or raw bytes.
    Lines,
    /// Every message after a line feed, which the outbox may drop.
    Bursts,
}

impl Format {
    /// The format a connection of this framing hears.
    pub fn of(framing: Framing) -> Self {
        if framing.is_bursts() { Self::Bursts } else { Self::Lines }
    }
}

/// Where a broadcast stands in both formats.
#[derive(Debug, Clone)]
pub struct Place {
    lines: Range<usize>,
    bursts: Range<usize>,
}

impl Place {
    /// Where it stands in `format`.
    pub fn within(&self, format: Format) -> Range<usize> {
        match format {
            Format::Lines => self.lines.clone(),
            Format::Bursts => self.bursts.clone(),
        }
    }
}

/// The broadcasts that have not been flushed yet.
#[derive(Debug)]
pub struct Broadcasts {
    protocol: Protocol,
    lines: Vec<u8>,
    bursts: Vec<u8>,
    frozen_lines: Option<Rc<[u8]>>,
    frozen_bursts: Option<Rc<[u8]>>,
    urgency: Urgency,
    last_notice: Option<Instant>,
    /// Bytes told to one client alone since the last flush. They count as if all heard them:
    /// many could fill one client's queue together, and answers cost the loop its time.
    reply_bytes: usize,
    /// Notices since the last flush.
    notices: usize,
    /// The last flush had several.
    storm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    Nothing,
    /// Nothing but notices, which may wait until then to travel together.
    Notices(Instant),
    Now,
}

impl Broadcasts {
    /// Nothing said yet.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            lines: Vec::new(),
            bursts: Vec::new(),
            frozen_lines: None,
            frozen_bursts: None,
            urgency: Urgency::Nothing,
            last_notice: None,
            reply_bytes: 0,
            notices: 0,
            storm: false,
        }
    }

    /// Appends `event` in the formats that somebody hears.
    pub fn push(&mut self, event: &Event, in_lines: bool, in_bursts: bool, now: Instant) -> Place {
        let (lines, bursts) = (self.lines.len(), self.bursts.len());
        if in_lines {
            self.protocol.encode_for_lines(event, &mut self.lines);
        }
        if in_bursts {
            self.protocol.encode_for_bursts(event, &mut self.bursts);
        }
        let urgency = match self.urgency {
            _ if !event.is_notice() => Urgency::Now,
            // In a calm a notice goes at once; in a storm it waits for others.
            Urgency::Nothing => match self.last_notice {
                Some(last) if self.storm || last + limits::NOTICE_CALM > now => {
                    Urgency::Notices(now + limits::NOTICE_HOLD)
                }
                _ => Urgency::Now,
            },
            urgency => urgency,
        };
        self.urgency = urgency;
        if event.is_notice() {
            self.last_notice = Some(now);
            self.notices += 1;
        }
        Place { lines: lines..self.lines.len(), bursts: bursts..self.bursts.len() }
    }

    /// Whether what was said is to be flushed at `now`.
    pub fn are_due(&self, now: Instant) -> bool {
        match self.urgency {
            Urgency::Nothing => false,
            Urgency::Notices(until) => until <= now || self.is_full(),
            Urgency::Now => true,
        }
    }

    /// When notices that wait become due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.urgency {
            Urgency::Notices(until) => Some(until),
            Urgency::Nothing | Urgency::Now => None,
        }
    }

    /// Whether no more may be said before a flush: one turn must not fill anybody's queue.
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// How many more bytes may be said before a flush.
    pub fn room(&self) -> usize {
        let said = self.lines.len().max(self.bursts.len()) + self.reply_bytes;
        limits::TURN_BYTES_MAX.saturating_sub(said)
    }

    /// Counts what was told to one client alone.
    pub fn count_replies(&mut self, bytes: usize) {
        self.reply_bytes += bytes;
    }

    /// What was told to one client alone has been flushed.
    pub fn forget_replies(&mut self) {
        self.reply_bytes = 0;
    }

    /// What was said, in `format`.
    pub fn bytes(&self, format: Format) -> &[u8] {
        match format {
            Format::Lines => &self.lines,
            Format::Bursts => &self.bursts,
        }
    }

    /// The same in memory of its own, for those who have yet to be sent it.
    pub fn frozen(&mut self, format: Format) -> Rc<[u8]> {
        let (bytes, frozen) = match format {
            Format::Lines => (&self.lines, &mut self.frozen_lines),
            Format::Bursts => (&self.bursts, &mut self.frozen_bursts),
        };
        Rc::clone(frozen.get_or_insert_with(|| bytes.as_slice().into()))
    }

    /// Forgets what was flushed; the buffers are used again.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.bursts.clear();
        // Somebody may lag behind by a whole turn; that must not pin the memory for good.
        self.lines.shrink_to(limits::TURN_BYTES_MAX);
        self.bursts.shrink_to(limits::TURN_BYTES_MAX);
        self.frozen_lines = None;
        self.frozen_bursts = None;
        self.urgency = Urgency::Nothing;
        self.storm = self.notices > 1;
        self.notices = 0;
    }
}
