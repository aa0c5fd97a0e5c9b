//! From what was heard to what is shown: cleaned on a terminal, coloured where colour is
//! wanted, and exactly as heard everywhere else.
//!
//! Knows lines and escape codes. Knows no socket.

use std::io::{self, IsTerminal, Write};

use super::error::ClientError;
use super::heard::{Heard, Line, Lines};
use crate::protocol::{Protocol, text};

/// How things are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// A terminal reads along: nothing heard may act on it.
    pub(super) clean: bool,
    /// Names and notices may be coloured.
    pub(super) colour: bool,
}

impl Look {
    /// What suits standard output, NO_COLOR and TERM.
    pub(super) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let incapable =
            std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Self { clean: terminal, colour: terminal && !unwanted && !incapable }
    }
}

/// Shows one thing and nothing after it. That nobody reads it any more is no failure.
///
/// # Errors
/// It cannot be written.
pub(super) fn once(out: &mut impl Write, bytes: &[u8]) -> Result<(), ClientError> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}

/// What was heard cannot be shown.
pub(super) fn failed(error: io::Error) -> ClientError {
    ClientError::io("write what was heard")(error)
}

/// Takes what arrives and shows it.
pub(super) trait Ear {
    /// Shows what arrived; true when it says that the server is shutting down.
    fn hear(&mut self, bytes: &[u8]) -> io::Result<bool>;
    /// The stream has ended: shows what is left.
    fn end(&mut self) -> io::Result<bool>;
}

/// Hears lines: `accounts`, `nickname`.
pub(super) struct LineEar<W> {
    pub(super) protocol: Protocol,
    pub(super) look: Look,
    pub(super) lines: Lines,
    pub(super) out: W,
}

impl<W: Write> LineEar<W> {
    fn show(&mut self, line: &Line) -> io::Result<()> {
        if self.look.clean {
            let text = String::from_utf8_lossy(&line.bytes);
            let text = text::clean(&text);
            if self.look.colour && line.begins && line.ended {
                paint(&mut self.out, Heard::of(self.protocol, &text))?;
            } else {
                self.out.write_all(text.as_bytes())?;
            }
        } else {
            self.out.write_all(&line.bytes)?;
        }
        if line.ended { self.out.write_all(b"\n") } else { Ok(()) }
    }

    /// On a terminal the farewell is not shown: what it means is said in words.
    fn is_shutdown(&mut self, line: &Line) -> io::Result<bool> {
        let shutdown = line.is_shutdown();
        if !(shutdown && self.look.clean) {
            self.show(line)?;
        }
        Ok(shutdown)
    }
}

impl<W: Write> Ear for LineEar<W> {
    fn hear(&mut self, bytes: &[u8]) -> io::Result<bool> {
        self.lines.push(bytes);
        while let Some(line) = self.lines.next() {
            if self.is_shutdown(&line)? {
                self.out.flush()?;
                return Ok(true);
            }
        }
        self.out.flush()?;
        Ok(false)
    }

    fn end(&mut self) -> io::Result<bool> {
        let Some(mut line) = self.lines.rest() else { return Ok(false) };
        // A terminal's next line must not follow on this one.
        line.ended = self.look.clean;
        let shutdown = self.is_shutdown(&line)?;
        self.out.flush()?;
        Ok(shutdown)
    }
}

/// Writes a line's text, coloured: names bold, notices dim, reasons red.
fn paint(out: &mut impl Write, heard: Heard<'_>) -> io::Result<()> {
    match heard {
        Heard::Notice(text) => write!(out, "\x1b[2m{text}\x1b[0m"),
        Heard::Error(text) => write!(out, "\x1b[31m{text}\x1b[0m"),
        Heard::Said { before, name, after } => {
            write!(out, "{before}\x1b[1;36m{name}\x1b[0m{after}")
        }
        Heard::Other(text) => write!(out, "{text}"),
    }
}

/// Hears bytes: `relay`.
pub(super) struct ByteEar<W> {
    pub(super) look: Look,
    pub(super) out: W,
    /// The beginning of a character whose rest has not arrived (terminal only).
    pub(super) unfinished: Vec<u8>,
}

impl<W: Write> Ear for ByteEar<W> {
    fn hear(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if self.look.clean {
            self.unfinished.extend_from_slice(bytes);
            let whole = whole_characters(&self.unfinished);
            let text = String::from_utf8_lossy(&self.unfinished[..whole]).into_owned();
            self.unfinished.drain(..whole);
            for (at, line) in text.split('\n').enumerate() {
                if at > 0 {
                    self.out.write_all(b"\n")?;
                }
                self.out.write_all(text::clean(line).as_bytes())?;
            }
        } else {
            self.out.write_all(bytes)?;
        }
        self.out.flush()?;
        Ok(false)
    }

    fn end(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// How many of `bytes` come before an unfinished UTF-8 character at their end.
fn whole_characters(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        Some(chunk) if is_unfinished(chunk.invalid()) => bytes.len() - chunk.invalid().len(),
        _ => bytes.len(),
    }
}

fn is_unfinished(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { clean: false, colour: false };
    const TERMINAL: Look = Look { clean: true, colour: false };
    const COLOUR: Look = Look { clean: true, colour: true };

    fn shown(look: Look, bytes: &[u8]) -> (String, bool) {
        let mut ear = LineEar {
            protocol: Protocol::Accounts,
            look,
            lines: Lines::default(),
            out: Vec::new(),
        };
        let shutdown = ear.hear(bytes).expect("hear") || ear.end().expect("end");
        (String::from_utf8_lossy(&ear.out).into_owned(), shutdown)
    }

    #[test]
    fn a_pipe_gets_what_was_heard() {
        let heard = "hi\x1b[31m - (lior)\r\n\n[ERROR] x\nrest";
        assert_eq!(shown(PLAIN, heard.as_bytes()), (heard.to_owned(), false));
    }

    #[test]
    fn a_terminal_is_not_acted_on() {
        assert_eq!(
            shown(TERMINAL, b"\x1b]0;own\x07\x1b[2Jhi\r - (lior)\nre\x9bst"),
            ("hi - (lior)\nre\u{fffd}st\n".to_owned(), false)
        );
    }

    #[test]
    fn colour_is_for_names_notices_and_reasons() {
        let notice = "[lior - connected to the server!]";
        for (line, painted) in [
            ("hi - (lior)", "hi - (\x1b[1;36mlior\x1b[0m)\n"),
            (notice, "\x1b[2m[lior - connected to the server!]\x1b[0m\n"),
            ("[ERROR] why", "\x1b[31m[ERROR] why\x1b[0m\n"),
            ("else", "else\n"),
        ] {
            assert_eq!(shown(COLOUR, format!("{line}\n").as_bytes()).0, painted);
        }
    }

    #[test]
    fn the_farewell_ends_it() {
        assert_eq!(shown(TERMINAL, b"hi\nexit_server\n"), ("hi\n".to_owned(), true));
        assert_eq!(shown(PLAIN, b"exit_server\n"), ("exit_server\n".to_owned(), true));
        assert_eq!(shown(PLAIN, b"exit_server"), ("exit_server".to_owned(), true));
        assert!(!shown(TERMINAL, b"exit_server - (dana)\n").1);
    }

    #[test]
    fn a_relay_on_a_terminal_is_cleaned_and_characters_stay_whole() {
        let heard = "é\x1b[2J漢\nok".as_bytes();
        for at in 0..heard.len() {
            let mut ear = ByteEar { look: TERMINAL, out: Vec::new(), unfinished: Vec::new() };
            ear.hear(&heard[..at]).expect("hear");
            ear.hear(&heard[at..]).expect("hear");
            let shown = String::from_utf8(ear.out).expect("text");
            assert!(!shown.contains('\x1b') && !shown.contains('\u{fffd}'), "{at}: {shown:?}");
        }
        let mut ear = ByteEar { look: PLAIN, out: Vec::new(), unfinished: Vec::new() };
        ear.hear(b"\xff\x00\x1b").expect("hear");
        assert_eq!(ear.out, b"\xff\x00\x1b");
    }
}
