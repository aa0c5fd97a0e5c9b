//! How many rows a prompt and the line typed behind it take.
//!
//! Knows columns and characters, and counts as the line editor does. Knows no terminal.

use std::borrow::Cow;

use rustyline::GraphemeClusterMode;
use unicode_segmentation::UnicodeSegmentation as _;

/// Columns to the next tab stop, the editor's own.
const TAB: u16 = 8;

/// The row, counted from the prompt's, in which the cursor stands behind `line`. A line that
/// fills its last row to the end puts the cursor into the next one.
pub(super) fn last_row(
    prompt: &str,
    line: &str,
    columns: u16,
    width: GraphemeClusterMode,
) -> usize {
    walk(prompt, line, columns, width, |_| {})
}

/// `line` with a line feed at the end of every full row, so that no terminal takes its rows
/// for one line: some would join them when they become wider, and others not. Which it is
/// cannot be known, and whoever clears as many rows as there were would clear too many.
pub(super) fn broken<'a>(
    prompt: &str,
    line: &'a str,
    columns: u16,
    width: GraphemeClusterMode,
) -> Cow<'a, str> {
    let mut broken = String::new();
    let mut done = 0;
    walk(prompt, line, columns, width, |at| {
        broken.push_str(&line[done..at]);
        broken.push('\n');
        done = at;
    });
    if done == 0 {
        return Cow::Borrowed(line);
    }
    broken.push_str(&line[done..]);
    Cow::Owned(broken)
}

/// Tells where in `line` a character goes to the next row, and the row in the end.
fn walk(
    prompt: &str,
    line: &str,
    columns: u16,
    width: GraphemeClusterMode,
    mut wraps: impl FnMut(usize),
) -> usize {
    let columns = columns.max(1);
    let (mut row, mut column) = (0, 0);
    // One after the other: a mark at the beginning of the line does not join the prompt.
    for (text, is_line) in [(prompt, false), (line, true)] {
        for (at, cluster) in text.grapheme_indices(true) {
            if cluster == "\n" {
                row += 1;
                column = 0;
                continue;
            }
            let wide = if cluster == "\t" { TAB - column % TAB } else { width.width(cluster) };
            column += wide;
            if column > columns {
                row += 1;
                column = wide;
                if is_line && at > 0 {
                    wraps(at);
                }
            }
        }
        if column >= columns {
            row += 1;
            column = 0;
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(line: &str, columns: u16) -> usize {
        last_row("> ", line, columns, GraphemeClusterMode::WcWidth)
    }

    #[test]
    fn rows_of_a_line() {
        assert_eq!(rows("", 10), 0);
        assert_eq!(rows("1234567", 10), 0);
        // Filled to the end: the cursor waits in the next row.
        assert_eq!(rows("12345678", 10), 1);
        assert_eq!(rows("123456789", 10), 1);
        assert_eq!(rows(&"x".repeat(18), 10), 2);
        assert_eq!(rows("a\nb\n", 10), 2);
    }

    #[test]
    fn a_wide_character_is_not_split() {
        assert_eq!(rows("漢漢漢", 10), 0);
        assert_eq!(rows("漢漢漢漢", 10), 1);
        assert_eq!(rows("1漢漢漢", 10), 0);
        // One column is left: the fourth goes to the next row, four of them fill it later.
        assert_eq!(rows("1漢漢漢漢", 10), 1);
        assert_eq!(rows("1漢漢漢漢漢漢漢漢", 10), 2);
    }

    #[test]
    fn full_rows_are_broken() {
        let broken = |line| broken("> ", line, 10, GraphemeClusterMode::WcWidth);
        assert_eq!(broken("12345678"), "12345678");
        assert_eq!(broken("123456789"), "12345678\n9");
        assert_eq!(broken("漢漢漢漢漢漢漢漢漢漢"), "漢漢漢漢\n漢漢漢漢漢\n漢");
        assert_eq!(broken("1漢漢漢漢"), "1漢漢漢\n漢");
        assert_eq!(broken("1234567e\u{301}e\u{301}"), "1234567e\u{301}\ne\u{301}");
        assert_eq!(broken("12\n34567890abc"), "12\n34567890ab\nc");
    }

    #[test]
    fn marks_take_no_column() {
        assert_eq!(rows("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", 10), 0);
        assert_eq!(rows("\u{301}", 10), 0);
    }
}
