//! The terminal itself: its settings while one sits in the room, its width, and that it is
//! given back as it was.
//!
//! Knows standard input and output. Knows no line.

use std::io::{self, IsTerminal};

use rustix::termios::{
    self, ControlModes, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios,
};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;

/// Whether a line can be edited here: a person types, sees it, and the terminal obeys.
pub(in crate::client) fn can_edit() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    io::stdin().is_terminal() && io::stdout().is_terminal() && is_capable(&term)
}

fn is_capable(term: &str) -> bool {
    !["", "dumb", "cons25", "emacs", "unknown"].contains(&term.to_ascii_lowercase().as_str())
}

/// How many columns the terminal has now.
pub(super) fn columns() -> u16 {
    match termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col,
        // What the editor takes it for.
        _ => 80,
    }
}

/// Until it is dropped, what is typed is neither shown nor changed by the terminal, also
/// between two lines: what is typed ahead stays what it is.
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    pub(super) fn new() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.input_modes -= InputModes::BRKINT
            | InputModes::ICRNL
            | InputModes::INPCK
            | InputModes::ISTRIP
            | InputModes::IXON;
        raw.control_modes |= ControlModes::CS8;
        raw.local_modes -=
            LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        let raw = Self { before };
        raw.watch()?;
        Ok(raw)
    }

    /// SIGTERM and SIGHUP end the program as ever, but not before the terminal is as it was.
    fn watch(&self) -> io::Result<()> {
        let before = self.before.clone();
        let mut signals = Signals::new([SIGTERM, SIGHUP])?;
        std::thread::Builder::new().name("restores".to_owned()).spawn(move || {
            for signal in signals.forever() {
                restore(&before);
                // Does not return: the default of both is the end of the program.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })?;
        Ok(())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Where it fails there is no terminal any more.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Leaves the line that is being typed, too, wherever the cursor is in it.
fn restore(before: &Termios) {
    // Now, not when everything is written: the terminal may have stopped reading.
    let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
    // The editor's request to mark what is pasted is taken back.
    let _ = rustix::io::write(io::stdout(), b"\x1b[?2004l\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_terminals_cannot_edit() {
        for term in ["", "dumb", "DUMB", "emacs"] {
            assert!(!is_capable(term), "{term:?}");
        }
        for term in ["xterm-256color", "linux", "screen", "tmux"] {
            assert!(is_capable(term), "{term}");
        }
    }
}
