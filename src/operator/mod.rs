//! The operator: what may be asked of a running server, on its standard input and, for
//! headless servers, through its control socket (`chinwag admin`).
//!
//! [`command`] is the language, pure. Whoever reads it posts the command to the loop and
//! waits for the answer; the loop never waits for anybody.
//!
//! ```text
//! standard input ─► console (of the server) ─┐
//!                                            ├─ line ─► command ─► errand ─► the loop
//! admin ─ socket, exchange ─► control ───────┘
//! ```
//!
//! [`place`] knows where a control socket lies, [`socket`] makes and removes it, [`control`]
//! is the thread behind it, [`admin`] is `chinwag admin`, another process.

pub mod admin;
pub mod command;
pub mod control;
mod exchange;
pub mod line;
pub mod place;
pub mod socket;

use std::sync::mpsc::{SyncSender, sync_channel};

pub use command::OperatorCommand;

/// What came of a command, for a person to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether it was done.
    pub done: bool,
    /// What to say: lines without a line feed at the end. May be empty.
    pub text: String,
}

impl Answer {
    /// It was done.
    pub fn done(text: impl Into<String>) -> Self {
        Self { done: true, text: text.into() }
    }

    /// It was not, and why.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { done: false, text: text.into() }
    }
}

/// A command on its way to the loop, and the way back for its answer. Whoever asked may
/// have gone; the way back holds one answer, so giving it never waits.
#[derive(Debug, Clone)]
pub struct Errand {
    /// What is asked.
    pub command: OperatorCommand,
    /// Where the answer goes.
    pub reply: SyncSender<Answer>,
}

/// Posts `command` and waits for what came of it: nothing, when the loop has ended.
pub fn ask(command: OperatorCommand, post: impl FnOnce(Errand)) -> Option<Answer> {
    let (reply, answer) = sync_channel(1);
    post(Errand { command, reply });
    // The loop answers what it takes, and drops what it no longer takes.
    answer.recv().ok()
}
