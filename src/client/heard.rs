//! What arrives from the server: bytes to lines, lines to what they are.
//!
//! Knows the texts of `accounts` and `nickname`. Knows no socket and no screen.

use crate::limits::HEARD_LINE_BYTES_MAX;
use crate::protocol::Protocol;

/// One line heard, or a piece of one that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The bytes, without the line feed.
    pub(super) bytes: Vec<u8>,
    /// Nothing of this line was handed out before.
    pub(super) begins: bool,
    /// A line feed followed.
    pub(super) ended: bool,
}

impl Line {
    /// The server's farewell: this line and no other, however the stream ended after it. A
    /// person's line never looks like this: a name stands before or behind it.
    pub(super) fn is_shutdown(&self) -> bool {
        self.begins && self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes) == b"exit_server"
    }
}

/// Bytes to lines, bounded: a line that never ends comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
    /// Bytes of `pending` that were handed out.
    start: usize,
    /// A piece of the current line was handed out.
    midway: bool,
}

impl Lines {
    /// Takes what arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.start);
        self.start = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// What arrived and was not handed out.
    pub(super) fn pending(&self) -> &[u8] {
        &self.pending[self.start..]
    }

    /// Forgets the first `count` pending bytes.
    pub(super) fn skip(&mut self, count: usize) {
        self.start += count.min(self.pending().len());
    }

    /// The next whole line, left where it is.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        memchr::memchr(b'\n', self.pending()).map(|end| &self.pending()[..end])
    }

    /// The next line, or a piece of one over the limit.
    pub(super) fn next(&mut self) -> Option<Line> {
        let (length, ended) = match self.peek() {
            Some(line) => (line.len(), true),
            None if self.pending().len() > HEARD_LINE_BYTES_MAX => (HEARD_LINE_BYTES_MAX, false),
            None => return None,
        };
        let bytes = self.pending()[..length].to_vec();
        self.skip(length + usize::from(ended));
        let begins = !std::mem::replace(&mut self.midway, !ended);
        Some(Line { bytes, begins, ended })
    }

    /// What is left when the stream has ended.
    pub(super) fn rest(&mut self) -> Option<Line> {
        if self.pending().is_empty() {
            return None;
        }
        let bytes = self.pending().to_vec();
        self.skip(bytes.len());
        Some(Line { bytes, begins: !self.midway, ended: false })
    }
}

/// What a line heard is. All parts together are the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// Someone came or went, or the welcome.
    Notice(&'a str),
    /// The server could not accept something.
    Error(&'a str),
    /// Someone said something: what stands before the name, the name, what follows it.
    Said {
        /// Before the name.
        before: &'a str,
        /// Who said it.
        name: &'a str,
        /// Behind the name.
        after: &'a str,
    },
    /// Anything else.
    Other(&'a str),
}

impl<'a> Heard<'a> {
    /// Tells what `line` is.
    pub(super) fn of(protocol: Protocol, line: &'a str) -> Self {
        match protocol {
            Protocol::Accounts => Self::of_accounts(line),
            Protocol::Nickname => Self::of_nickname(line),
            Protocol::Relay | Protocol::Uppercase => Self::Other(line),
        }
    }

    fn of_accounts(line: &'a str) -> Self {
        // A name has no brackets, so the last ` - (` is the server's.
        if let Some(inner) = line.strip_suffix(')')
            && let Some(at) = inner.rfind(" - (")
        {
            let (before, name) = inner.split_at(at + " - (".len());
            return Self::Said { before, name, after: ")" };
        }
        if line.starts_with('[')
            && (line.ends_with(" - connected to the server!]")
                || line.ends_with(" - disconnected from the server!]"))
        {
            return Self::Notice(line);
        }
        if line.starts_with("[ERROR]") { Self::Error(line) } else { Self::Other(line) }
    }

    fn of_nickname(line: &'a str) -> Self {
        if line.starts_with("[ERROR]") {
            return Self::Error(line);
        }
        // A name has no colon, so the first one is the speaker's.
        if let Some(at) = line.find(':') {
            let (name, after) = line.split_at(at);
            return Self::Said { before: "", name, after };
        }
        let notice = line == "Welcome to this chatroom!"
            || line.ends_with(" join the chat room")
            || line.ends_with(" Left chat room");
        if notice { Self::Notice(line) } else { Self::Other(line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<String> {
        std::iter::from_fn(|| lines.next())
            .map(|line| String::from_utf8(line.bytes).expect("text"))
            .collect()
    }

    #[test]
    fn the_same_lines_for_every_split() {
        let bytes = b"one\n\ntwo\nrest";
        for at in 0..=bytes.len() {
            let mut lines = Lines::default();
            lines.push(&bytes[..at]);
            let mut heard = all(&mut lines);
            lines.push(&bytes[at..]);
            heard.extend(all(&mut lines));
            assert_eq!(heard, ["one", "", "two"], "split at {at}");
            let rest = Line { bytes: b"rest".to_vec(), begins: true, ended: false };
            assert_eq!(lines.rest(), Some(rest));
            assert_eq!(lines.rest(), None);
        }
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; HEARD_LINE_BYTES_MAX + 1]);
        let piece = lines.next().expect("piece");
        assert!(piece.begins && !piece.ended && piece.bytes.len() == HEARD_LINE_BYTES_MAX);
        assert_eq!(lines.next(), None);
        lines.skip(1);
        lines.push(b"exit_server\nexit_server\n");
        let end = lines.next().expect("end of the long line");
        assert!(end.ended && !end.begins && !end.is_shutdown());
        assert!(lines.next().expect("next line").is_shutdown());
    }

    #[test]
    fn only_the_exact_line_is_the_farewell() {
        let is =
            |bytes: &[u8]| Line { bytes: bytes.to_vec(), begins: true, ended: true }.is_shutdown();
        assert!(is(b"exit_server"));
        assert!(is(b"exit_server\r"));
        assert!(!is(b"exit_server - (dana)"));
        assert!(!is(b"dana: exit_server"));
        assert!(!is(b"exit_server "));
    }

    #[test]
    fn what_is_heard_in_accounts() {
        let of = |line| Heard::of(Protocol::Accounts, line);
        assert_eq!(
            of("a - (b) - (lior)"),
            Heard::Said { before: "a - (b) - (", name: "lior", after: ")" }
        );
        let notice = "[lior - connected to the server!]";
        assert_eq!(of(notice), Heard::Notice(notice));
        assert_eq!(of("[ERROR] not logged in"), Heard::Error("[ERROR] not logged in"));
        assert!(matches!(of("[ERROR] x - (lior)"), Heard::Said { name: "lior", .. }));
        assert!(matches!(
            of("[dana - connected to the server!] - (lior)"),
            Heard::Said { name: "lior", .. }
        ));
        assert_eq!(of("True"), Heard::Other("True"));
    }

    #[test]
    fn what_is_heard_in_nickname() {
        let of = |line| Heard::of(Protocol::Nickname, line);
        assert_eq!(of("lior: a: b"), Heard::Said { before: "", name: "lior", after: ": a: b" });
        assert_eq!(of("lior join the chat room"), Heard::Notice("lior join the chat room"));
        assert!(matches!(of("lior: dana Left chat room"), Heard::Said { name: "lior", .. }));
        assert!(matches!(of("[ERROR] the name is taken: x"), Heard::Error(_)));
    }
}
