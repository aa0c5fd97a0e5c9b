//! The rules for names, passwords and messages (`accounts`, "Rules", and `nickname`).
//!
//! Knows characters. Knows no frame, connection or room. The bundled client checks with
//! the same functions before it sends, so that a rule stands in one place.

use std::borrow::Cow;
use std::fmt;

use caseless::Caseless;

use crate::limits;

/// What a rule was broken by. Its text says what to do and never quotes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextError {
    /// Fewer or more characters than `min..=max`.
    Length {
        /// Which field, in words.
        field: Field,
    },
    /// A `:`: it separates the fields on the wire.
    Colon(Field),
    /// A control, bidirectional-override or zero-width character.
    Invisible(Field),
    /// A space at either end.
    OuterSpace(Field),
    /// One of `[ ] ( )` in a name: they mark notices and speakers.
    Bracket,
    /// A name that begins with a quote, which says where a name begins.
    Quote,
}

/// The fields that have rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The name others see.
    Name,
    /// The name one logs in with.
    UserName,
    /// The password.
    Password,
}

impl Field {
    /// The least and the most characters of this field.
    pub const fn chars(self) -> (usize, usize) {
        match self {
            Self::Name => (1, limits::NAME_CHARS_MAX),
            Self::UserName => (limits::USER_NAME_CHARS_MIN, limits::USER_NAME_CHARS_MAX),
            Self::Password => (limits::PASSWORD_CHARS_MIN, limits::PASSWORD_CHARS_MAX),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::UserName => "user name",
            Self::Password => "password",
        })
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { field } => {
                let (min, max) = field.chars();
                write!(f, "a {field} has {min} to {max} characters")
            }
            Self::Colon(field) => write!(f, "a {field} has no colon"),
            Self::Invisible(field) => write!(f, "a {field} has no invisible characters"),
            Self::OuterSpace(field) => write!(f, "a {field} neither starts nor ends with a space"),
            Self::Quote => f.write_str("a name does not begin with a quote"),
            Self::Bracket => f.write_str("a name has none of [ ] ( )"),
        }
    }
}

impl std::error::Error for TextError {}

/// Checks `value` against the rules of `field`.
///
/// # Errors
/// The first rule that is broken.
pub fn check(field: Field, value: &str) -> Result<(), TextError> {
    let (min, max) = field.chars();
    let count = value.chars().count();
    if count < min || count > max {
        return Err(TextError::Length { field });
    }
    for c in value.chars() {
        match c {
            ':' => return Err(TextError::Colon(field)),
            c if field == Field::Name && is_bracket(c) => return Err(TextError::Bracket),
            c if is_invisible(c) => return Err(TextError::Invisible(field)),
            _ => {}
        }
    }
    if field == Field::Name && value.starts_with('"') {
        return Err(TextError::Quote);
    }
    if value.starts_with(char::is_whitespace) || value.ends_with(char::is_whitespace) {
        return Err(TextError::OuterSpace(field));
    }
    Ok(())
}

/// A message without control characters, escape sequences and bidirectional overrides.
/// Zero-width joiners stay: scripts and emoji need them. Borrows when nothing is removed.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) || !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape_sequence(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            c if is_unsafe(c) => {}
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// Skips what follows an ESC: a control sequence, an operating system command or another
/// string up to its terminator, or the one character of a short escape.
fn skip_escape_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_control_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut ahead = rest.clone();
            ahead.next();
            // Only a terminated string is skipped: an open one must not swallow the text.
            while let Some(c) = ahead.next() {
                let string_terminator = c == '\u{1b}' && ahead.next_if_eq(&'\\').is_some();
                if string_terminator || c == '\u{7}' || c == '\u{9c}' {
                    *rest = ahead;
                    return;
                }
            }
            rest.next();
        }
        Some(' '..='/') => {
            rest.next();
            rest.next_if(|c| ('0'..='~').contains(c));
        }
        Some('0'..='~') => {
            rest.next();
        }
        _ => {}
    }
}

/// Skips parameters, intermediates and the final character of a control sequence.
fn skip_control_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
    rest.next_if(|c| ('@'..='~').contains(c));
}

/// Characters that may act on a terminal or reorder what is read: controls, bidirectional
/// marks, embeddings, overrides and isolates, line and paragraph separators, tags.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}')
}

/// Characters that nobody sees.
pub(super) fn is_invisible(c: char) -> bool {
    is_unsafe(c) || is_zero_width(c)
}

/// Brackets that mark notices and speakers, and those of other scripts that look like them.
fn is_bracket(c: char) -> bool {
    matches!(c, '[' | ']' | '(' | ')')
        || matches!(c,
            '\u{2045}' | '\u{2046}' | '\u{207d}' | '\u{207e}' | '\u{208d}' | '\u{208e}'
            | '\u{2768}'..='\u{2775}' | '\u{27e6}'..='\u{27ef}' | '\u{2983}'..='\u{2998}'
            | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301b}' | '\u{fd3e}' | '\u{fd3f}'
            | '\u{fe17}' | '\u{fe18}' | '\u{fe35}'..='\u{fe44}' | '\u{fe47}' | '\u{fe48}'
            | '\u{fe59}'..='\u{fe5e}' | '\u{ff08}' | '\u{ff09}' | '\u{ff3b}' | '\u{ff3d}'
            | '\u{ff5f}'..='\u{ff63}')
}

/// Characters without width, which make two names look the same.
fn is_zero_width(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2065}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The two keys a name is unique by: two names with an equal key are taken for one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameKeys {
    /// The case-folded name.
    pub folded: String,
    /// The case-folded confusable skeleton (Unicode TR 39).
    pub skeleton: String,
}

impl NameKeys {
    /// The keys of `name`.
    pub fn of(name: &str) -> Self {
        Self { folded: fold(name), skeleton: fold_all(unicode_security::skeleton(name)) }
    }
}

/// `text` without its letter case.
pub(crate) fn fold(text: &str) -> String {
    fold_all(text.chars())
}

fn fold_all(text: impl Iterator<Item = char>) -> String {
    text.default_case_fold().collect()
}

/// What `text` looks like: two texts that look alike give the same, invisible characters
/// and letter case aside.
pub(super) fn look(text: &str) -> String {
    let visible: String = text.chars().filter(|&c| !is_invisible(c)).collect();
    fold_all(unicode_security::skeleton(&visible))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        assert_eq!(check(Field::Name, "lior"), Ok(()));
        assert_eq!(check(Field::Name, "Zoë van Dijk"), Ok(()));
        assert_eq!(check(Field::Name, ""), Err(TextError::Length { field: Field::Name }));
        assert_eq!(check(Field::Name, &"é".repeat(32)), Ok(()));
        assert_eq!(
            check(Field::Name, &"e".repeat(33)),
            Err(TextError::Length { field: Field::Name })
        );
        assert_eq!(check(Field::Name, "a:b"), Err(TextError::Colon(Field::Name)));
        assert_eq!(check(Field::Name, "a(b"), Err(TextError::Bracket));
        for name in ["［SERVER］", "❲SERVER❳", "〔SERVER〕", "⟦SERVER⟧", "【SERVER】", "（a）"]
        {
            assert_eq!(check(Field::Name, name), Err(TextError::Bracket), "{name}");
        }
        assert_eq!(check(Field::Name, "\"a\""), Err(TextError::Quote));
        assert_eq!(check(Field::Name, "a \"b\""), Ok(()));
        assert_eq!(check(Field::UserName, "us(er"), Ok(()));
        assert_eq!(check(Field::Name, " a"), Err(TextError::OuterSpace(Field::Name)));
        for c in ['\u{1b}', '\0', '\u{202e}', '\u{200b}', '\u{200d}', '\u{feff}', '\n'] {
            let name = format!("a{c}b");
            assert_eq!(check(Field::Name, &name), Err(TextError::Invisible(Field::Name)), "{c:?}");
        }
        assert_eq!(
            check(Field::UserName, "abc"),
            Err(TextError::Length { field: Field::UserName })
        );
        assert_eq!(
            check(Field::Password, "1234"),
            Err(TextError::Length { field: Field::Password })
        );
        assert_eq!(check(Field::Password, &"x".repeat(128)), Ok(()));
    }

    #[test]
    fn an_error_never_quotes_the_value() {
        let error = check(Field::Password, "canary:word").unwrap_err();
        assert!(!error.to_string().contains("canary"));
    }

    #[test]
    fn messages_lose_what_acts_on_a_terminal() {
        assert_eq!(clean("plain: [text] (ok)"), "plain: [text] (ok)");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(clean("\u{1b}]0;title\u{7}rest"), "rest");
        assert_eq!(clean("\u{1b}]0;open string"), "0;open string");
        assert_eq!(clean("\u{9b}2Jx"), "x");
        assert_eq!(clean("a\u{202e}b\u{0}c\r\u{7f}"), "abc");
        assert_eq!(clean("tab\there"), "tabhere");
        assert_eq!(clean("\u{7}"), "");
        let family = "\u{1f468}\u{200d}\u{1f469}";
        assert_eq!(clean(family), family);
        assert!(matches!(clean("é ü 漢"), Cow::Borrowed(_)));
    }

    #[test]
    fn lookalikes_share_a_key() {
        let same = |a, b| {
            let (a, b) = (NameKeys::of(a), NameKeys::of(b));
            a.folded == b.folded || a.skeleton == b.skeleton
        };
        assert!(same("Lior", "lior"));
        assert!(same("STRASSE", "straße"));
        assert!(same("lior", "liоr"), "Cyrillic o");
        assert!(same("paypal", "pаypаl"));
        assert!(same("Zoe\u{308}", "Zoë"));
        assert!(!same("lior", "dana"));
    }
}
