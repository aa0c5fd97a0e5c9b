//! The closed set of protocols, and the vocabulary they share with the room.
//!
//! A protocol turns a frame into a [`Request`], and an [`Event`] or [`Reply`] into bytes.
//! Knows bytes and text. Knows no socket, no clock, and not who is in the room.

pub mod accounts;
pub mod commands;
pub mod framing;
pub mod nickname;
pub mod relay;
pub mod text;
pub mod uppercase;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use zeroize::Zeroizing;

use crate::accounts::records::Said;
use crate::accounts::{Credentials, SignUpRefusal};
use crate::{durations, limits};
use commands::Command;
use framing::{Completeness, Decoded, FrameError, Framing, OwnHead};
use text::TextError;

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

/// Who speaks on a connection that is in the room.
#[derive(Clone, PartialEq, Eq)]
pub struct Speaker {
    /// What the session's own frames begin with; holds the password in `accounts`. The
    /// name stands in it, so that an idle speaker costs one small allocation.
    head: Zeroizing<Box<str>>,
    name: Range<u8>,
}

/// What a frame asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Create an account.
    SignUp(Result<Credentials, Refusal>),
    /// Become a speaker with an account. `None`: nobody can have these credentials.
    LogIn(Option<Credentials>),
    /// Become a speaker under this name.
    TakeName(Result<String, Refusal>),
    /// Say this to the room. Cleaned and not empty.
    Say(String),
    /// Something else than to say it to the room.
    Command(Command),
    /// Pass these bytes on to the room.
    Pass(Vec<u8>),
    /// Give these bytes back and close.
    Answer(Vec<u8>),
    /// Leave.
    Leave,
    /// Close without a word.
    Drop,
    /// Nothing at all.
    Ignore,
    /// The frame cannot be accepted.
    Refuse(Refusal),
}

/// Something the room hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Someone came in.
    Joined(Box<str>),
    /// Someone said something.
    Said {
        /// Who.
        name: Box<str>,
        /// What.
        text: String,
    },
    /// Someone left, or was lost.
    Left(Box<str>),
    /// The operator tells everyone something.
    Announced(String),
    /// Bytes to be passed on.
    Passed(Vec<u8>),
}

/// How what the operator says begins. In `accounts` what people say ends in their name, in
/// `nickname` it begins with it, and no name has brackets: nobody else can say it.
const ANNOUNCED: &[u8] = b"[SERVER] ";

/// A changed password is that of the next log-in: the session's own frames go on with the
/// one that it logged in with.
const PASSWORD_CHANGED: &[u8] = b"[your password is changed; it counts from the next log-in]";

impl Event {
    /// Notices may wait a little to travel together; messages never wait.
    pub fn is_notice(&self) -> bool {
        matches!(self, Self::Joined(_) | Self::Left(_))
    }
}

/// Something one connection is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What is said to a connection before it has said anything.
    Greeting,
    /// The account is stored.
    AccountCreated,
    /// In the room.
    Welcome,
    /// Log-in refused.
    LogInRefused,
    /// The server is shutting down.
    ShuttingDown,
    /// The bytes asked for.
    Answer(Vec<u8>),
    /// Somebody says something to this connection alone.
    Private {
        /// Who.
        name: Box<str>,
        /// What.
        text: String,
    },
    /// What can be asked.
    Help,
    /// Who is here.
    Who {
        /// Some of the names.
        names: Vec<Box<str>>,
        /// How many are here.
        total: usize,
    },
    /// What was said before, oldest first.
    History(Vec<Arc<Said>>),
    /// The new password is stored.
    PasswordChanged,
    /// Something cannot be accepted.
    Error(Refusal),
}

/// Why something cannot be accepted. Its text never quotes what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A frame is too long; the most bytes it may have.
    FrameTooLong(usize),
    /// Not UTF-8.
    NotUtf8,
    /// Only who has logged in may do this, and only with the session's own credentials.
    NotLoggedIn,
    /// A second log-in on one connection.
    AlreadyLoggedIn,
    /// A `[NEW]` frame of another shape.
    MalformedNew,
    /// An `[ACTIVE]` frame of another shape.
    MalformedActive,
    /// A message that begins as a frame that may hold a password.
    HoldsCredentials,
    /// A message that begins with a single slash.
    UnknownCommand,
    /// What goes on with a command, and came too late to be a part of it.
    RestOfCommand,
    /// A command of another shape: what to write.
    Usage(&'static str),
    /// Nobody of this name is here.
    NobodyHere,
    /// Nothing that was said is kept.
    NoHistory,
    /// The password given as the current one is another.
    WrongPassword,
    /// The operator lets this speaker listen only; for so many seconds more.
    Muted(Option<u64>),
    /// The operator has ended the session.
    Kicked,
    /// The operator has shut this person out.
    Banned,
    /// A rule for names or passwords.
    Text(TextError),
    /// Someone in the room has this name, or one that looks like it.
    NameInUse,
    /// The account was not created.
    SignUp(SignUpRefusal),
    /// The database or its thread failed.
    TryAgain,
    /// No log-in for this many seconds.
    LogInTimeout(u64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooLong(most) => write!(f, "a message has at most {most} bytes"),
            Self::NotUtf8 => f.write_str("a message is UTF-8 text"),
            Self::NotLoggedIn => f.write_str("not logged in"),
            Self::AlreadyLoggedIn => f.write_str("already logged in"),
            Self::MalformedNew => {
                f.write_str("write [NEW]:signup:name:user_name:password or [NEW]:login:... alike")
            }
            Self::MalformedActive => {
                f.write_str("write [ACTIVE]:name:user_name:password:client_socket:message")
            }
            Self::HoldsCredentials => f.write_str("that may hold a password and was not said"),
            Self::UnknownCommand => {
                f.write_str("no such command; /help lists them, // at the start says a slash")
            }
            Self::RestOfCommand => {
                f.write_str("the rest of a command came too late and was not said")
            }
            Self::Usage(write) => write!(f, "write {write}"),
            Self::NobodyHere => f.write_str("nobody of that name is here; /who lists who is"),
            Self::NoHistory => f.write_str("what is said here is not kept"),
            Self::WrongPassword => f.write_str("that is not your password"),
            Self::Muted(None) => f.write_str("the operator has muted you"),
            Self::Muted(Some(seconds)) => {
                let left = durations::shown(Duration::from_secs(*seconds));
                write!(f, "the operator has muted you for another {left}")
            }
            Self::Kicked => f.write_str("the operator has removed you from the room"),
            Self::Banned => f.write_str("the operator has banned you"),
            Self::Text(error) => error.fmt(f),
            Self::NameInUse => f.write_str("that name, or one that looks like it, is in use"),
            Self::SignUp(SignUpRefusal::UserNameTaken) => f.write_str("that user name is taken"),
            Self::SignUp(SignUpRefusal::NameTaken) => {
                f.write_str("that name, or one that looks like it, is taken")
            }
            Self::SignUp(SignUpRefusal::CannotStore) => {
                f.write_str("the account could not be stored; try again later")
            }
            Self::TryAgain => f.write_str("the server could not look that up; try again"),
            Self::LogInTimeout(seconds) => write!(f, "no log-in within {seconds} seconds"),
        }
    }
}

impl Speaker {
    /// Who logged in with `credentials`.
    pub fn with_account(credentials: &Credentials) -> Self {
        Self::new(accounts::own_head(credentials), accounts::NAME_AT, &credentials.name)
    }

    /// Who took a nickname.
    pub fn with_nickname(name: &str) -> Self {
        Self::new(nickname::own_head(name), 0, name)
    }

    fn new(head: Box<str>, name_at: usize, name: &str) -> Self {
        // A name has at most `limits::NAME_CHARS_MAX` characters of four bytes.
        const { assert!(accounts::NAME_AT + 4 * limits::NAME_CHARS_MAX <= u8::MAX as usize) };
        Self { head: Zeroizing::new(head), name: name_at as u8..(name_at + name.len()) as u8 }
    }

    /// The name one logs in with; without an account, the one others see.
    pub fn user_name(&self) -> &str {
        accounts::user_name_in(&self.head).unwrap_or_else(|| self.name())
    }

    /// The name others see.
    pub fn name(&self) -> &str {
        &self.head[usize::from(self.name.start)..usize::from(self.name.end)]
    }
}

impl fmt::Debug for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Speaker").field(&self.name()).finish()
    }
}

impl Protocol {
    /// The port of the source document.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Uppercase => 12_000,
            Self::Accounts | Self::Nickname | Self::Relay => 23_791,
        }
    }

    /// The framing a connection starts in.
    pub const fn first_framing(self) -> Framing {
        match self {
            Self::Relay => Framing::Raw,
            Self::Accounts | Self::Nickname | Self::Uppercase => Framing::Undecided,
        }
    }

    /// Whether a connection is greeted before it has said anything.
    pub const fn greets(self) -> bool {
        matches!(self, Self::Nickname)
    }

    /// Whether a connection hears the room as soon as it is there.
    pub const fn joins_on_connect(self) -> bool {
        matches!(self, Self::Relay)
    }

    /// Whether speakers hear themselves, and newcomers their own arrival.
    pub const fn echoes(self) -> bool {
        matches!(self, Self::Nickname)
    }

    /// Whether messages are counted against the limit per client.
    pub const fn counts_messages(self) -> bool {
        !matches!(self, Self::Relay)
    }

    /// Whether whoever is in the room has a name, and can be told something.
    pub const fn has_names(self) -> bool {
        matches!(self, Self::Accounts | Self::Nickname)
    }

    /// Whether the accounts' database is used.
    pub const fn has_accounts(self) -> bool {
        matches!(self, Self::Accounts)
    }

    /// Whether bytes without a line feed are a frame.
    pub fn completeness(self, bytes: &[u8]) -> Completeness {
        match self {
            Self::Accounts => accounts::completeness(bytes),
            Self::Nickname | Self::Relay | Self::Uppercase => Completeness::AfterSilence,
        }
    }

    /// What only this session's frames begin with.
    pub fn own_head(self, speaker: Option<&Speaker>) -> OwnHead<'_> {
        match (self, speaker) {
            (Self::Accounts, Some(speaker)) => accounts::head_of(speaker.head.as_bytes()),
            (Self::Nickname, Some(speaker)) => nickname::head_of(speaker.head.as_bytes()),
            _ => OwnHead::NONE,
        }
    }

    /// What `frame` asks for, coming from `speaker`, or from someone who is not in the
    /// room yet.
    pub fn parse(
        self,
        frame: &Decoded<'_>,
        framing: Framing,
        speaker: Option<&Speaker>,
    ) -> Request {
        match (self, frame) {
            (_, Decoded::Fault(FrameError::NotUtf8)) => Request::Refuse(Refusal::NotUtf8),
            (Self::Accounts, Decoded::Text(frame)) => {
                accounts::parse(frame, framing, speaker.map(|s| s.head.as_bytes()))
            }
            (Self::Accounts, Decoded::Rest { text, of_command }) => {
                accounts::parse_rest(text, *of_command)
            }
            (Self::Nickname, Decoded::Text(frame) | Decoded::Rest { text: frame, .. }) => {
                nickname::parse(frame, speaker.map(Speaker::name))
            }
            (Self::Uppercase, Decoded::Text(frame) | Decoded::Rest { text: frame, .. }) => {
                uppercase::parse(frame, framing)
            }
            (_, Decoded::Bytes(bytes)) => Request::Pass(bytes.to_vec()),
            (Self::Relay, Decoded::Text(_) | Decoded::Rest { .. })
            | (_, Decoded::Wait { .. } | Decoded::Fault(FrameError::TooLong)) => Request::Ignore,
        }
    }

    /// Whether `text` looks as if it may hold a password: then it is told to nobody.
    pub fn may_hold_password(self, text: &str) -> bool {
        self.has_accounts() && accounts::may_hold_password(text)
    }

    /// What `name` does, as a message.
    pub fn action(self, name: &str, text: &str) -> String {
        accounts::action(name, text)
    }

    /// How many bytes a replay of `said` takes, its line feed included.
    pub fn history_line_bytes(self, said: &Said) -> usize {
        accounts::history_line_bytes(said)
    }

    /// Appends what a recipient in lines (or raw) hears of `event`.
    pub fn encode_for_lines(self, event: &Event, out: &mut Vec<u8>) {
        self.encode(event, out);
        if self != Self::Relay {
            out.push(b'\n');
        }
    }

    /// Appends what a recipient in bursts hears of `event`, after the line feed that parts
    /// it from what came before. Text is free of control characters, so within this stream
    /// a line feed always stands between two messages; the outbox drops it where nothing
    /// came shortly before.
    pub fn encode_for_bursts(self, event: &Event, out: &mut Vec<u8>) {
        out.push(b'\n');
        self.encode(event, out);
    }

    fn encode(self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::Accounts => accounts::encode(event, out),
            Self::Nickname => nickname::encode(event, out),
            Self::Relay | Self::Uppercase => relay::encode(event, out),
        }
    }

    /// What `reply` is in bytes, unterminated.
    pub fn encode_reply(self, reply: Reply) -> Vec<u8> {
        match reply {
            Reply::Greeting => nickname::GREETING.into(),
            Reply::AccountCreated => accounts::ACCOUNT_CREATED.into(),
            Reply::Welcome if self == Self::Nickname => nickname::WELCOME.into(),
            Reply::Welcome => accounts::LOGGED_IN.into(),
            Reply::LogInRefused => accounts::LOG_IN_REFUSED.into(),
            Reply::ShuttingDown => accounts::EXIT_SERVER.into(),
            Reply::Answer(bytes) => bytes,
            Reply::Private { name, text } => accounts::encode_private(&name, &text).into_bytes(),
            Reply::Help => commands::HELP.into(),
            Reply::Who { names, total } => accounts::encode_who(&names, total).into_bytes(),
            Reply::History(history) => accounts::encode_history(&history).into_bytes(),
            Reply::PasswordChanged => PASSWORD_CHANGED.into(),
            Reply::Error(refusal) => format!("[ERROR] {refusal}").into_bytes(),
        }
    }
}
