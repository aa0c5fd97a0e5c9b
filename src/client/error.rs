//! What can go wrong for the client. Every text is one line, says what to do, and holds no
//! password; what a server answered is quoted only where the protocol gives it a meaning,
//! since a foreign server may send back what it was sent.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::address::AddressError;
use crate::protocol::Protocol;
use crate::protocol::text::TextError;

/// Why the client ends with a failure.
#[derive(Debug)]
pub enum ClientError {
    /// The server's name is none.
    Address(AddressError),
    /// The name has no address.
    NameUnknown {
        /// The host that was asked for.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the server accepts a connection.
    Unreachable {
        /// Host and port.
        server: String,
        /// What the last address tried said.
        source: io::Error,
    },
    /// There is nobody to ask, and this option was not given.
    Missing(&'static str),
    /// An option breaks a rule of the server.
    Given {
        /// The option.
        option: &'static str,
        /// The rule.
        rule: TextError,
    },
    /// The password file cannot be read.
    PasswordFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server did not create the account.
    SignUpRefused(String),
    /// The server did not accept the log-in.
    LogInRefused(Option<String>),
    /// The server did not accept the nickname.
    NicknameRefused(String),
    /// The server did not take the message.
    MessageRefused(String),
    /// No answer within the time.
    NoAnswer(Protocol),
    /// The connection ended before the answer.
    ClosedEarly(Protocol),
    /// An answer that this protocol does not have.
    ForeignAnswer(Protocol),
    /// The connection ended, and nobody had asked for it.
    Lost,
    /// The server did not close after the last line.
    NoFarewell,
    /// Standard input has no message.
    NothingToSay,
    /// A local failure.
    Io {
        /// What could not be done.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl ClientError {
    /// For `map_err`: `what` could not be done.
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// The protocol's name, as `--protocol` takes it.
fn named(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Accounts => "accounts",
        Protocol::Nickname => "nickname",
        Protocol::Relay => "relay",
        Protocol::Uppercase => "uppercase",
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => write!(f, "{error}"),
            Self::NameUnknown { host, source } => {
                write!(f, "cannot find {host} ({source}); check the host name")
            }
            Self::Unreachable { server, source } => write!(
                f,
                "cannot reach {server} ({source}); check host and port, and that the server runs"
            ),
            Self::Missing(option) => {
                write!(f, "standard input is no terminal, so nothing can be asked: give {option}")
            }
            Self::Given { option, rule } => write!(f, "{option}: {rule}; give another"),
            Self::PasswordFile { path, source } => write!(
                f,
                "cannot read the password from {}: {source}; give a file with the password in \
                 its first line",
                path.display()
            ),
            Self::SignUpRefused(why) => write!(f, "the account was not created: {why}"),
            Self::LogInRefused(Some(why)) => write!(f, "the log-in was refused: {why}"),
            Self::LogInRefused(None) => f.write_str(
                "the log-in was refused: check name, user name and password (letter case counts), \
                 that the account is not in use elsewhere, and that you are not banned",
            ),
            Self::NicknameRefused(why) => {
                write!(f, "the nickname was refused: {why}; give another with --name")
            }
            Self::MessageRefused(why) => write!(f, "the message was refused: {why}"),
            Self::NoAnswer(protocol) => write!(
                f,
                "no answer in time; check that the server speaks {} (--protocol), or try again",
                named(*protocol)
            ),
            Self::ClosedEarly(protocol) => write!(
                f,
                "the server closed the connection before it answered; try again, check that it \
                 speaks {} (--protocol), and that you are not banned",
                named(*protocol)
            ),
            Self::ForeignAnswer(protocol) => write!(
                f,
                "the server does not speak {}; give the right port, or another --protocol",
                named(*protocol)
            ),
            Self::Lost => f.write_str("SERVER DISCONNECTED: the connection was lost; try again"),
            Self::NoFarewell => f.write_str(
                "the server did not confirm the end; what was said last may not have arrived",
            ),
            Self::NothingToSay => f.write_str("standard input has no message; give it one line"),
            Self::Io { what, source } => write!(f, "cannot {what}: {source}"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NameUnknown { source, .. }
            | Self::Unreachable { source, .. }
            | Self::PasswordFile { source, .. }
            | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<AddressError> for ClientError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_one_line() {
        let io = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for error in [
            ClientError::Address(AddressError::Port),
            ClientError::NameUnknown { host: "h".into(), source: io() },
            ClientError::Unreachable { server: "h:1".into(), source: io() },
            ClientError::Missing("--name NAME"),
            ClientError::PasswordFile { path: "p".into(), source: io() },
            ClientError::LogInRefused(None),
            ClientError::NoAnswer(Protocol::Accounts),
            ClientError::ClosedEarly(Protocol::Nickname),
            ClientError::ForeignAnswer(Protocol::Uppercase),
            ClientError::Lost,
            ClientError::NoFarewell,
        ] {
            let text = error.to_string();
            assert!(!text.contains('\n') && !text.contains("  ") && !text.is_empty(), "{text}");
        }
    }
}
