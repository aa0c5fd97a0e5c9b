//! The thread that hears: one connection after another, until the room is over.
//!
//! Knows the socket, what ends a room and what does not. Knows no screen: what it hears goes
//! to the board.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::board::Board;
use super::clock;
use super::coming_back::{self, Identity, Pauses};
use super::dress::{Clock, Dress};
use super::names::Names;
use super::remark::Remark;
use super::wire::Wire;
use crate::client::chat::End;
use crate::client::heard::{Line, Lines};
use crate::limits;
use crate::protocol::text;

/// How the server begins to say that the password is another now.
const PASSWORD_CHANGED: &str = "[your password is changed";

/// The system's clock.
pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> String {
        clock::now()
    }

    fn local(&self, stamp: &str) -> Option<String> {
        clock::local(stamp)
    }
}

/// What the thread that hears works with.
pub(super) struct Hearing {
    pub(super) board: Arc<Board>,
    pub(super) wire: Arc<Wire>,
    pub(super) names: Arc<Mutex<Names>>,
    pub(super) identity: Arc<Identity>,
    pub(super) dress: Dress,
    /// How long to try to come back.
    pub(super) patience: Duration,
}

/// How a connection ended.
enum Ended {
    /// The server said that it is shutting down.
    ShutDown,
    /// In order, after the operator's last word: who is thrown out does not come back by
    /// itself.
    Refused,
    /// Otherwise.
    Lost,
}

impl Hearing {
    /// Hears to the end, and sees to it that this is noticed.
    pub(super) fn run(self, stream: Arc<TcpStream>, lines: Lines) {
        let end = self.hear_all(stream, lines);
        self.board.finish(end);
        // Whoever types waits for keys: a signal makes the editor return. It may come between
        // two lines and be lost, so it is repeated.
        self.board.remind(limits::REMINDER_INTERVAL, || {
            let own = rustix::process::getpid();
            // A process may always signal itself.
            let _ = rustix::process::kill_process(own, rustix::process::Signal::INT);
        });
    }

    fn hear_all(&self, mut stream: Arc<TcpStream>, mut lines: Lines) -> End {
        let mut pauses = Pauses::new();
        loop {
            let since = Instant::now();
            let ended = self.hear(&stream, &mut lines);
            self.wire.disconnect();
            match ended {
                Ended::ShutDown => return End::ServerShutDown,
                _ if self.wire.is_leaving() => return End::Left,
                Ended::Refused => return End::Lost,
                Ended::Lost if self.patience.is_zero() => return End::Lost,
                Ended::Lost => {}
            }
            self.note(&format!(
                "[the connection is lost, and perhaps what was said last; trying to come back for \
                 {} s]",
                self.patience.as_secs()
            ));
            if since.elapsed() > limits::RECONNECT_PAUSE_LAST {
                // One that does not last does not bring the short pauses back.
                pauses = Pauses::new();
            }
            let Some((back, rest)) = self.come_back(&mut pauses) else {
                return if self.wire.is_leaving() { End::Left } else { End::Lost };
            };
            stream = Arc::new(back);
            lines = rest;
            if !self.wire.connect(Arc::clone(&stream)) {
                return End::Left;
            }
            self.note("[connected again]");
        }
    }

    fn hear(&self, mut stream: &TcpStream, lines: &mut Lines) -> Ended {
        let mut buffer = vec![0; 16 * 1024];
        let mut refused = false;
        loop {
            while let Some(line) = lines.next() {
                if line.is_shutdown() {
                    return Ended::ShutDown;
                }
                refused = self.show(&line);
            }
            let broken = match stream.read(&mut buffer) {
                Ok(0) => false,
                Ok(count) => {
                    self.wire.note_progress();
                    lines.push(&buffer[..count]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => true,
            };
            if let Some(line) = lines.rest() {
                if line.is_shutdown() {
                    return Ended::ShutDown;
                }
                refused = self.show(&line);
            }
            return if refused && !broken { Ended::Refused } else { Ended::Lost };
        }
    }

    /// Shows a line; true if it is the operator's last word to us.
    fn show(&self, line: &Line) -> bool {
        let heard = String::from_utf8_lossy(&line.bytes);
        let heard = text::clean(heard.strip_suffix('\r').unwrap_or(&heard));
        let remark = if line.begins && line.ended {
            Remark::of(self.dress.protocol, &heard)
        } else {
            // Half a line does not say who said it. Its reason still counts.
            match Remark::of(self.dress.protocol, &heard) {
                error @ Remark::Error(_) if line.begins => error,
                _ => Remark::Other(&heard),
            }
        };
        if matches!(remark, Remark::Notice(notice) if notice.starts_with(PASSWORD_CHANGED)) {
            self.identity.confirm_password();
        }
        self.names.lock().unwrap_or_else(PoisonError::into_inner).learn(&remark);
        self.board.add(self.dress.heard(&heard, &remark, &SystemClock));
        matches!(remark, Remark::Error(why) if coming_back::is_last_word(why))
    }

    fn note(&self, note: &str) {
        self.board.add(self.dress.note(note, &SystemClock));
    }

    fn come_back(&self, pauses: &mut Pauses) -> Option<(TcpStream, Lines)> {
        let until = Instant::now() + self.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.wire.pause(pauses.next().min(left));
            if self.wire.is_leaving() || Instant::now() >= until {
                return None;
            }
            // One that is never answered must leave time for another.
            match self.identity.enter(until.min(Instant::now() + limits::CONNECT_WAIT)) {
                Ok(back) => return Some(back),
                Err(error) if coming_back::is_final(&error) => {
                    self.note(&format!("[{error}]"));
                    return None;
                }
                Err(_) => {}
            }
        }
    }
}
