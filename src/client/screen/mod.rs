//! The chat on a terminal: a line being typed, and above it the room.
//!
//! ```text
//!  keys ─► editor ─► typed ─► wire ─► socket ─► hearing ─► remark ─► dress ─┐
//!            ▲                (queue)            (thread)    names          │
//!            └──────────────────────── board (queue) ◄──────────────────────┘
//! ```
//!
//! Knows the order of things: what a line leads to, and how one leaves. The thread that
//! types owns the terminal; two others wait for the socket, one in each direction.

mod board;
mod clock;
mod coming_back;
mod dress;
mod editor;
mod hand;
mod hearing;
mod layout;
mod mention;
mod names;
mod palette;
mod remark;
mod tty;
mod typed;
mod wire;

use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zeroize::Zeroizing;

use self::board::Board;
pub(super) use self::coming_back::Identity;
use self::dress::{Dress, Shown};
use self::editor::{Desk, Entry};
use self::hearing::{Hearing, SystemClock};
use self::names::Names;
use self::tty::Raw;
pub(super) use self::tty::can_edit;
use self::typed::Typed;
use self::wire::{Unsaid, Wire};
use super::chat::End;
use super::error::ClientError;
use super::heard::Lines;
use super::show::Look;
use super::terminal::Terminal;
use crate::cli::ConnectOptions;
use crate::limits;

/// Greets, and sits in the room until one leaves, or it is over.
///
/// # Errors
/// The terminal cannot be read or written, or a thread cannot be started.
pub(super) fn sit(
    terminal: &mut Terminal,
    options: &ConnectOptions,
    greeting: &str,
    identity: Identity,
    link: (TcpStream, Lines),
) -> Result<End, ClientError> {
    // The editor logs every key, and some are of a password. Nor is a log line to fall into
    // the line being typed.
    log::set_max_level(log::LevelFilter::Off);
    terminal.interrupts_wait(true);
    // Before the greeting: who answers it at once is not to be misread.
    let raw = Raw::new().map_err(ClientError::io("set up the terminal"))?;
    let outcome = terminal
        .tell(greeting)
        .and_then(|()| Room::enter(options, identity, link))
        .and_then(|mut room| room.stay(terminal).map(|over| (room, over)));
    drop(raw);
    let (room, over) = outcome?;
    if !room.board.stop_reminding() {
        // The reminder is a signal, which a busy machine may deliver late. Without one,
        // Ctrl-C ends the program again, should the server be slow to say goodbye.
        terminal.interrupts_wait(false);
    }
    let end = match over {
        Some(end) => end,
        None => room.leave()?,
    };
    while room.desk.show_batch()? {}
    Ok(end)
}

/// The room, as seen from a chair.
struct Room {
    desk: Desk,
    board: Arc<Board>,
    wire: Arc<Wire>,
    identity: Arc<Identity>,
    dress: Dress,
}

impl Room {
    fn enter(
        options: &ConnectOptions,
        identity: Identity,
        (stream, lines): (TcpStream, Lines),
    ) -> Result<Self, ClientError> {
        let protocol = options.protocol;
        let identity = Arc::new(identity);
        let board = Arc::new(Board::new(!options.no_bell));
        let wire = Arc::new(Wire::default());
        let own = identity.name();
        let names = Arc::new(Mutex::new(Names::new(protocol, &own)));
        let dress = Dress {
            protocol,
            own,
            colour: Look::of_stdout().colour,
            timestamps: options.timestamps,
        };
        let desk =
            Desk::new(Arc::clone(&board), Arc::clone(&names), dress.clone(), !options.no_bell)?;
        let stream = Arc::new(stream);
        wire.connect(Arc::clone(&stream));
        let word = super::leave(protocol, limits::LEAVE_WAIT).word;
        let theirs = Arc::clone(&wire);
        let hearing = Hearing {
            board: Arc::clone(&board),
            wire: Arc::clone(&wire),
            names,
            identity: Arc::clone(&identity),
            dress: dress.clone(),
            patience: Duration::from_secs(options.reconnect.into()),
        };
        spawn("says", move || theirs.speak(word))?;
        spawn("hears", move || hearing.run(stream, lines))?;
        Ok(Self { desk, board, wire, identity, dress })
    }

    /// Does what is typed, until the room is over (how) or the person leaves (`None`).
    fn stay(&mut self, terminal: &mut Terminal) -> Result<Option<End>, ClientError> {
        loop {
            match self.desk.next()? {
                Entry::Over(end) => return Ok(Some(end)),
                Entry::Leave => return Ok(None),
                Entry::Text(text) => {
                    if self.take(&text, terminal)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Does what a text says, line by line; true if it leaves.
    fn take(&mut self, text: &str, terminal: &mut Terminal) -> Result<bool, ClientError> {
        let mut shown = Vec::new();
        let mut start = 0;
        let mut leaves = false;
        for line in text.split('\n') {
            match Typed::of(self.dress.protocol, line) {
                Typed::Nothing => {}
                Typed::TooLong => shown.push(self.note(&format!(
                    "[a line of more than {} bytes was not said]",
                    limits::SAID_LINE_BYTES_MAX
                ))),
                Typed::Withheld => {
                    shown.push(self.note("[not said: /password begins the line]"));
                }
                Typed::Leave => {
                    leaves = true;
                    break;
                }
                Typed::AskPassword => {
                    self.desk.show(&std::mem::take(&mut shown))?;
                    self.change_password(terminal)?;
                }
                Typed::Send { line: said, shown: own, password } => {
                    if let Some(new) = password {
                        // Before it is sent: the answer may be here at once.
                        self.identity.ask_password(new);
                    }
                    if let Err(unsaid) = self.wire.say(&said) {
                        shown.push(self.unsaid(unsaid));
                        self.desk.give_back(Zeroizing::new(text[start..].to_owned()));
                        break;
                    }
                    self.desk.remember(&said);
                    shown.extend(self.dress.own(&own, &SystemClock));
                }
            }
            start += line.len() + 1;
        }
        self.desk.show(&shown)?;
        Ok(leaves)
    }

    fn note(&self, text: &str) -> Shown {
        self.dress.note(text, &SystemClock)
    }

    fn unsaid(&self, unsaid: Unsaid) -> Shown {
        self.note(match unsaid {
            Unsaid::NotConnected => "[not connected: this was not said; Enter tries again]",
            Unsaid::Full => "[the server is slow: this was not said; Enter tries again]",
        })
    }

    /// Asks for the old and the new password, none of which is shown, and sends them.
    fn change_password(&mut self, terminal: &mut Terminal) -> Result<(), ClientError> {
        let Some((old, new)) = super::fields::ask_new_password(terminal)? else {
            return self.desk.show(&[self.note("[the password stays as it is]")]);
        };
        let parts = ["/password ", &old, ":", &new];
        // Of the right size from the start: a growing buffer would leave copies behind.
        let mut line = Zeroizing::new(String::with_capacity(parts.map(str::len).iter().sum()));
        parts.iter().for_each(|part| line.push_str(part));
        // Before it is sent: the answer may be here at once.
        self.identity.ask_password(new);
        match self.wire.say(&line) {
            Ok(()) => Ok(()),
            Err(_) => self.desk.show(&[self.note("[not connected: the password stays as it is]")]),
        }
    }

    /// Says goodbye and shows what the server still has to say.
    fn leave(&self) -> Result<End, ClientError> {
        if !self.wire.leave() {
            return Ok(End::Left);
        }
        loop {
            let before = self.wire.progress();
            self.board.wait(limits::LEAVE_WAIT);
            let shown = self.desk.show_batch()?;
            if let Some(end) = self.board.over() {
                return Ok(end);
            }
            if !shown && before == self.wire.progress() {
                return Ok(End::NoFarewell);
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ClientError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map(drop)
        .map_err(ClientError::io("start a thread"))
}
