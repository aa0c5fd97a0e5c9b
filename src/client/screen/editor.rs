//! The line being typed, and the screen above it.
//!
//! Knows the line editor, and how to show something without disturbing what is typed. Knows
//! no server and not what a line means.
//!
//! While a line is edited, nobody writes to the terminal but the editor itself. Whenever it
//! paints its line anew, it asks for the prompt's colours (`highlight_prompt`): the answer
//! is what waits on the board, and then the prompt. So what is heard comes to stand above
//! the line, after the old rows were cleared and before the new ones are written, in one
//! write. That it paints at all when no key is pressed is what nudges are for: an external
//! print of nothing.

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustyline::completion::Completer;
use rustyline::config::{BellStyle, Configurer as _};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{
    ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter, GraphemeClusterMode,
    Helper,
};
use unicode_segmentation::UnicodeSegmentation as _;
use zeroize::Zeroizing;

use super::board::Board;
use super::dress::{Dress, Shown};
use super::hearing::SystemClock;
use super::names::{Completion, Names};
use super::typed::Typed;
use super::{layout, tty};
use crate::client::chat::End;
use crate::client::error::ClientError;
use crate::limits;
use crate::protocol::Protocol;

const PROMPT: &str = "> ";
/// An external print of nothing: up and down again. The editor wants a line feed at the end.
const NUDGE: &str = "\x1b[A\n";

/// What came of waiting for a line.
pub(super) enum Entry {
    /// A line, or several that were pasted as one.
    Text(Zeroizing<String>),
    /// Ctrl-C, Ctrl-D, or the end of the terminal.
    Leave,
    /// The room is over.
    Over(End),
}

/// The lower end of the screen.
pub(super) struct Desk {
    editor: Editor<Hand, DefaultHistory>,
    board: Arc<Board>,
    width: GraphemeClusterMode,
    /// What was not said, to be edited again.
    returned: Zeroizing<String>,
}

impl Desk {
    pub(super) fn new(
        board: Arc<Board>,
        names: Arc<Mutex<Names>>,
        dress: Dress,
        bell: bool,
    ) -> Result<Self, ClientError> {
        let width = GraphemeClusterMode::from_env();
        let mut config = Config::builder()
            // Otherwise the prompt's colours are not asked for. `Dress` knows NO_COLOR.
            .color_mode(ColorMode::Forced)
            .completion_type(CompletionType::List)
            .grapheme_cluster_mode(width)
            .bell_style(if bell { BellStyle::Audible } else { BellStyle::None })
            .build();
        let wait = limits::KEY_SEQUENCE_WAIT.as_millis();
        config.set_keyseq_timeout(Some(u16::try_from(wait).unwrap_or(u16::MAX)));
        let failed = |error| failed("edit on this terminal")(error);
        let mut editor = Editor::with_config(config).map_err(failed)?;
        editor.set_max_history_size(limits::TYPED_LINES_REMEMBERED).map_err(failed)?;
        let printer = editor.create_external_printer().map_err(failed)?;
        let hand = Hand { board: Arc::clone(&board), names, dress, edited: Mutex::default() };
        editor.set_helper(Some(hand));
        nudge(printer, Arc::clone(&board)).map_err(ClientError::io("start a thread"))?;
        Ok(Self { editor, board, width, returned: Zeroizing::default() })
    }

    /// Waits for a line and takes it off the screen.
    pub(super) fn next(&mut self) -> Result<Entry, ClientError> {
        loop {
            if let Some(end) = self.board.over() {
                return Ok(Entry::Over(end));
            }
            let returned = std::mem::take(&mut self.returned);
            let read =
                self.editor.readline_with_initial(PROMPT, (&returned, "")).map(Zeroizing::new);
            self.board.stop_editing();
            match read {
                Ok(text) => {
                    self.clear(&text)?;
                    return Ok(Entry::Text(text));
                }
                Err(ReadlineError::Interrupted) => {
                    let half = self.half_typed();
                    self.clear(&half)?;
                    return Ok(self.board.over().map_or(Entry::Leave, Entry::Over));
                }
                Err(error) if is_passing(&error) => {
                    self.returned = self.half_typed();
                    self.clear(&self.returned)?;
                }
                Err(ReadlineError::Eof) => {
                    self.clear("")?;
                    return Ok(Entry::Leave);
                }
                Err(error) => return Err(failed("read from the terminal")(error)),
            }
        }
    }

    /// Gives a text back: it stands in the next line, to be edited.
    pub(super) fn give_back(&mut self, text: Zeroizing<String>) {
        self.returned = text;
    }

    /// Remembers a line for the arrow keys, unless it may hold a password.
    pub(super) fn remember(&mut self, line: &str) {
        if !Typed::is_secret(line) {
            // In memory: it does not fail.
            let _ = self.editor.add_history_entry(line);
        }
    }

    /// Shows lines of one's own, between two that are typed.
    pub(super) fn show(&self, lines: &[Shown]) -> Result<(), ClientError> {
        let text: String = lines.iter().flat_map(|shown| [shown.text.as_str(), "\n"]).collect();
        write(&text)
    }

    /// Shows a batch of what waits; true if there was something.
    pub(super) fn show_batch(&self) -> Result<bool, ClientError> {
        let batch = self.board.batch();
        write(&batch)?;
        Ok(!batch.is_empty())
    }

    fn half_typed(&self) -> Zeroizing<String> {
        let Some(hand) = self.editor.helper() else { return Zeroizing::default() };
        hand.edited().line.clone()
    }

    /// Takes prompt and line off the screen: the cursor stands in the row below them.
    fn clear(&self, line: &str) -> Result<(), ClientError> {
        let rows = layout::last_row(PROMPT, line, tty::columns(), self.width) + 1;
        write(&format!("\r\x1b[{rows}A\x1b[J"))
    }
}

/// A byte that is no text, or a signal in the middle of a key: the line goes on without it.
fn is_passing(error: &ReadlineError) -> bool {
    match error {
        ReadlineError::Signal(_) => true,
        ReadlineError::Io(error) => {
            [io::ErrorKind::InvalidData, io::ErrorKind::Interrupted].contains(&error.kind())
        }
        _ => false,
    }
}

fn failed(what: &'static str) -> impl FnOnce(ReadlineError) -> ClientError {
    move |error| match error {
        ReadlineError::Io(error) => ClientError::io(what)(error),
        error => ClientError::io(what)(io::Error::other(error)),
    }
}

fn write(text: &str) -> Result<(), ClientError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(ClientError::io("write to the terminal"))
}

/// Makes the editor paint when something waits and no key is pressed.
fn nudge(mut printer: impl ExternalPrinter + Send + 'static, board: Arc<Board>) -> io::Result<()> {
    std::thread::Builder::new().name("nudges".to_owned()).spawn(move || {
        while board.wait_for_nudge() {
            if printer.print(NUDGE.to_owned()).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// What the editor asks while a line is typed.
struct Hand {
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
    fn edited(&self) -> MutexGuard<'_, Edited> {
        // A panic elsewhere leaves the line as good as it was.
        self.edited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A password is being typed where all can see it.
    fn hides(&self, line: &str) -> bool {
        self.dress.protocol == Protocol::Accounts && hidden_from(line).is_some()
    }
}

/// Where the passwords begin in a line that changes one.
fn hidden_from(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("/password ")?;
    (!rest.is_empty()).then(|| line.len() - rest.len())
}

/// The line with stars for all that may be a password, as wide as before.
fn starred(line: &str, from: usize, width: GraphemeClusterMode) -> String {
    let mut shown = line[..from].to_owned();
    for cluster in line[from..].graphemes(true) {
        match cluster {
            "\n" | "\t" => shown.push_str(cluster),
            _ => shown.extend(std::iter::repeat_n('*', usize::from(width.width(cluster)))),
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
        let shown = match hidden_from(line) {
            Some(from) if self.hides(line) => Cow::Owned(starred(line, from, width)),
            _ if line.contains(acts) => Cow::Owned(line.replace(acts, "")),
            _ => Cow::Borrowed(line),
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
        let starred = |line: &str| {
            let from = hidden_from(line)?;
            Some(starred(line, from, GraphemeClusterMode::WcWidth))
        };
        assert_eq!(starred("/password ol:n漢w").as_deref(), Some("/password *******"));
        assert_eq!(starred("/password e\u{301}").as_deref(), Some("/password *"));
        for line in ["/password", "/password ", "hi /password x", "/who"] {
            assert_eq!(starred(line), None, "{line}");
        }
    }
}
