//! What goes over the control socket: a line there, an answer back.
//!
//! ```text
//! caller: LINE \n
//! server: ok|error \n TEXT, to the end of the stream
//! ```
//!
//! Knows streams and deadlines. Knows neither commands nor where the socket is.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::Answer;
use crate::limits;

const DONE: &str = "ok";
const REFUSED: &str = "error";

/// A stream that fails after a deadline, however little comes at a time.
#[derive(Debug)]
pub(super) struct Within<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl<'a> Within<'a> {
    pub(super) fn new(stream: &'a UnixStream, until: Instant) -> Self {
        Self { stream, until }
    }

    fn left(&self) -> io::Result<Duration> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// The system says "would block" when a time-out has passed.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Within<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer).map_err(late)
    }
}

impl Write for Within<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The server's side: answers.
pub(super) fn write_answer(to: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let word = if answer.done { DONE } else { REFUSED };
    let end = if answer.text.is_empty() { "" } else { "\n" };
    to.write_all(format!("{word}\n{}{end}", answer.text).as_bytes())
}

/// The caller's side: says `line`, hears the answer.
///
/// # Errors
/// The stream fails. `UnexpectedEof`: the server ended it without an answer. `InvalidData`:
/// whoever is there is no server of ours.
pub(super) fn ask(stream: &mut (impl Read + Write), line: &str) -> io::Result<Answer> {
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(limits::CONTROL_ANSWER_BYTES_MAX as u64).read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let answer = String::from_utf8_lossy(&answer);
    let (word, text) = answer.split_once('\n').ok_or(io::ErrorKind::InvalidData)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    match word {
        DONE => Ok(Answer::done(text)),
        REFUSED => Ok(Answer::refused(text)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn an_answer_arrives_as_it_was_given() {
        for given in [
            Answer::done(""),
            Answer::done("one\ntwo"),
            Answer::refused("nobody is called ok"),
            Answer::refused(""),
        ] {
            let (here, there) = UnixStream::pair().unwrap();
            let until = Instant::now() + Duration::from_secs(10);
            write_answer(&mut Within::new(&there, until), &given).unwrap();
            there.shutdown(std::net::Shutdown::Write).unwrap();
            let answer = ask(&mut Within::new(&here, until), "who").unwrap();
            assert_eq!(answer, given);
            drop(here);
            let mut said = String::new();
            Within::new(&there, until).read_to_string(&mut said).unwrap();
            assert_eq!(said, "who\n");
        }
    }

    #[test]
    fn who_says_something_else_is_no_server() {
        for (said, kind) in [
            ("", io::ErrorKind::UnexpectedEof),
            ("ok", io::ErrorKind::InvalidData),
            ("HTTP/1.1 400 Bad Request\n", io::ErrorKind::InvalidData),
        ] {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            there.write_all(said.as_bytes()).unwrap();
            there.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(ask(&mut here, "who").unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn a_byte_at_a_time_does_not_move_the_deadline() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let wait = Duration::from_millis(100);
        let begun = Instant::now();
        thread::scope(|scope| {
            scope.spawn(move || {
                while there.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let mut bytes = Vec::new();
            let error = Within::new(&here, begun + wait).read_to_end(&mut bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() >= wait && !bytes.is_empty());
            drop(here);
        });
    }
}
