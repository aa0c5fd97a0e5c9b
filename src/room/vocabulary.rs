//! What the room is told and what it decides, as values.
//!
//! Knows the words. Knows no rule: those are the room's.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::accounts::records::{HistoryLimits, Said};
use crate::accounts::{Job, Verdict};
use crate::protocol::framing::{Decoded, Framing};
use crate::protocol::{Event, Reply};

/// A connection, as the room sees it: a place that is used again, and the generation that
/// tells who has it now. What was meant for a closed connection reaches nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    /// The place.
    pub slot: u32,
    /// How often the place was given away before.
    pub generation: u32,
}

/// Where a connection comes from, for the limits per address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The IPv4 address, or the /64 network of the IPv6 address.
    pub address: IpAddr,
    /// The limits per address do not apply to it.
    pub exempt: bool,
}

impl Origin {
    /// Of a peer at `address`.
    pub fn of(address: IpAddr, exempt: bool) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address => address,
        };
        Self { address, exempt }
    }
}

/// What the room is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection was accepted.
    Connected(Origin),
    /// It sent this (never `Decoded::Wait`).
    Frame(Origin, Decoded<'a>, Framing),
    /// It has ended: everything it sent was handed over before.
    Ended(Origin),
    /// Its job was decided.
    Verdict(Verdict),
}

/// What is to be done, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell one connection something.
    Reply(ClientId, Reply),
    /// From here on it hears the room.
    Enter(ClientId),
    /// Tell everyone in the room; the speaker only where the protocol echoes.
    Broadcast {
        /// What.
        event: Event,
        /// Who caused it, if still connected.
        from: Option<ClientId>,
    },
    /// Have this written down.
    Record {
        /// What was said.
        said: Arc<Said>,
        /// What has a lower number is to be forgotten.
        forget_before: i64,
    },
    /// From here on it no longer hears the room.
    Depart(ClientId),
    /// Close it once its last words are written.
    Close(ClientId),
    /// Close it at once, without a word.
    Drop(ClientId),
    /// Have this decided by the account threads.
    Submit(ClientId, Job),
    /// Frames that waited for a verdict may be handed over now.
    Resume(ClientId),
    /// Tell the operator.
    Log(ClientId, LogLine),
    /// The last client has left.
    Emptied,
}

/// What the operator is told about a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogLine {
    /// In the room, under this name.
    Connected(String),
    /// No longer.
    Disconnected(String),
    /// An account was created.
    AccountCreated,
}

/// What people tune about the room.
#[derive(Debug, Clone, Copy)]
pub struct RoomLimits {
    /// Longest frame in bytes, for the text of the refusal.
    pub frame_bytes_max: usize,
    /// Time to log in.
    pub log_in_wait: Duration,
    /// Connections of one address that is not exempt.
    pub per_address: usize,
    /// How much of what is said is kept.
    pub history: HistoryLimits,
    /// Messages replayed to who logs in, in lines.
    pub history_replayed: usize,
    /// Most bytes of one answer.
    pub reply_bytes_max: usize,
}
