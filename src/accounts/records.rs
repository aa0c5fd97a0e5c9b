//! What is kept beside the accounts: what was said, and whom the operator has shut out.
//!
//! Knows these as values. Knows no SQL, no room and no clock: a moment is a number.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A moment of the wall clock: seconds since 1970, UTC.
pub type UnixSeconds = i64;

/// Something said to the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Grows with everything that is said, over restarts too.
    pub number: i64,
    /// When.
    pub at: UnixSeconds,
    /// Under which name.
    pub name: Box<str>,
    /// What.
    pub text: Box<str>,
}

/// What the operator has done to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SanctionKind {
    /// May not come in.
    Ban,
    /// May not speak.
    Mute,
}

/// Whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SanctionTarget {
    /// Whoever bears this name, or one that is taken for it.
    Name(String),
    /// Whoever comes from this address; of an IPv6 address, its /64 network.
    Address(IpAddr),
}

/// A ban or a mute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sanction {
    /// Which of the two.
    pub kind: SanctionKind,
    /// Whom it concerns.
    pub target: SanctionTarget,
    /// Until when; `None`: until it is lifted.
    pub until: Option<UnixSeconds>,
}

/// A change of the sanctions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SanctionChange {
    /// From now on; replaces one of the same kind and target.
    Impose(Sanction),
    /// No longer.
    Lift(SanctionKind, SanctionTarget),
}

/// Called when a change is on disk (`true`) or could not be brought there (`false`).
pub type Acknowledge = Box<dyn FnOnce(bool) + Send>;

/// What is to be written down.
pub enum Record {
    /// Something was said. May be lost at a power cut.
    Said {
        /// What.
        said: Arc<Said>,
        /// What has a lower number is beyond what is kept.
        forget_before: i64,
    },
    /// The operator has shut somebody out, or in again: on disk before it is acknowledged.
    Sanction(SanctionChange, Acknowledge),
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said { said, .. } => f.debug_tuple("Said").field(&said.number).finish(),
            Self::Sanction(change, _) => f.debug_tuple("Sanction").field(change).finish(),
        }
    }
}

/// How much of what was said is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Most messages.
    pub messages: usize,
    /// Most bytes of names and texts.
    pub bytes: usize,
}

/// What was kept when the server started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The latest, oldest first, within the limits asked for.
    pub history: Vec<Said>,
    /// All that are still in force.
    pub sanctions: Vec<Sanction>,
}
