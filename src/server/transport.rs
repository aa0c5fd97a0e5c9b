//! What a connection asks of its socket, so that a simulated one serves as well as a real one.
//!
//! Knows bytes and what can be asked. Knows no socket by name.

use std::io::{self, Read, Write};
use std::time::Duration;

/// What a connection reads from and writes to, without ever blocking.
pub trait Transport: Read + Write {
    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// What the socket says.
    fn shut_down_write(&self) -> io::Result<()>;

    /// Whether the connection has failed, a reset included.
    fn has_failed(&self) -> bool;

    /// What the peer has yet to acknowledge. `None` if every byte that was sent is
    /// acknowledged, or if the system does not tell. Costs a few system calls.
    fn unacknowledged(&self) -> Option<Unacknowledged>;
}

/// What a peer has yet to acknowledge, at least one byte of which was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unacknowledged {
    /// Bytes written to the socket and not acknowledged.
    pub bytes: u64,
    /// How long nothing whatever has come from the peer, not even an acknowledgement.
    pub silence: Duration,
}
