//! The closed set of protocols and the vocabulary they share with the room.
//!
//! Knows bytes and text. Knows no socket, no clock, and not who is in the room.

pub mod text;

use clap::ValueEnum;

/// What is spoken on the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Protocol {
    /// Sign up, log in, chat.
    #[default]
    Accounts,
    /// A nickname, a welcome, everyone hears everything.
    Nickname,
    /// Bytes from one client go, unchanged, to all others.
    Relay,
    /// One message in, upper-cased back, closed.
    Uppercase,
}

impl Protocol {
    /// The port of the source document.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Uppercase => 12_000,
            Self::Accounts | Self::Nickname | Self::Relay => 23_791,
        }
    }
}
