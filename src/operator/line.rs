//! Lines of an operator, from wherever they come.
//!
//! Knows bytes and their most. Knows no command.

use std::io::{self, BufRead, Read as _};

use crate::limits;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line, without its line feed.
    Whole(String),
    /// What stood before the end, without a line feed. Perhaps more was meant to follow.
    Unfinished(String),
    /// Longer than a line may be. Its rest was not read yet.
    TooLong,
    /// Not UTF-8.
    NotText,
    /// Nothing is left.
    End,
}

/// Reads a line.
///
/// # Errors
/// The input fails.
pub fn read(input: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    let most = limits::CONSOLE_LINE_BYTES_MAX as u64 + 1;
    if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(Line::End);
    }
    let whole = line.pop_if(|last| *last == b'\n').is_some();
    if line.len() > limits::CONSOLE_LINE_BYTES_MAX {
        return Ok(Line::TooLong);
    }
    Ok(match String::from_utf8(line) {
        Ok(line) if whole => Line::Whole(line),
        Ok(line) => Line::Unfinished(line),
        Err(_) => Line::NotText,
    })
}

/// Why a line that is too long is not taken.
pub(crate) fn too_long() -> String {
    format!("a command has at most {} bytes", limits::CONSOLE_LINE_BYTES_MAX)
}

/// Why a line that is not UTF-8 is not taken.
pub(crate) const NOT_TEXT: &str = "a command is UTF-8 text";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        let most = "x".repeat(limits::CONSOLE_LINE_BYTES_MAX);
        let input = format!("who\n\n{most}\n{most}xwho\nkick").into_bytes();
        let mut input = &[input, b"\xff\n".to_vec(), b"last".to_vec()].concat()[..];
        let whole = |line: &str| Line::Whole(line.to_owned());
        for line in [whole("who"), whole(""), whole(&most), Line::TooLong] {
            assert_eq!(read(&mut input).unwrap(), line);
        }
        input.skip_until(b'\n').unwrap();
        assert_eq!(read(&mut input).unwrap(), Line::NotText);
        assert_eq!(read(&mut input).unwrap(), Line::Unfinished("last".to_owned()));
        assert_eq!(read(&mut input).unwrap(), Line::End);
    }
}
