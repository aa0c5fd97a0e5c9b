//! One's own name in what others say.
//!
//! Knows letters. Knows no line and no colour.

use std::ops::Range;

/// Where `name` stands in `text` as a whole word, letter case aside.
pub(super) fn mentions(text: &str, name: &str) -> Vec<Range<usize>> {
    let folded: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut before = None;
    for (at, c) in text.char_indices() {
        let free = found.last().is_none_or(|last| last.end <= at);
        if free
            && before.is_none_or(|before| !joins(before))
            && let Some(length) = begins(&text[at..], &folded)
            && text[at + length..].chars().next().is_none_or(|after| !joins(after))
        {
            found.push(at..at + length);
        }
        before = Some(c);
    }
    found
}

/// A word goes on with this character.
fn joins(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many bytes of `text` are `name`, when it begins with it.
fn begins(text: &str, name: &[char]) -> Option<usize> {
    let mut left = name;
    for (at, c) in text.char_indices() {
        if left.is_empty() {
            return Some(at);
        }
        for c in c.to_lowercase() {
            left = left.strip_prefix(&[c])?;
        }
    }
    left.is_empty().then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, name: &str) -> Vec<String> {
        mentions(text, name).into_iter().map(|range| text[range].to_owned()).collect()
    }

    #[test]
    fn a_name_is_found_as_a_whole_word() {
        assert_eq!(found("lior, are you there, LIOR?", "Lior"), ["lior", "LIOR"]);
        assert_eq!(found("@lior: hi", "lior"), ["lior"]);
        assert_eq!(found("liorette and superlior, lior2, lior_x", "lior"), [""; 0]);
        assert_eq!(found("hello ana maria!", "Ana Maria"), ["ana maria"]);
        assert_eq!(found("ÉLISE élise", "Élise"), ["ÉLISE", "élise"]);
        assert_eq!(found("hi \u{130}p", "\u{130}p"), ["\u{130}p"]);
        assert_eq!(found("lio", "lior"), [""; 0]);
        assert_eq!(found("", "lior"), [""; 0]);
        assert_eq!(found("a.a a", "a"), ["a", "a", "a"]);
    }

    #[test]
    fn a_name_may_begin_and_end_with_a_sign() {
        assert_eq!(found("hey *star*, hi", "*star*"), ["*star*"]);
    }
}
