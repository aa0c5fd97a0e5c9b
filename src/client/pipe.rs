//! The client where nobody can be asked: in a shell pipe, a script, a test.
//!
//! Knows options, standard input and standard output. Asks nothing: what is missing is
//! named. Standard output carries what is heard and nothing else.

use std::io::{self, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use super::address::Server;
use super::chat::{self, End};
use super::credentials::{Credentials, Given};
use super::error::ClientError;
use super::heard::Lines;
use super::link::{self, Patient};
use super::say;
use super::session;
use super::show::{self, ByteEar, Ear, LineEar, Look};
use crate::cli::ConnectOptions;
use crate::limits;
use crate::protocol::Protocol;

/// Serves a pipe.
pub(super) fn run(options: &ConnectOptions) -> Result<ExitCode, ClientError> {
    let default = Server { host: super::DEFAULT_HOST.to_owned(), port: None };
    let server = options.server.as_ref().unwrap_or(&default);
    let protocol = options.protocol;
    let end = match protocol {
        Protocol::Accounts => {
            let who = credentials(super::given(options)?)?;
            if options.sign_up {
                super::create(server, &who)?;
            }
            let (stream, lines) = super::enter(server, &who)?;
            drop(who);
            chat_lines(&stream, lines, protocol)?
        }
        Protocol::Nickname => {
            let name = super::given(options)?.name.ok_or(ClientError::Missing("--name NAME"))?;
            let (stream, mut heard) = super::greeted(server)?;
            let mut patient = Patient::new(&stream, limits::ANSWER_WAIT);
            session::nickname(&mut patient, &mut heard, &name)?;
            drop(patient);
            chat_lines(&stream, heard, protocol)?
        }
        Protocol::Relay => {
            let stream = link::reach(server, protocol.default_port())?;
            let look = Look::of_stdout();
            let mut ear = ByteEar { look, out: io::stdout().lock(), unfinished: Vec::new() };
            let make = || say::bytes(io::stdin().lock());
            let leave = super::leave(protocol, limits::RELAY_FAREWELL_WAIT);
            match chat::run(&stream, make, leave, &mut ear)? {
                // A relay need not close for one who only stopped sending.
                End::NoFarewell => End::Left,
                end => end,
            }
        }
        Protocol::Uppercase => return upper_case(server),
    };
    match end {
        End::Left | End::OutputClosed => {}
        // Standard error may be closed; the status still tells.
        End::ServerShutDown => drop(writeln!(io::stderr(), "SERVER IS SHUTTING DOWN")),
        End::NoFarewell | End::CutOff => return Err(ClientError::NoFarewell),
        End::Lost => return Err(ClientError::Lost),
    }
    Ok(ExitCode::SUCCESS)
}

fn credentials(given: Given) -> Result<Credentials, ClientError> {
    Ok(Credentials {
        name: given.name.ok_or(ClientError::Missing("--name NAME"))?,
        user_name: given.user_name.ok_or(ClientError::Missing("--user USER"))?,
        password: given.password.ok_or(ClientError::Missing("--password-file FILE"))?,
    })
}

fn chat_lines(stream: &TcpStream, lines: Lines, protocol: Protocol) -> Result<End, ClientError> {
    let look = Look::of_stdout();
    let mut ear = LineEar { protocol, look, lines, out: io::stdout().lock() };
    chat(stream, protocol, limits::FAREWELL_WAIT, &mut ear)
}

fn chat(
    stream: &TcpStream,
    protocol: Protocol,
    wait: Duration,
    ear: &mut dyn Ear,
) -> Result<End, ClientError> {
    let make = || say::lines(io::stdin().lock());
    chat::run(stream, make, super::leave(protocol, wait), ear)
}

fn upper_case(server: &Server) -> Result<ExitCode, ClientError> {
    let mut message = Vec::new();
    say::read_line(&mut io::stdin().lock(), &mut message);
    if message.trim_ascii().is_empty() {
        return Err(ClientError::NothingToSay);
    }
    message.push(b'\n');
    let answer = super::upper_case(server, &message)?;
    let look = Look::of_stdout();
    let mut ear = ByteEar { look, out: Vec::new(), unfinished: Vec::new() };
    ear.hear(&answer).map_err(ClientError::io("show the answer"))?;
    show::once(&mut io::stdout(), &ear.out)?;
    Ok(ExitCode::SUCCESS)
}
