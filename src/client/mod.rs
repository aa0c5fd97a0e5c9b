//! The bundled client, `chinwag connect`.
//!
//! ```text
//! run ─┬─ terminal on stdin ─► questions ─► terminal (the face) ─► screen (the room)
//!      └─ anything else ─────► pipe
//!                  both: link (reach) ─► session (before the chat) ─► chat (two threads)
//!                                                       say ─► socket ─► heard ─► show
//! ```
//!
//! It speaks lines (a line feed after every frame), in blocking I/O. It shares the rules and
//! the protocols with the server, and nothing else. Passwords live in buffers that are wiped
//! and appear in no text.

pub mod address;
mod chat;
mod credentials;
mod error;
mod fields;
mod heard;
mod link;
mod pipe;
mod questions;
mod say;
mod screen;
mod session;
mod show;
mod terminal;

use std::io::{self, IsTerminal, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use address::Server;
use chat::Leave;
use credentials::{Credentials, Given};
pub use error::ClientError;
use heard::Lines;
use link::Patient;

use crate::cli::ConnectOptions;
use crate::limits;
use crate::protocol::Protocol;

/// Where to connect when no host is given.
const DEFAULT_HOST: &str = "localhost";

/// Joins a room and stays until the person leaves, the input ends, or the server is gone.
///
/// # Errors
/// The room cannot be joined, or a pipe's connection was lost.
pub fn run(options: &ConnectOptions) -> Result<ExitCode, ClientError> {
    if io::stdin().is_terminal() { questions::run(options) } else { pipe::run(options) }
}

/// The options that say who someone is, checked.
fn given(options: &ConnectOptions) -> Result<Given, ClientError> {
    match options.protocol {
        Protocol::Accounts => Given::new(
            options.name.as_deref(),
            options.user.as_deref(),
            options.password_file.as_deref(),
        ),
        Protocol::Nickname => Given::new(options.name.as_deref(), None, None),
        Protocol::Relay | Protocol::Uppercase => Ok(Given::default()),
    }
}

/// Asks whether anybody is there.
fn probe(server: &Server) -> Result<(), ClientError> {
    let mut stream = link::reach(server, Protocol::Accounts.default_port())?;
    // That it could be reached is the answer; that the server then knows why is a courtesy.
    let _ = stream.write_all(b":REMOVE:\n");
    Ok(())
}

/// Creates an account, on a connection of its own.
fn create(server: &Server, who: &Credentials) -> Result<(), ClientError> {
    let stream = link::reach(server, Protocol::Accounts.default_port())?;
    session::sign_up(&mut Patient::new(&stream, limits::ANSWER_WAIT), who)
}

/// Logs in. The lines are what arrived behind the answer.
fn enter(server: &Server, who: &Credentials) -> Result<(TcpStream, Lines), ClientError> {
    let stream = link::reach(server, Protocol::Accounts.default_port())?;
    let mut lines = Lines::default();
    session::log_in(&mut Patient::new(&stream, limits::ANSWER_WAIT), &mut lines, who)?;
    Ok((stream, lines))
}

/// The same, all of it before `until`.
fn enter_until(
    server: &Server,
    who: &Credentials,
    until: Instant,
) -> Result<(TcpStream, Lines), ClientError> {
    let stream = link::reach_until(server, Protocol::Accounts.default_port(), until)?;
    let mut lines = Lines::default();
    session::log_in(&mut Patient::until(&stream, until), &mut lines, who)?;
    Ok((stream, lines))
}

/// Reaches a server that asks for a nickname and gives it one, all of it before `until`.
fn enter_named_until(
    server: &Server,
    name: &str,
    until: Instant,
) -> Result<(TcpStream, Lines), ClientError> {
    let stream = link::reach_until(server, Protocol::Nickname.default_port(), until)?;
    let mut lines = Lines::default();
    let mut patient = Patient::until(&stream, until);
    session::greeting(&mut patient, &mut lines)?;
    session::nickname(&mut patient, &mut lines, name)?;
    drop(patient);
    Ok((stream, lines))
}

/// Reaches a server that asks for a nickname.
fn greeted(server: &Server) -> Result<(TcpStream, Lines), ClientError> {
    let stream = link::reach(server, Protocol::Nickname.default_port())?;
    let mut lines = Lines::default();
    session::greeting(&mut Patient::new(&stream, limits::CONNECT_WAIT), &mut lines)?;
    Ok((stream, lines))
}

/// Has one message upper-cased.
fn upper_case(server: &Server, message: &[u8]) -> Result<Vec<u8>, ClientError> {
    let stream = link::reach(server, Protocol::Uppercase.default_port())?;
    session::upper_case(&mut Patient::new(&stream, limits::ANSWER_WAIT), message)
}

/// How one leaves: only `accounts` has a word for it; elsewhere one stops sending.
fn leave(protocol: Protocol, wait: Duration) -> Leave {
    let word: &[u8] = match protocol {
        Protocol::Accounts => b"exit()\n",
        Protocol::Nickname | Protocol::Relay | Protocol::Uppercase => b"",
    };
    Leave { word, wait }
}
