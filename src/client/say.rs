//! From what is typed or piped to what is sent.
//!
//! Knows lines and `exit()`. Knows no socket and no screen. What the server reserves (`/`,
//! `[NEW]`, `[ACTIVE]`) is the server's business and goes out as it is.

use std::io::{self, BufRead, Write};

use crate::limits;
use crate::protocol::text;

/// The word that leaves, at every question and in the chat.
pub(super) const EXIT: &str = "exit()";

/// Yields what is to be sent next; `None` when there is nothing more to say.
pub(super) type Mouth = Box<dyn FnMut() -> Option<Vec<u8>>>;

/// Every line of `input`, cleaned, until its end or `exit()`.
pub(super) fn lines(mut input: impl BufRead + 'static) -> Mouth {
    let mut line = Vec::new();
    Box::new(move || {
        loop {
            if !read_line(&mut input, &mut line) {
                return None;
            }
            if line.len() > limits::SAID_LINE_BYTES_MAX {
                // Standard error may be closed; nothing else could tell.
                let _ = writeln!(
                    io::stderr(),
                    "chinwag: a line of more than {} bytes was not said",
                    limits::SAID_LINE_BYTES_MAX
                );
                continue;
            }
            let said = String::from_utf8_lossy(&line).replace('\t', " ");
            let said = text::clean(&said);
            match said.trim() {
                EXIT => return None,
                "" => {}
                _ => return Some(format!("{said}\n").into_bytes()),
            }
        }
    })
}

/// Every byte of `input`, unchanged.
pub(super) fn bytes(mut input: impl BufRead + 'static) -> Mouth {
    Box::new(move || {
        loop {
            match input.fill_buf() {
                Ok([]) => return None,
                Ok(bytes) => {
                    let bytes = bytes.to_vec();
                    input.consume(bytes.len());
                    return Some(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    })
}

/// Reads a line without its end into `line`; false at the end of the input. Of a line over
/// the limit only enough is kept to tell that it is.
pub(super) fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> bool {
    line.clear();
    let mut any = false;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return any,
        };
        if chunk.is_empty() {
            return any;
        }
        any = true;
        let end = memchr::memchr(b'\n', chunk);
        let text = &chunk[..end.unwrap_or(chunk.len())];
        let room = (limits::SAID_LINE_BYTES_MAX + 1).saturating_sub(line.len());
        line.extend_from_slice(&text[..text.len().min(room)]);
        let used = text.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(input: &'static [u8]) -> Vec<String> {
        // A small buffer: lines span several reads.
        let mouth = lines(io::BufReader::with_capacity(3, input));
        std::iter::from_fn(mouth).map(|bytes| String::from_utf8(bytes).expect("text")).collect()
    }

    #[test]
    fn lines_are_cleaned_and_empty_ones_left_out() {
        assert_eq!(
            said(b"hi\r\n\n\x1b[2J\na\tb\n[NEW]:x\n/who\n\xff\nlast"),
            ["hi\n", "a b\n", "[NEW]:x\n", "/who\n", "\u{fffd}\n", "last\n"]
        );
    }

    #[test]
    fn exit_is_the_last_word() {
        assert_eq!(said(b"hi\n exit() \nmore\n"), ["hi\n"]);
        assert_eq!(said(b"exit() now\n"), ["exit() now\n"]);
    }

    #[test]
    fn a_line_over_the_limit_is_left_out_and_the_next_is_said() {
        let mut input = vec![b'x'; limits::SAID_LINE_BYTES_MAX + 1];
        input.extend_from_slice(b"\nnext\n");
        let mut mouth = lines(io::Cursor::new(input));
        assert_eq!(mouth().as_deref(), Some(&b"next\n"[..]));
        let mut mouth = lines(io::Cursor::new(vec![b'x'; limits::SAID_LINE_BYTES_MAX]));
        assert_eq!(mouth().map(|line| line.len()), Some(limits::SAID_LINE_BYTES_MAX + 1));
    }

    #[test]
    fn bytes_stay_as_they_are() {
        let input: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mouth = bytes(io::Cursor::new(input.clone()));
        let out: Vec<u8> = std::iter::from_fn(mouth).flatten().collect();
        assert_eq!(out, input);
    }
}
