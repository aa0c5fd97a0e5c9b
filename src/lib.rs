//! chinwag: a chat room for a classroom, an office or a LAN party, served by one event
//! loop.
//!
//! # Map, in reading order
//!
//! - [`protocol`]: bytes to frames to requests, events to bytes. Pure.
//! - [`room`]: who is in, who hears what, what times out. Pure; time is an argument.
//! - [`server`]: connections, outboxes, the turn, and the poll around it.
//! - [`accounts`]: sign-up and log-in, on threads of their own.
//! - [`operator`]: what may be asked of a running server, and how it is reached.
//! - [`client`]: the bundled client.
//! - [`limits`]: every maximum and every wait, with its reason.
//! - [`durations`]: how people type and read them.
//! - [`cli`], [`logging`]: what `main` needs.
//!
//! # What holds everywhere
//!
//! - One thread owns all state of the server. Other threads post it messages and wake it.
//! - Data goes one way: readiness, bytes, frame, decision, outgoing bytes, one flush at the
//!   end of the turn. Closing is a mark until then.
//! - Every recipient's stream is a gap-free slice of the room's order, from its entry to
//!   its departure, without its own messages, each exactly once.
//! - An error on a connection ends that connection and no other.
//! - Every queue, buffer, batch and wait is bounded by a limit that has a name.
//! - An account is durable before `Account Created` leaves.
//! - No secret reaches a log, an error or another client.

pub mod accounts;
pub mod cli;
pub mod client;
pub mod durations;
pub mod limits;
pub mod logging;
pub mod operator;
pub mod protocol;
pub mod room;
pub mod server;
