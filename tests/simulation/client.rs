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

/// Something it sends once it is in the room, and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// The room hears it.
    Say(String),
    /// One hears it: what follows `/msg`, and a word that is nowhere else.
    Tell {
        rest: String,
        marker: String,
    },
    Who,
    Help,
    History(Option<usize>),
    Password {
        current: String,
        new: String,
    },
    /// An error to itself alone.
    Wrong,
}

/// What the account threads have to decide for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    Introduction,
    Password,
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
    /// What it does if it is let in, in order.
    pub script: Vec<Act>,
    /// How often its name was in the room before. `None`: it never was.
    pub session: Option<usize>,
    pub submitted: bool,
    pub pending: Option<Pending>,
    /// Changes of its password that were handed to the account threads.
    pub changes: usize,
    /// The operator ended its session, and with which word it is told so.
    pub expelled: Option<&'static str>,
    /// Its address was banned while it was connected.
    pub barred: bool,
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

    /// What the room is to hear of it, in order.
    pub fn to_say(&self) -> Vec<&str> {
        let mut said = Vec::new();
        for act in &self.script {
            if let Act::Say(text) = act {
                said.push(text.as_str());
            }
        }
        said
    }

    /// The `n`th change of its password.
    pub fn change(&self, n: usize) -> Option<(&str, &str)> {
        let mut changes = self.script.iter().filter_map(|act| match act {
            Act::Password { current, new } => Some((current.as_str(), new.as_str())),
            _ => None,
        });
        changes.nth(n)
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
                self.script.push(Act::Say(text.to_uppercase()));
                match kind.in_bursts() {
                    true => self.unsent.push_back(text.into_bytes()),
                    false => self.line(text.as_bytes()),
                }
            }
            (Protocol::Relay, _) => {}
        }
    }

    /// Something further. `number` makes it unlike anything else said, `whom` is somebody
    /// it may tell something.
    pub fn talk(
        &mut self,
        protocol: Protocol,
        rng: &mut Rng,
        number: usize,
        max: usize,
        whom: &str,
    ) {
        let asks = protocol == Protocol::Accounts && rng.once_in(4);
        if asks && matches!(self.kind, Kind::Gentle | Kind::Lines) {
            let (message, act) = self.ask(rng, number, whom, max);
            match self.kind {
                Kind::Gentle => self.burst(protocol, &message),
                _ => self.line(message.as_bytes()),
            }
            return self.script.push(act);
        }
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
                self.script.push(Act::Say(text));
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
        let (frame, act): (Vec<u8>, Option<Act>) = match rng.below(22) {
            0 if accounts => {
                let Self { name, user_name, password, .. } = &*self;
                let frame = format!("[ACTIVE]:{name}:{user_name}:{password}::{text}");
                (frame.into(), Some(Act::Say(text)))
            }
            1 if accounts => {
                let frame = format!("[ACTIVE]:name0:user0:~~~~~00:x:{text} FORGED");
                (frame.into(), Some(Act::Wrong))
            }
            2 if accounts => ("[NEW]:login:name0:user0:~~~~~00".into(), Some(Act::Wrong)),
            3 if accounts => (format!("/{text} COMMAND").into(), Some(Act::Wrong)),
            4 if accounts => (format!("//{text}").into(), Some(Act::Say(format!("/{text}")))),
            5 => {
                let from = ["\u{7}", "\u{1b}[31m", "\u{202e}", "\u{1b}]0;t\u{7}"];
                (format!("{}{text}\u{1b}[0m\r", rng.pick(&from)).into(), Some(Act::Say(text)))
            }
            6 => (b"\xff\xfe BROKEN".to_vec(), Some(Act::Wrong)),
            7 => (vec![b'l'; max + 1], Some(Act::Wrong)),
            8 => (vec![b'l'; max + rng.below(3 * max)], Some(Act::Wrong)),
            9 => (if rng.once_in(2) { b"\r".to_vec() } else { vec![] }, None),
            10 => {
                let mut longest = text;
                longest.push_str(&"m".repeat(max - longest.len()));
                (longest.clone().into(), Some(Act::Say(longest)))
            }
            // What is said cannot pass for what is not.
            11 if accounts => {
                let ends =
                    ["(name0) [private]", "(name0) [history 2026-01-01 00:00 UTC]", "(name0)"];
                let text = format!("{text} - {}", rng.pick(&ends));
                (text.clone().into(), Some(Act::Say(text)))
            }
            _ => (text.clone().into(), Some(Act::Say(text))),
        };
        // A line of exactly the most bytes is none too long.
        let act = match act {
            Some(Act::Wrong) if frame.len() == max => {
                Some(Act::Say(String::from_utf8_lossy(&frame).into_owned()))
            }
            act => act,
        };
        self.line(&frame);
        self.script.extend(act);
    }

    /// Says that it leaves, if there is a way to say so.
    pub fn leave(&mut self, protocol: Protocol) {
        self.leaving = Leaving::HalfClose;
        if protocol != Protocol::Accounts || self.sign_up {
            return;
        }
        match self.kind {
            Kind::Lines | Kind::Mixed => {
                self.line(if self.id.is_multiple_of(2) { b"exit()" } else { b"/exit" });
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
pub fn wordy(rng: &mut Rng, number: usize, most: usize, alphabet: &str) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut text = format!("m{number}.");
    let length = text.len() + rng.below(most);
    while text.len() < length {
        text.push(*rng.pick(&alphabet));
    }
    text.push('z');
    text
}
