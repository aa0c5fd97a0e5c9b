//! The server: everything between the operator's options and the bytes on the wire.
//!
//! Reading order: [`turn`] (one turn, the whole state), then its parts `reading`, `writing` and
//! `leaving`, then what they use: [`connection`], [`outbox`], [`broadcasts`], [`pacing`],
//! `recent_writes`, [`timers`], [`accepting`]. [`event_loop`] is the shell with the poll; [`mailbox`],
//! [`console`] and [`signals`] are how other threads reach it; [`bind`], [`banner`] and
//! [`settings`] are how it starts.

pub mod accepting;
pub mod acknowledgements;
pub mod banner;
pub mod bind;
pub mod broadcasts;
pub mod connection;
pub mod console;
pub mod event_loop;
pub mod journal;
mod leaving;
pub mod mailbox;
pub mod operating;
pub mod outbox;
pub mod pacing;
pub mod peer;
mod reading;
mod recent_writes;
mod reporting;
pub mod settings;
pub mod signals;
pub mod timers;
pub mod transport;
pub mod turn;
mod writing;

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;

use crate::accounts::{Accounts, Location, OpenError};
use crate::cli::{ControlPath, ServeOptions};
use crate::limits;
use crate::operator::control;
use crate::operator::socket::{ControlError, ControlSocket};
use bind::BindError;
use event_loop::EventLoop;
use mailbox::Mail;
use settings::Settings;
use turn::Server;

/// Why a server did not start, or ended.
#[derive(Debug)]
pub enum ServeError {
    /// It cannot listen.
    Bind(BindError),
    /// The accounts cannot be opened.
    Accounts(OpenError),
    /// The control socket that was asked for cannot be made.
    Control(ControlError),
    /// The system refuses something else.
    System(&'static str, io::Error),
    /// `--queue-hard` is too near to `--queue-soft`: one turn may add so many bytes.
    Queues {
        /// Those bytes.
        turn: usize,
    },
    /// `--queue-total` is less than one client may have.
    QueueTotal,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Accounts(error) => error.fmt(f),
            Self::Control(error) => write!(f, "no control socket: {error}; {CONTROL_ADVICE}"),
            Self::System(what, error) => write!(f, "cannot {what}: {error}"),
            Self::Queues { turn } => {
                write!(f, "--queue-hard must exceed --queue-soft by more than {turn} bytes")
            }
            Self::QueueTotal => f.write_str("--queue-total must exceed --queue-hard"),
        }
    }
}

impl std::error::Error for ServeError {}

impl ServeError {
    /// Whether the options are wrong, rather than the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Queues { .. } | Self::QueueTotal)
    }
}

const CONTROL_ADVICE: &str = "give another --control PATH, or none";

impl From<BindError> for ServeError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

/// Runs a server until it is shut down.
///
/// # Errors
/// Why it did not start, or ended.
pub fn serve(options: &ServeOptions) -> Result<(), ServeError> {
    check(options)?;
    let ip = match bind::choose(options.bind) {
        Err(BindError::Left) => return Ok(()),
        choice => choice?,
    };
    let settings = Settings::new(options, raise_descriptor_limit());
    // The address first: a second server on it is told so before it touches the accounts.
    let listener = bind::listen(SocketAddr::new(ip, options.port()))?;
    let address = listener.local_addr().map_err(system("find the address"))?;
    let control = control_socket(options, address.port())?;
    acknowledgements::prepare(address);
    let history = settings.room.history;
    let (mut event_loop, postbox) =
        EventLoop::new(listener, Server::new(settings)).map_err(system("start the poll"))?;
    let accounts = if options.protocol.has_accounts() {
        let location = Location::of(options.data.as_deref()).map_err(ServeError::Accounts)?;
        let postbox = postbox.clone();
        let post = move |notice| postbox.post(Mail::Accounts(notice));
        let accounts = Accounts::open(&location, post).map_err(ServeError::Accounts)?;
        let kept = accounts.kept(history, event_loop::wall_clock());
        event_loop.restore(kept.map_err(ServeError::Accounts)?);
        Some(accounts)
    } else {
        None
    };
    signals::start(postbox.clone()).map_err(system("listen for signals"))?;
    let admin = control.as_ref().map(ControlSocket::options);
    let ours = postbox.clone();
    let post = move |errand| ours.post(Mail::Operator(errand));
    let control = control.map(|socket| control::start(socket, post)).transpose();
    let control = control.map_err(system("listen to the control socket"))?;

    let local = bind::local_addresses();
    let banner = banner::banner(options.protocol, address, &local, admin.as_deref());
    // Whoever started the server may have no ear for it.
    let _ = io::stdout().write_all(banner.as_bytes()).and_then(|()| io::stdout().flush());
    // After the banner, or an answer that nobody reads could hold it up.
    console::start(postbox).map_err(system("listen to standard input"))?;
    log::debug!("listening on {address}");
    event_loop.run(accounts.as_ref()).map_err(system("wait for events"))?;
    drop(control);
    log::info!("the room is closed");
    Ok(())
}

/// The control socket that is asked for. A server that nobody has told where to have it does
/// without, rather than not serve.
fn control_socket(options: &ServeOptions, port: u16) -> Result<Option<ControlSocket>, ServeError> {
    match &options.control {
        Some(ControlPath::None) => Ok(None),
        Some(ControlPath::At(path)) => {
            ControlSocket::at(path).map(Some).map_err(ServeError::Control)
        }
        None => match ControlSocket::of_port(port) {
            Ok(socket) => Ok(Some(socket)),
            Err(error) => {
                log::warn!("no control socket: {error}; {CONTROL_ADVICE}");
                Ok(None)
            }
        },
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ServeError {
    move |error| ServeError::System(what, error)
}

fn check(options: &ServeOptions) -> Result<(), ServeError> {
    // One turn may add so much to the queue of a healthy client.
    let turn = limits::TURN_BYTES_MAX + options.max_frame + limits::FRAME_DRESS_BYTES;
    if options.queue_soft.saturating_add(turn) >= options.queue_hard {
        return Err(ServeError::Queues { turn });
    }
    if options.queue_hard >= options.queue_total {
        return Err(ServeError::QueueTotal);
    }
    Ok(())
}

/// Raises the soft descriptor limit to the hard one; returns how many may be connections.
fn raise_descriptor_limit() -> usize {
    match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(descriptors) => usize::try_from(descriptors)
            .unwrap_or(usize::MAX)
            .saturating_sub(limits::DESCRIPTORS_RESERVED)
            .max(1),
        Err(error) => {
            log::warn!("cannot raise the descriptor limit: {error}");
            // What POSIX grants at the least would be 20; every system has this.
            256 - limits::DESCRIPTORS_RESERVED
        }
    }
}
