//! The line being typed, and the screen above it.
//!
//! Knows the line editor, and how to show something without disturbing what is typed. Knows
//! no server and not what a line means.
//!
//! While a line is edited, nobody writes to the terminal but the editor itself: what is heard
//! comes to the screen with the line, when that is painted anew (see `hand`). That it is
//! painted at all when no key is pressed is what nudges are for: an external print of nothing.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};

use rustyline::config::{BellStyle, Configurer as _};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor, ExternalPrinter, GraphemeClusterMode};
use zeroize::Zeroizing;

use super::board::Board;
use super::dress::{Dress, Shown};
use super::hand::{Hand, PROMPT};
use super::names::Names;
use super::typed::Typed;
use super::{layout, tty};
use crate::client::chat::End;
use crate::client::error::ClientError;
use crate::limits;

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
        let hand = Hand::new(Arc::clone(&board), names, dress);
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
        hand.line()
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
