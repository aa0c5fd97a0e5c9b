//! Who is here, as far as one has heard, and what Tab makes of a word.
//!
//! Knows names, and the commands of `accounts`. Knows no terminal; asks no server.

use std::collections::BTreeMap;

use super::remark::{self, Remark};
use crate::limits;
use crate::protocol::Protocol;

/// What the server understands, and what it takes behind it.
const COMMANDS: [(&str, bool); 7] = [
    ("/exit", false),
    ("/help", false),
    ("/history", false),
    ("/me", true),
    ("/msg", true),
    ("/password", false),
    ("/who", false),
];

/// The names heard of, in order, under what they are when letter case does not count.
#[derive(Debug)]
pub(super) struct Names {
    protocol: Protocol,
    own: String,
    known: BTreeMap<String, String>,
}

/// What a word may become.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Completion {
    /// Nothing begins like this.
    None,
    /// The text from here to the cursor becomes this.
    Text(usize, String),
    /// All these begin like this, and nothing can be added that they share.
    Choices(Vec<String>),
}

impl Names {
    pub(super) fn new(protocol: Protocol, own: &str) -> Self {
        Self { protocol, own: own.to_owned(), known: BTreeMap::new() }
    }

    /// Learns from what was heard.
    pub(super) fn learn(&mut self, remark: &Remark<'_>) {
        match remark {
            Remark::Said(said) => self.add(said.name),
            Remark::Came(name) => self.add(name),
            Remark::Left(name) => drop(self.known.remove(&name.to_lowercase())),
            Remark::Here(line) => remark::names_here(line).for_each(|name| self.add(name)),
            Remark::Notice(_) | Remark::Operator(_) | Remark::Error(_) | Remark::Other(_) => {}
        }
    }

    fn add(&mut self, name: &str) {
        let fits = name.chars().count() <= limits::NAME_CHARS_MAX && !name.is_empty();
        if fits && name != self.own && self.known.len() < limits::NAMES_REMEMBERED {
            self.known.insert(name.to_lowercase(), name.to_owned());
        }
    }

    /// What Tab makes of `line`, with the cursor at `at`.
    pub(super) fn complete(&self, line: &str, at: usize) -> Completion {
        let before = &line[..at];
        if self.protocol == Protocol::Accounts {
            if before.starts_with('/') && !before.contains(' ') {
                return commands(before);
            }
            if let Some(to) = before.strip_prefix("/msg ") {
                return self.addressee(to);
            }
        }
        // At the start of a line one speaks to somebody: a name may have spaces here.
        let addressed = finish(0, before, self.beginning_with(before), |name| format!("{name}: "));
        if addressed != Completion::None {
            return addressed;
        }
        let start = before
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + before[space..].chars().next().map_or(0, char::len_utf8));
        let word = &before[start..];
        finish(start, word, self.beginning_with(word), |name| format!("{name} "))
    }

    fn addressee(&self, to: &str) -> Completion {
        const START: usize = "/msg ".len();
        let quoted = to.strip_prefix('"');
        if quoted.is_some_and(|name| name.contains('"')) {
            return Completion::None;
        }
        let prefix = quoted.unwrap_or(to);
        let found = self.beginning_with(prefix);
        let spaces = found.iter().any(|name| name.contains(char::is_whitespace));
        let quote = if quoted.is_some() || spaces { "\"" } else { "" };
        match finish(START, prefix, found, |name| {
            let quote = if name.contains(char::is_whitespace) { "\"" } else { "" };
            format!("{quote}{name}{quote} ")
        }) {
            // What several names share needs its quote to go on.
            Completion::Text(start, text) if !text.ends_with(' ') => {
                Completion::Text(start, format!("{quote}{text}"))
            }
            completion => completion,
        }
    }

    fn beginning_with(&self, prefix: &str) -> Vec<&str> {
        let prefix = prefix.to_lowercase();
        if prefix.is_empty() {
            return Vec::new();
        }
        let from = (std::ops::Bound::Included(prefix.as_str()), std::ops::Bound::Unbounded);
        self.known
            .range::<str, _>(from)
            .take_while(|(folded, _)| folded.starts_with(&prefix))
            .map(|(_, name)| name.as_str())
            .collect()
    }
}

fn commands(prefix: &str) -> Completion {
    let found: Vec<&str> = COMMANDS
        .iter()
        .map(|(command, _)| *command)
        .filter(|command| command.starts_with(prefix))
        .collect();
    finish(0, prefix, found, |command| {
        let more = COMMANDS.iter().any(|(known, more)| *known == command && *more);
        format!("{command}{}", if more { " " } else { "" })
    })
}

/// One candidate is taken, and dressed. Of several, what they share is taken.
fn finish(
    start: usize,
    typed: &str,
    found: Vec<&str>,
    dress: impl Fn(&str) -> String,
) -> Completion {
    match found.as_slice() {
        [] => Completion::None,
        [one] => Completion::Text(start, dress(one)),
        [first, rest @ ..] => {
            let shared = rest.iter().fold(*first, |shared, name| {
                let same = shared
                    .chars()
                    .zip(name.chars())
                    .take_while(|(a, b)| a.to_lowercase().eq(b.to_lowercase()));
                let length = same.map(|(a, _)| a.len_utf8()).sum();
                &shared[..length]
            });
            if shared.chars().count() > typed.chars().count() {
                Completion::Text(start, shared.to_owned())
            } else {
                Completion::Choices(found.into_iter().map(str::to_owned).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(protocol: Protocol, heard: &[&str]) -> Names {
        let mut names = Names::new(protocol, "me");
        for line in heard {
            names.learn(&Remark::of(protocol, line));
        }
        names
    }

    fn room() -> Names {
        names(
            Protocol::Accounts,
            &[
                "[ana - connected to the server!]",
                "hi - (Bob)",
                "[5 here: (me) (Bobby) (Ana Maria) (Zoë)]",
                "[gone - connected to the server!]",
                "[gone - disconnected from the server!]",
            ],
        )
    }

    fn completed(line: &str) -> Completion {
        room().complete(line, line.len())
    }

    fn text(start: usize, text: &str) -> Completion {
        Completion::Text(start, text.to_owned())
    }

    fn choices(names: &[&str]) -> Completion {
        Completion::Choices(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn names_are_completed() {
        assert_eq!(completed("zo"), text(0, "Zoë: "));
        assert_eq!(completed("ZOË"), text(0, "Zoë: "));
        assert_eq!(completed("hello zo"), text(6, "Zoë "));
        assert_eq!(completed("b"), text(0, "Bob"));
        assert_eq!(completed("bob"), choices(&["Bob", "Bobby"]));
        assert_eq!(completed("an"), text(0, "ana"));
        assert_eq!(completed("ana"), choices(&["ana", "Ana Maria"]));
        assert_eq!(completed("ana m"), text(0, "Ana Maria: "));
        for line in ["", "x", "me", "gone", "hello "] {
            assert_eq!(completed(line), Completion::None, "{line}");
        }
        assert_eq!(room().complete("zo and more", 2), text(0, "Zoë: "));
    }

    #[test]
    fn commands_are_completed() {
        assert_eq!(completed("/w"), text(0, "/who"));
        assert_eq!(completed("/ms"), text(0, "/msg "));
        assert_eq!(completed("/m"), choices(&["/me", "/msg"]));
        assert_eq!(completed("/x"), Completion::None);
        let nickname = names(Protocol::Nickname, &["ana join the chat room"]);
        assert_eq!(nickname.complete("/w", 2), Completion::None);
        assert_eq!(nickname.complete("a", 1), text(0, "ana: "));
    }

    #[test]
    fn an_addressee_is_completed_and_quoted_where_needed() {
        assert_eq!(completed("/msg zo"), text(5, "Zoë "));
        assert_eq!(completed("/msg \"ana m"), text(5, "\"Ana Maria\" "));
        assert_eq!(completed("/msg ana m"), text(5, "\"Ana Maria\" "));
        assert_eq!(completed("/msg an"), text(5, "\"ana"));
        assert_eq!(completed("/msg \"Ana Maria\" zo"), Completion::None);
        assert_eq!(completed("/msg Zoë he"), Completion::None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut names = Names::new(Protocol::Accounts, "me");
        for n in 0..limits::NAMES_REMEMBERED + 10 {
            names.learn(&Remark::Came(&format!("guest{n}")));
        }
        names.learn(&Remark::Came(&"x".repeat(limits::NAME_CHARS_MAX + 1)));
        assert_eq!(names.known.len(), limits::NAMES_REMEMBERED);
    }
}
