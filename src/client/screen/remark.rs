//! What a line of the room is: who said what, and how; or what the server has to say.
//!
//! Knows the texts that `accounts` and `nickname` send to clients that hear lines. Knows no
//! colour.

use crate::protocol::Protocol;

/// What a line heard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remark<'a> {
    /// Someone said something.
    Said(Said<'a>),
    /// Someone came.
    Came(&'a str),
    /// Someone left.
    Left(&'a str),
    /// Who is here: the answer to `/who`.
    Here(&'a str),
    /// Another notice of the server's.
    Notice(&'a str),
    /// The operator speaks.
    Operator(&'a str),
    /// The server could not accept something.
    Error(&'a str),
    /// Anything else.
    Other(&'a str),
}

/// Something said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// Who said it.
    pub(super) name: &'a str,
    /// What was said, without the name.
    pub(super) text: &'a str,
    /// It tells what someone does.
    pub(super) action: bool,
    /// To nobody else.
    pub(super) private: bool,
    /// It was said before: when.
    pub(super) history: Option<&'a str>,
}

impl<'a> Remark<'a> {
    /// Tells what `line` is.
    pub(super) fn of(protocol: Protocol, line: &'a str) -> Self {
        match protocol {
            Protocol::Accounts => Self::of_accounts(line),
            Protocol::Nickname => Self::of_nickname(line),
            Protocol::Relay | Protocol::Uppercase => Self::Other(line),
        }
    }

    fn of_accounts(line: &'a str) -> Self {
        if let Some(said) = said(line) {
            return Self::Said(said);
        }
        if let Some(why) = error_or_operator(line) {
            return why;
        }
        let Some(inner) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
            return Self::Other(line);
        };
        if let Some(name) = inner.strip_suffix(" - connected to the server!") {
            return Self::Came(name);
        }
        if let Some(name) = inner.strip_suffix(" - disconnected from the server!") {
            return Self::Left(name);
        }
        let count = inner.split_once(" here: ").map(|(count, _)| count);
        if count.is_some_and(|count| count.parse::<u32>().is_ok()) {
            return Self::Here(line);
        }
        Self::Notice(line)
    }

    fn of_nickname(line: &'a str) -> Self {
        if let Some(why) = error_or_operator(line) {
            return why;
        }
        // A name has no colon, so the first one is the speaker's.
        if let Some((name, text)) = line.split_once(':') {
            let text = text.strip_prefix(' ').unwrap_or(text);
            let said = Said { name, text, action: false, private: false, history: None };
            return Self::Said(said);
        }
        if let Some(name) = line.strip_suffix(" join the chat room") {
            return Self::Came(name);
        }
        if let Some(name) = line.strip_suffix(" Left chat room") {
            return Self::Left(name);
        }
        if line == "Welcome to this chatroom!" { Self::Notice(line) } else { Self::Other(line) }
    }
}

/// No name has brackets, and every line said ends with one's name: neither can be forged.
fn error_or_operator(line: &str) -> Option<Remark<'_>> {
    if line.starts_with("[ERROR]") {
        return Some(Remark::Error(line));
    }
    line.starts_with("[SERVER]").then_some(Remark::Operator(line))
}

/// `text - (name)`, and what may stand behind it. What a person says cannot end like this,
/// since the name comes last: the outermost marks are the server's.
fn said(line: &str) -> Option<Said<'_>> {
    let (line, private) = match line.strip_suffix(" [private]") {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (line, history) = match line.strip_suffix(']').and_then(|l| l.rsplit_once(" [history ")) {
        Some((rest, stamp)) if !private => (rest, Some(stamp)),
        _ => (line, None),
    };
    let (text, name) = line.strip_suffix(')')?.rsplit_once(" - (")?;
    let action = text
        .strip_prefix("* ")
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.strip_prefix(' '));
    Some(Said { name, text: action.unwrap_or(text), action: action.is_some(), private, history })
}

/// The names in an answer to `/who`.
pub(super) fn names_here(line: &str) -> impl Iterator<Item = &str> {
    line.split('(').skip(1).filter_map(|part| part.split_once(')').map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(name: &'a str, text: &'a str) -> Said<'a> {
        Said { name, text, action: false, private: false, history: None }
    }

    #[test]
    fn what_is_heard_in_accounts() {
        let of = |line| Remark::of(Protocol::Accounts, line);
        for (line, remark) in [
            ("hi - (lior)", Remark::Said(said("lior", "hi"))),
            ("a - (b) - (lior)", Remark::Said(said("lior", "a - (b)"))),
            ("* lior waves - (lior)", Remark::Said(Said { action: true, ..said("lior", "waves") })),
            ("* dana waves - (lior)", Remark::Said(said("lior", "* dana waves"))),
            (
                "psst - (lior) [private]",
                Remark::Said(Said { private: true, ..said("lior", "psst") }),
            ),
            ("x [private] - (lior)", Remark::Said(said("lior", "x [private]"))),
            ("x - (a) [private] - (lior)", Remark::Said(said("lior", "x - (a) [private]"))),
            (
                "* lior sat - (lior) [history 2026-11-21 08:05 UTC]",
                Remark::Said(Said {
                    action: true,
                    history: Some("2026-11-21 08:05 UTC"),
                    ..said("lior", "sat")
                }),
            ),
            ("[SERVER] x - (lior)", Remark::Said(said("lior", "[SERVER] x"))),
            ("[ERROR] x - (lior)", Remark::Said(said("lior", "[ERROR] x"))),
            ("[lior - connected to the server!]", Remark::Came("lior")),
            ("[lior - disconnected from the server!]", Remark::Left("lior")),
            ("[3 here: (ana) (bob)]", Remark::Here("[3 here: (ana) (bob)]")),
            ("[no one here: x]", Remark::Notice("[no one here: x]")),
            ("[SERVER] lunch", Remark::Operator("[SERVER] lunch")),
            ("[ERROR] not logged in", Remark::Error("[ERROR] not logged in")),
            ("/me text", Remark::Other("/me text")),
        ] {
            assert_eq!(of(line), remark, "{line}");
        }
    }

    #[test]
    fn what_is_heard_in_nickname() {
        let of = |line| Remark::of(Protocol::Nickname, line);
        assert_eq!(of("lior: a: b"), Remark::Said(said("lior", "a: b")));
        assert_eq!(
            of("lior: dana Left chat room"),
            Remark::Said(said("lior", "dana Left chat room"))
        );
        assert_eq!(of("lior join the chat room"), Remark::Came("lior"));
        assert_eq!(of("lior Left chat room"), Remark::Left("lior"));
        assert_eq!(of("[SERVER] a: b"), Remark::Operator("[SERVER] a: b"));
        assert_eq!(
            of("[ERROR] the name is taken: x"),
            Remark::Error("[ERROR] the name is taken: x")
        );
    }

    #[test]
    fn names_in_an_answer_to_who() {
        let names = |line| names_here(line).collect::<Vec<_>>();
        assert_eq!(names("[3 here: (ana) (Ana Maria) (b)]"), ["ana", "Ana Maria", "b"]);
        assert_eq!(names("[250 here: (ana) ... and 249 more]"), ["ana"]);
        assert_eq!(names("[0 here: ]"), [""; 0]);
    }
}
