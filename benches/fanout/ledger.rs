//! What was said, and the check of every delivery against it: in order, once, none lost.
//!
//! Knows messages, recipients and times as numbers. Knows no socket and no clock. A
//! delivery costs one comparison of all its bytes with those expected and a few counters,
//! no allocation and no parsing: the harness must be cheaper than what it measures.

use std::fmt;

use hdrhistogram::Histogram;

use crate::dialect::{SPEAKER_MARK, SPEAKERS_MAX};
use crate::subjects::Subject;
use crate::visits::Visits;

/// Messages of one speaker that may be under way; a power of two.
const UNDER_WAY_MAX: usize = 1_024;
/// Longest line, other than a delivery, that is waited for.
const ASIDE_BYTES_MAX: usize = 512;

/// Why a phase gives no figures.
#[derive(Debug)]
pub enum Failure {
    /// A recipient heard something else than what comes next in the room's order.
    WrongDelivery {
        /// Who heard it.
        member: usize,
        /// What was heard.
        heard: String,
    },
    /// Recipients heard the speakers in different orders.
    DifferentOrders,
    /// More messages under way than can be kept apart.
    FellBehind,
    /// Not everything was heard in time.
    Deadline {
        /// Deliveries or log-ins outstanding.
        missing: u64,
    },
    /// The server closed a connection.
    Closed {
        /// Whose connection.
        member: usize,
        /// The last it heard.
        last: String,
    },
    /// A connection failed, or the clock of a process could not be read.
    Io(std::io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongDelivery { member, heard } => {
                write!(f, "member {member} heard {heard:?}, which is not what comes next")
            }
            Self::DifferentOrders => f.write_str("recipients heard different orders"),
            Self::FellBehind => {
                write!(f, "fell behind: a speaker has {UNDER_WAY_MAX} messages under way")
            }
            Self::Deadline { missing } => write!(f, "not done in time, {missing} missing"),
            Self::Closed { member, last } => {
                write!(f, "the server closed the connection of member {member} after {last:?}")
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// What one member has heard.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// The number of the next message of each speaker.
    next: [u32; SPEAKERS_MAX],
    /// A digest of the order in which the speakers were heard.
    order: u64,
}

/// Times from when a message was due to when it was heard, in nanoseconds.
#[derive(Debug, Clone)]
pub struct Latencies {
    /// By each recipient.
    pub each: Histogram<u64>,
    /// By the last recipient.
    pub last: Histogram<u64>,
}

impl Latencies {
    /// None yet.
    pub fn new() -> Result<Self, Failure> {
        let histogram = Histogram::new_with_bounds(100, 120_000_000_000, 3)
            .map_err(|error| Failure::Io(std::io::Error::other(error)))?;
        Ok(Self { each: histogram.clone(), last: histogram })
    }
}

/// One speaker's messages.
#[derive(Debug)]
struct Voice {
    said: u32,
    heard_by_all: u32,
    /// The deliveries under way as the recipients must hear them, by number.
    deliveries: Vec<u8>,
    /// When each was due.
    due: Vec<u64>,
    /// How many recipients have yet to hear each.
    missing: Vec<u32>,
}

/// Everything said in one room.
#[derive(Debug)]
pub struct Ledger {
    subject: Subject,
    members: u32,
    /// Bytes of every delivery.
    length: usize,
    /// Where in it the speaker's digit stands.
    digit: usize,
    voices: Vec<Voice>,
    delivered: u64,
    expected: u64,
    scratch: Vec<u8>,
    /// Where latencies go while a phase wants them.
    pub latencies: Option<Latencies>,
    /// Notices about others, while others are let in.
    pub visits: Option<Visits>,
}

impl Ledger {
    /// Nothing said yet, in a room of `members`.
    pub fn new(subject: Subject, members: usize) -> Self {
        let mut example = Vec::new();
        subject.delivery(0, 0, &mut example);
        let mark = memchr::memmem::find(&example, SPEAKER_MARK).unwrap_or_default();
        let voice = || Voice {
            said: 0,
            heard_by_all: 0,
            deliveries: vec![0; UNDER_WAY_MAX * example.len()],
            due: vec![0; UNDER_WAY_MAX],
            missing: vec![0; UNDER_WAY_MAX],
        };
        Self {
            subject,
            members: members as u32,
            length: example.len(),
            digit: mark + SPEAKER_MARK.len(),
            voices: (0..SPEAKERS_MAX.min(members)).map(|_| voice()).collect(),
            delivered: 0,
            expected: 0,
            scratch: Vec::new(),
            latencies: None,
            visits: None,
        }
    }

    /// How many can speak.
    pub fn speakers(&self) -> usize {
        self.voices.len()
    }

    /// How many hear each message.
    pub fn recipients(&self) -> u32 {
        if self.subject.echoes() { self.members } else { self.members - 1 }
    }

    /// How many deliveries were made since the start, each of them checked.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many are outstanding.
    pub fn missing(&self) -> u64 {
        self.expected - self.delivered
    }

    /// How many messages of `speaker` somebody has yet to hear.
    pub fn under_way(&self, speaker: usize) -> u32 {
        self.voices[speaker].said - self.voices[speaker].heard_by_all
    }

    /// The next message of `speaker`, whose own ear is `own`: appends to `out` what it
    /// sends, and expects everyone to hear it.
    ///
    /// # Errors
    /// Too many messages under way.
    pub fn say(
        &mut self,
        speaker: usize,
        own: &mut Heard,
        due: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let recipients = self.recipients();
        let voice = &mut self.voices[speaker];
        let slot = voice.said as usize % UNDER_WAY_MAX;
        if voice.missing[slot] > 0 {
            return Err(Failure::FellBehind);
        }
        self.scratch.clear();
        self.subject.delivery(speaker, voice.said, &mut self.scratch);
        voice.deliveries[slot * self.length..][..self.length].copy_from_slice(&self.scratch);
        voice.missing[slot] = recipients;
        voice.due[slot] = due;
        self.subject.say(speaker, voice.said, out);
        voice.said += 1;
        if !self.subject.echoes() {
            // To hear itself would be to hear something that is not next.
            own.next[speaker] = voice.said;
        }
        self.expected += u64::from(recipients);
        Ok(())
    }

    /// Checks what `member` heard at `now`. Returns how many bytes were whole deliveries;
    /// the rest is the beginning of the next.
    ///
    /// # Errors
    /// It heard anything but the next message of a speaker.
    pub fn hear(
        &mut self,
        member: usize,
        heard: &mut Heard,
        bytes: &[u8],
        now: u64,
    ) -> Result<usize, Failure> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if let Some(visits) = &mut self.visits
                && Visits::are_told(rest[0])
            {
                let Some(end) = memchr::memchr(b'\n', rest) else {
                    if rest.len() < ASIDE_BYTES_MAX {
                        break;
                    }
                    return Err(wrong(member, rest));
                };
                match visits.hear(member, &rest[..end]) {
                    Some(told) => heard.order = mix(heard.order, told),
                    None => return Err(wrong(member, rest)),
                }
                at += end + 1;
                continue;
            }
            if self.subject.is_aside(rest[0]) {
                match memchr::memchr(b'\n', rest) {
                    Some(end) => at += end + 1,
                    None if rest.len() < ASIDE_BYTES_MAX => break,
                    None => return Err(wrong(member, rest)),
                }
                continue;
            }
            let Some(delivery) = rest.get(..self.length) else { break };
            let speaker = usize::from(delivery[self.digit].wrapping_sub(b'0'));
            let Some(voice) = self.voices.get_mut(speaker) else {
                return Err(wrong(member, rest));
            };
            let number = heard.next[speaker];
            let slot = number as usize % UNDER_WAY_MAX;
            let expected = &voice.deliveries[slot * self.length..][..self.length];
            if number == voice.said || delivery != expected {
                return Err(wrong(member, rest));
            }
            heard.next[speaker] = number + 1;
            let said = (speaker as u64) << 32 | u64::from(number);
            heard.order = mix(heard.order, said);
            voice.missing[slot] -= 1;
            let is_last = voice.missing[slot] == 0;
            if is_last {
                voice.heard_by_all += 1;
            }
            if let Some(latencies) = &mut self.latencies {
                let latency = now.saturating_sub(voice.due[slot]);
                latencies.each.saturating_record(latency);
                if is_last {
                    latencies.last.saturating_record(latency);
                }
            }
            self.delivered += 1;
            at += self.length;
        }
        Ok(at)
    }

    /// When everything said was heard: that all members have heard all of it, and those
    /// who only listen in one order.
    ///
    /// # Errors
    /// Something is missing, or the orders differ.
    pub fn check(&self, members: &mut dyn Iterator<Item = &Heard>) -> Result<(), Failure> {
        if self.missing() > 0 {
            return Err(Failure::Deadline { missing: self.missing() });
        }
        let mut order = None;
        for (member, heard) in members.enumerate() {
            for (voice, next) in self.voices.iter().zip(heard.next) {
                if voice.said != next {
                    return Err(Failure::Deadline { missing: u64::from(voice.said - next) });
                }
            }
            // Speakers may not hear themselves; their orders lack their own words.
            if self.subject.has_one_order()
                && member >= self.voices.len()
                && *order.get_or_insert(heard.order) != heard.order
            {
                return Err(Failure::DifferentOrders);
            }
        }
        Ok(())
    }
}

/// The digest of an order that goes on with `next`.
fn mix(order: u64, next: u64) -> u64 {
    (order.rotate_left(5) ^ next).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn wrong(member: usize, heard: &[u8]) -> Failure {
    let heard = String::from_utf8_lossy(&heard[..heard.len().min(100)]).into_owned();
    Failure::WrongDelivery { member, heard }
}
