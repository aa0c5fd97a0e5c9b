//! The operator: what may be asked of a running server, on its standard input and, for
//! headless servers, through its control socket (`chinwag admin`).
//!
//! [`command`] is the language, pure. Whoever reads it posts the command to the loop and
//! waits for the answer; the loop never waits for anybody.

pub mod command;

use std::sync::mpsc::SyncSender;

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
