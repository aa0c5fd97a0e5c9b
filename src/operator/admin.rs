//! `chinwag admin`: asks a running server, from outside of it.
//!
//! Knows the language, where sockets lie and the exchange. Knows no server. It reads the
//! command first, so that wrong usage is told without a server, and waits for nothing
//! without end.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::command::{self, CommandError, HELP, OperatorCommand};
use super::exchange::{self, Within};
use super::socket::{ControlError, shown};
use super::{line, place};
use crate::cli::{AdminOptions, ControlPath};
use crate::limits;

/// `chinwag admin` did not have done what it was asked to.
#[derive(Debug)]
pub enum AdminError {
    /// Nothing was asked.
    Nothing,
    /// It is no command.
    Command(CommandError),
    /// An option behind the command would become a part of it.
    LateOption,
    /// Several lines.
    Lines,
    /// Too long a line.
    TooLong,
    /// `--control none`.
    NoSocket,
    /// Nobody answers there. Other servers may: their ports.
    NoServer {
        /// Where it was looked for.
        path: PathBuf,
        /// Ports of sockets that are there.
        others: Vec<u16>,
    },
    /// The place is not to be trusted.
    Place(ControlError),
    /// The server is there and cannot be asked.
    Exchange(PathBuf, io::Error),
    /// The server did not do it, and says why.
    Refused(String),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl AdminError {
    /// Whether the command line is wrong.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Nothing
                | Self::Command(_)
                | Self::LateOption
                | Self::Lines
                | Self::TooLong
                | Self::NoSocket
        )
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "type a command behind chinwag admin:\n{HELP}"),
            Self::Command(error) => error.fmt(f),
            Self::LateOption => f.write_str("give --port and --control before the command"),
            Self::Lines => f.write_str("a command is one line"),
            Self::TooLong => f.write_str(&line::too_long()),
            Self::NoSocket => f.write_str("there is no socket to ask at; give --control PATH"),
            Self::NoServer { path, others } => {
                write!(f, "no server answers at {}; ", shown(path))?;
                f.write_str("is it running? give --port or --control")?;
                others.iter().try_for_each(|port| write!(f, "; one answers at --port {port}"))
            }
            Self::Place(error) => write!(f, "{error}; give --control"),
            Self::Exchange(path, error) => {
                let path = shown(path);
                match error.kind() {
                    io::ErrorKind::TimedOut => {
                        write!(f, "the server at {path} does not answer; try again")
                    }
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe => {
                        write!(f, "the server at {path} has ended without an answer")
                    }
                    io::ErrorKind::InvalidData => {
                        write!(f, "what answers at {path} is no chinwag; give --port or --control")
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "only who runs the server at {path}, or root, may ask it")
                    }
                    _ => write!(f, "cannot ask the server at {path}: {error}"),
                }
            }
            Self::Refused(why) => f.write_str(why),
            Self::Output(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl std::error::Error for AdminError {}

/// Asks what `options` say and prints the answer.
///
/// # Errors
/// See [`AdminError`].
pub fn run(options: &AdminOptions) -> Result<(), AdminError> {
    let is_option = |word: &String| {
        ["--port", "--control"].iter().any(|option| {
            word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    if options.command.iter().any(is_option) {
        return Err(AdminError::LateOption);
    }
    let line = command::line_of(&options.command);
    let line = line.trim();
    if line.is_empty() {
        return Err(AdminError::Nothing);
    }
    if line.contains('\n') {
        return Err(AdminError::Lines);
    }
    if line.len() > limits::CONSOLE_LINE_BYTES_MAX {
        return Err(AdminError::TooLong);
    }
    OperatorCommand::parse(line).map_err(AdminError::Command)?;

    let until = Instant::now() + limits::ADMIN_WAIT;
    let (stream, path) = match &options.control {
        Some(ControlPath::None) => return Err(AdminError::NoSocket),
        Some(ControlPath::At(path)) => at(path, until)?,
        None => of_port(options.port, until)?,
    };
    let answer = exchange::ask(&mut Within::new(&stream, until), line)
        .map_err(|error| AdminError::Exchange(path, error))?;
    if !answer.done {
        return Err(AdminError::Refused(answer.text));
    }
    if answer.text.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout(), "{}", answer.text).map_err(AdminError::Output)
}

fn at(path: &Path, until: Instant) -> Result<(UnixStream, PathBuf), AdminError> {
    match connect(path, until) {
        Ok(stream) => Ok((stream, path.to_owned())),
        Err(error) if is_absence(&error) => {
            Err(AdminError::NoServer { path: path.to_owned(), others: Vec::new() })
        }
        Err(error) => Err(AdminError::Exchange(path.to_owned(), error)),
    }
}

/// The server of `port`, wherever it had to put its socket. Another one is never asked in
/// its place: who means to end this server does not mean to end that one.
fn of_port(port: u16, until: Instant) -> Result<(UnixStream, PathBuf), AdminError> {
    let mut others = Vec::new();
    let mut unsafe_place = None;
    let mut looked_at = None;
    for directory in place::directories() {
        let path = directory.join(place::name(port));
        match place::check(&directory) {
            Ok(true) => match at(&path, until) {
                Err(AdminError::NoServer { .. }) => {
                    let living =
                        |port: &u16| connect(&directory.join(place::name(*port)), until).is_ok();
                    others.extend(place::ports(&directory).into_iter().filter(living));
                }
                outcome => return outcome,
            },
            Ok(false) => {}
            Err(error) => unsafe_place = Some(error),
        }
        looked_at.get_or_insert(path);
    }
    Err(match unsafe_place {
        Some(error) if others.is_empty() => AdminError::Place(error),
        _ => AdminError::NoServer { path: looked_at.unwrap_or_default(), others },
    })
}

/// Whether nobody is there at all.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn connect(path: &Path, until: Instant) -> io::Result<UnixStream> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Bounds the wait for room in the queue of callers, which a connection over TCP never has.
    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    socket.set_write_timeout(Some(left))?;
    socket.connect(&address).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}
