//! What the line editor asks while a line is typed: how to paint it, what Tab makes of it.
//!
//! Knows what waits to be shown, and the names. Knows neither when a line begins and ends nor
//! what becomes of it.
//!
//! Whenever the editor paints its line anew, it asks for the prompt's colours
//! (`highlight_prompt`): the answer is what waits on the board, and then the prompt. So what
//! is heard comes to stand above the line, after the old rows were cleared and before the new
//! ones are written, in one write.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, GraphemeClusterMode, Helper};
use unicode_segmentation::UnicodeSegmentation as _;
use zeroize::Zeroizing;

use super::board::Board;
use super::dress::Dress;
use super::hearing::SystemClock;
use super::names::{Completion, Names};
use super::{layout, tty};
use crate::protocol::Protocol;

pub(super) const PROMPT: &str = "> ";

/// What the editor asks while a line is typed.
pub(super) struct Hand {
    board: Arc<Board>,
    names: Arc<Mutex<Names>>,
    dress: Dress,
    edited: Mutex<Edited>,
}

/// What is known of the line being edited.
#[derive(Default)]
struct Edited {
    /// The line as it stands, for when the editor returns without it.
    line: Zeroizing<String>,
    /// It lost a line feed. The editor takes that for a character without width and would
    /// leave the cursor in a row that is none any more: it has to paint all of it.
    rows_lost: bool,
}

impl Hand {
    pub(super) fn new(board: Arc<Board>, names: Arc<Mutex<Names>>, dress: Dress) -> Self {
        Self { board, names, dress, edited: Mutex::default() }
    }

    /// The line as it stands.
    pub(super) fn line(&self) -> Zeroizing<String> {
        self.edited().line.clone()
    }

    fn edited(&self) -> MutexGuard<'_, Edited> {
        // A panic elsewhere leaves the line as good as it was.
        self.edited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A password is being typed where all can see it.
    fn hides(&self, line: &str) -> bool {
        self.dress.protocol == Protocol::Accounts
            && line.split('\n').any(|line| hidden_from(line).is_some())
    }
}

/// Where the passwords begin in a line that changes one.
fn hidden_from(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("/password ")?;
    (!rest.is_empty()).then(|| line.len() - rest.len())
}

/// The lines with stars for all that may be a password, as wide as before.
fn starred(lines: &str, width: GraphemeClusterMode) -> String {
    let mut shown = String::with_capacity(lines.len());
    for line in lines.split_inclusive('\n') {
        let from = hidden_from(line).unwrap_or(line.len());
        shown.push_str(&line[..from]);
        for cluster in line[from..].graphemes(true) {
            match cluster {
                "\n" | "\t" => shown.push_str(cluster),
                _ => shown.extend(std::iter::repeat_n('*', usize::from(width.width(cluster)))),
            }
        }
    }
    shown
}

impl Helper for Hand {}

impl Highlighter for Hand {
    #[expect(single_use_lifetimes, reason = "the trait has them")]
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        let mut shown = self.board.batch_while_editing();
        shown.push_str(prompt);
        Cow::Owned(shown)
    }

    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let width = GraphemeClusterMode::from_env();
        // What was pasted may hold characters that act on the terminal. The editor takes them
        // for as wide as nothing.
        let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        let shown = if self.hides(line) {
            Cow::Owned(starred(line, width))
        } else if line.contains(acts) {
            Cow::Owned(line.replace(acts, ""))
        } else {
            Cow::Borrowed(line)
        };
        match shown {
            Cow::Borrowed(line) => layout::broken(PROMPT, line, tty::columns(), width),
            Cow::Owned(line) => {
                Cow::Owned(layout::broken(PROMPT, &line, tty::columns(), width).into_owned())
            }
        }
    }

    fn highlight_char(&self, line: &str, _: usize, _: CmdKind) -> bool {
        let rows_lost = std::mem::take(&mut self.edited().rows_lost);
        // Otherwise a single new character would be written as it is.
        self.hides(line) || rows_lost
    }
}

impl Hinter for Hand {
    type Hint = String;

    /// Called for every change of the line; gives no hint.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        let mut edited = self.edited();
        if edited.line.as_str() != line {
            let rows = |text: &str| memchr::memchr_iter(b'\n', text.as_bytes()).count();
            edited.rows_lost |= rows(line) < rows(&edited.line);
            edited.line = Zeroizing::new(line.to_owned());
        }
        None
    }
}

impl Validator for Hand {
    /// Called at Enter.
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.board.stop_editing();
        Ok(ValidationResult::Valid(None))
    }
}

impl Completer for Hand {
    type Candidate = String;

    /// One candidate at the most: while it offers several, the editor shows nothing else.
    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match names.complete(line, at) {
            Completion::None => Ok((0, Vec::new())),
            Completion::Text(start, text) => Ok((start, vec![text])),
            Completion::Choices(choices) => {
                let note = format!("[{}]", choices.join(", "));
                self.board.add_own(self.dress.note(&note, &SystemClock));
                Ok((0, Vec::new()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_typed_in_the_open_is_starred() {
        let starred = |line: &str| starred(line, GraphemeClusterMode::WcWidth);
        assert_eq!(starred("/password ol:n漢w"), "/password *******");
        assert_eq!(starred("/password e\u{301}"), "/password *");
        assert_eq!(starred("hi\n/password a:b\nho"), "hi\n/password ***\nho");
        for line in ["/password", "/password ", "hi /password x", "/who"] {
            assert_eq!(starred(line), line);
        }
    }
}
