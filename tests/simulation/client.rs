//! Fake clients: what each sends, and what must come of it.

use std::collections::VecDeque;
use std::time::Duration;

use chinwag::accounts::AccountId;
use chinwag::protocol::Protocol;
use chinwag::room::ClientId;

use super::net::SharedPipe;
use super::rng::Rng;

/// Only passwords are made of these: one of them in another's stream is a leak.
pub const SECRET_CHARS: [char; 3] = ['~', '^', '%'];
const SOCKET: &str = "<socket.socket fd=5, family=2, type=1, proto=0, laddr=('10.0.0.1', 7)>";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In lines, never lagging, never speaking: what it hears is the room's order.
    Observer,
    Lines,
    /// In lines, but its log-in may be taken for a burst if its line feed comes late.
    Mixed,
    /// In bursts, each frame alone and whole.
    Gentle,
    /// In bursts, however they are split and glued.
    Bursts,
}

impl Kind {
    pub fn in_bursts(self) -> bool {
        matches!(self, Self::Gentle | Self::Bursts)
    }
}

/// How it means to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    No,
    /// It has said so.
    Asked,
    /// After what it has to send.
    HalfClose,
    Done,
}

#[derive(Debug)]
pub struct Conn {
    pub id: usize,
    pub kind: Kind,
    pub pipe: SharedPipe,
    pub client: Option<ClientId>,
    pub exempt: bool,
    pub address: u8,
    pub name: String,
    pub user_name: String,
    pub password: String,
    /// Frames not sent yet; all but gentle clients glue them.
    pub unsent: VecDeque<Vec<u8>>,
    pub sent_at: Duration,
    /// What the room must hear of it, in order, if it is let in.
    pub expected: Vec<String>,
    /// How often its name was in the room before. `None`: it never was.
    pub session: Option<usize>,
    pub submitted: bool,
    pub sign_up: bool,
    /// Others may want the same name.
    pub contested: bool,
    /// What it says next, in case its name was taken.
    pub second_name: Option<String>,
    /// Frames that were sent whole.
    pub sent: usize,
    pub leaving: Leaving,
    /// Whose session it is.
    pub account: Option<AccountId>,
    /// It was in the room when the server was shut down.
    pub stayed: bool,
    pub frames: usize,
}

impl Conn {
    pub fn can_send(&self) -> bool {
        let pipe = self.pipe.borrow();
        !pipe.closed && !pipe.reset && self.client.is_some()
    }

    pub fn is_over(&self) -> bool {
        self.pipe.borrow().closed || self.pipe.borrow().reset || self.leaving == Leaving::Done
    }

    fn line(&mut self, text: &[u8]) {
        self.unsent.push_back([text, b"\n"].concat());
    }

    /// What it says first.
    pub fn introduce(&mut self, protocol: Protocol, rng: &mut Rng) {
        let verb = if self.sign_up { "signup" } else { "login" };
        let Self { name, user_name, password, .. } = &*self;
        let new = format!("[NEW]:{verb}:{name}:{user_name}:{password}");
        match (protocol, self.kind) {
            (Protocol::Accounts, Kind::Gentle | Kind::Bursts) => {
                self.unsent.push_back(format!("{new}:{SOCKET}").into_bytes());
            }
            (Protocol::Accounts, Kind::Mixed) => self.line(format!("{new}:x").as_bytes()),
            (Protocol::Accounts, _) => {
                if rng.once_in(3) {
                    self.line(b"hello? BEFORE log-in");
                }
                if rng.once_in(6) {
                    self.line(&[b'b'; 20_000]);
                }
                self.line(new.as_bytes());
            }
            (Protocol::Nickname, Kind::Gentle | Kind::Bursts) => {
                self.unsent.push_back(self.name.clone().into_bytes());
            }
            (Protocol::Nickname, _) => {
                let name = self.name.clone();
                if rng.once_in(4) {
                    self.line(b"[bad name]");
                }
                self.line(if rng.once_in(3) { name + ": " } else { name }.as_bytes());
                if let Some(second) = self.second_name.clone() {
                    self.line(second.as_bytes());
                }
            }
            (Protocol::Uppercase, kind) => {
                let text = format!("stra\u{df}e {} \u{e9}", self.id);
                self.expected.push(text.to_uppercase());
                match kind.in_bursts() {
                    true => self.unsent.push_back(text.into_bytes()),
                    false => self.line(text.as_bytes()),
                }
            }
            (Protocol::Relay, _) => {}
        }
    }

    /// Something further. `number` makes it unlike anything else said.
    pub fn talk(&mut self, protocol: Protocol, rng: &mut Rng, number: usize, max: usize) {
        self.frames += 1;
        match (protocol, self.kind) {
            (_, Kind::Observer) | (Protocol::Uppercase, _) => {}
            (Protocol::Relay, _) => {
                let size = if rng.once_in(30) { rng.range(1, 90_000) } else { rng.range(1, 300) };
                let byte = b'a' + (self.id % 26) as u8;
                let bytes = (0..size).map(|n| if n % 97 == 0 { n as u8 } else { byte }).collect();
                self.unsent.push_back(bytes);
            }
            (_, Kind::Gentle | Kind::Bursts) => {
                let most = if rng.once_in(8) { max - 300 } else { 40 };
                let text = wordy(rng, number, most, "abcdefxyz[A[\u{e9}\u{1f600}");
                self.burst(protocol, &text);
                self.expected.push(text);
            }
            (_, Kind::Lines | Kind::Mixed) => self.talk_in_lines(protocol, rng, number, max),
        }
    }

    fn burst(&mut self, protocol: Protocol, text: &str) {
        let Self { name, user_name, password, .. } = &*self;
        let head = match protocol {
            Protocol::Accounts => format!("[ACTIVE]:{name}:{user_name}:{password}:{SOCKET}:"),
            _ => format!("{name}: "),
        };
        self.unsent.push_back(format!("{head}{text}").into_bytes());
    }

    fn talk_in_lines(&mut self, protocol: Protocol, rng: &mut Rng, number: usize, max: usize) {
        let accounts = protocol == Protocol::Accounts;
        let text = wordy(rng, number, 60, "abc def/:()[]\u{e9}\u{1f600}\u{200d}");
        let (frame, expected): (Vec<u8>, Option<String>) = match rng.below(20) {
            0 if accounts => {
                let Self { name, user_name, password, .. } = &*self;
                (format!("[ACTIVE]:{name}:{user_name}:{password}::{text}").into(), Some(text))
            }
            1 if accounts => (format!("[ACTIVE]:name0:user0:~~~~~00:x:{text} FORGED").into(), None),
            2 if accounts => ("[NEW]:login:name0:user0:~~~~~00".into(), None),
            3 if accounts => (format!("/{text} COMMAND").into(), None),
            4 if accounts => (format!("//{text}").into(), Some(format!("/{text}"))),
            5 => {
                let from = ["\u{7}", "\u{1b}[31m", "\u{202e}", "\u{1b}]0;t\u{7}"];
                (format!("{}{text}\u{1b}[0m\r", rng.pick(&from)).into(), Some(text))
            }
            6 => (b"\xff\xfe BROKEN".to_vec(), None),
            7 => (vec![b'l'; max + 1], None),
            8 => (vec![b'l'; max + rng.below(3 * max)], None),
            9 => (if rng.once_in(2) { b"\r".to_vec() } else { vec![] }, None),
            10 => {
                let mut longest = text;
                longest.push_str(&"m".repeat(max - longest.len()));
                (longest.clone().into(), Some(longest))
            }
            _ => (text.clone().into(), Some(text)),
        };
        // A line of exactly the most bytes is none too long.
        let expected = match expected {
            None if frame.len() == max => Some(String::from_utf8_lossy(&frame).into_owned()),
            expected => expected,
        };
        self.line(&frame);
        self.expected.extend(expected);
    }

    /// Says that it leaves, if there is a way to say so.
    pub fn leave(&mut self, protocol: Protocol) {
        self.leaving = Leaving::HalfClose;
        if protocol != Protocol::Accounts || self.sign_up {
            return;
        }
        match self.kind {
            Kind::Lines | Kind::Mixed => {
                self.line(b"exit()");
                self.line(b"AFTER exit");
                self.leaving = Leaving::Asked;
            }
            Kind::Gentle => {
                self.burst(protocol, "exit()");
                self.leaving = Leaving::Asked;
            }
            Kind::Bursts | Kind::Observer => {}
        }
    }
}

/// A text unlike any other, of at most about `most` bytes, that ends in no space.
fn wordy(rng: &mut Rng, number: usize, most: usize, alphabet: &str) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut text = format!("m{number}.");
    let length = text.len() + rng.below(most);
    while text.len() < length {
        text.push(*rng.pick(&alphabet));
    }
    text.push('z');
    text
}
