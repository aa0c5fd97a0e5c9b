//! The face on a terminal: questions, hidden questions, lines told, lines typed.
//!
//! Knows standard input and output and the terminal's echo. Knows no question by itself and
//! no server; in the chat itself the line editor takes its place (`screen`).

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use zeroize::Zeroizing;

use super::error::ClientError;
use super::say::{self, Mouth};

/// A person's terminal.
pub(super) struct Terminal {
    out: Box<dyn Write>,
    interrupts: Interrupts,
}

impl Terminal {
    /// The terminal that standard input is. Questions go to standard output, or to standard
    /// error if standard output goes elsewhere.
    pub(super) fn new() -> Result<Self, ClientError> {
        let stdout = io::stdout();
        let out: Box<dyn Write> =
            if stdout.is_terminal() { Box::new(stdout) } else { Box::new(io::stderr()) };
        let interrupts = Interrupts::new().map_err(ClientError::io("watch for Ctrl-C"))?;
        Ok(Self { out, interrupts })
    }

    /// Shows a line.
    pub(super) fn tell(&mut self, line: &str) -> Result<(), ClientError> {
        writeln!(self.out, "{line}")
            .and_then(|()| self.out.flush())
            .map_err(ClientError::io("write to the terminal"))
    }

    /// Asks a question. `None`: the person leaves, by `exit()` or at the end of the input.
    pub(super) fn ask(&mut self, prompt: &str) -> Result<Option<String>, ClientError> {
        self.prompt(prompt)?;
        let mut line = Vec::new();
        if !say::read_line(&mut io::stdin().lock(), &mut line) {
            // The cursor still stands behind the prompt.
            self.tell("")?;
            return Ok(None);
        }
        let answer = String::from_utf8_lossy(&line).trim().to_owned();
        Ok((answer != say::EXIT).then_some(answer))
    }

    /// Asks without showing what is typed. `None` as in `ask`. Ctrl-C ends the program, as
    /// elsewhere, but only after the echo is back.
    pub(super) fn ask_hidden(
        &mut self,
        prompt: &str,
    ) -> Result<Option<Zeroizing<String>>, ClientError> {
        self.prompt(prompt)?;
        let held = self.interrupts.hold();
        let answer = rpassword::read_password();
        drop(held);
        match answer.map(Zeroizing::new) {
            Ok(answer) => Ok((answer.as_str() != say::EXIT).then_some(answer)),
            Err(error)
                if [io::ErrorKind::UnexpectedEof, io::ErrorKind::Interrupted]
                    .contains(&error.kind()) =>
            {
                self.tell("")?;
                Ok(None)
            }
            Err(error) => Err(ClientError::io(
                "read a password from the terminal (or give --password-file FILE)",
            )(error)),
        }
    }

    /// Whether Ctrl-C, as a signal, is left to whoever asks: it ends nothing then.
    pub(super) fn interrupts_wait(&mut self, wait: bool) {
        self.interrupts.tamed = wait;
        self.interrupts.fatal.store(!wait, Ordering::SeqCst);
        self.interrupts.seen.store(false, Ordering::SeqCst);
    }

    fn prompt(&mut self, prompt: &str) -> Result<(), ClientError> {
        write!(self.out, "{prompt} ")
            .and_then(|()| self.out.flush())
            .map_err(ClientError::io("write to the terminal"))
    }
}

/// The lines typed in the chat.
pub(super) fn lines_typed() -> Mouth {
    say::lines(io::stdin().lock())
}

/// Ctrl-C. While a password is typed it arrives as a signal that must wait until the
/// terminal shows again what is typed; at any other time it does what it always does.
struct Interrupts {
    /// The signal ends the program at once.
    fatal: Arc<AtomicBool>,
    /// A signal has come.
    seen: Arc<AtomicBool>,
    /// Signals end nothing at all.
    tamed: bool,
}

impl Interrupts {
    fn new() -> io::Result<Self> {
        let fatal = Arc::new(AtomicBool::new(true));
        let seen = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register_conditional_default(SIGINT, Arc::clone(&fatal))?;
        signal_hook::flag::register(SIGINT, Arc::clone(&seen))?;
        Ok(Self { fatal, seen, tamed: false })
    }

    /// Until the result is dropped, the signal waits.
    fn hold(&self) -> Held<'_> {
        self.fatal.store(false, Ordering::SeqCst);
        Held(self)
    }
}

struct Held<'a>(&'a Interrupts);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.0.tamed {
            return;
        }
        self.0.fatal.store(true, Ordering::SeqCst);
        if self.0.seen.load(Ordering::SeqCst) {
            // Does not return: the default is the end of the program. If it could not be
            // had, the question ends with an error all the same.
            let _ = signal_hook::low_level::emulate_default_handler(SIGINT);
        }
    }
}
