//! What a message that starts with one slash asks for (`accounts`).
//!
//! Knows words and what they need. Knows no room: who is meant by a name is found out
//! where it is known who is there.

use std::fmt;

use zeroize::Zeroizing;

use super::text::{self, Field};
use super::{Refusal, Request};

/// Something a person asks of the room.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// What can be asked.
    Help,
    /// Who is here.
    Who,
    /// Say something to one person: a name, perhaps in quotes, and a text.
    Tell(String),
    /// Say what one does.
    Act(String),
    /// What was said, so many messages of it.
    History(Option<usize>),
    /// Have another password from the next log-in on.
    ChangePassword(Passwords),
}

/// The password and what it is to become. Both are wiped when dropped, and not shown.
#[derive(PartialEq, Eq)]
pub struct Passwords {
    /// What it is now, as far as its owner knows.
    pub current: Zeroizing<String>,
    /// What it is to be; it follows the rules.
    pub new: Zeroizing<String>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

/// What `/help` answers. Every line begins with a slash, as nothing does that is said.
pub const HELP: &str = "\
/who                        who is here
/msg NAME text              say it to one person alone; a name may stand in quotes
/me text                    say what you do
/history [N]                what was said before
/password CURRENT:NEW       change your password
/exit                       leave
//text                      say a text that starts with a slash";

/// What changes a password: what follows it is a secret.
pub(super) const PASSWORD: &str = "/password ";

/// What a message asks for; `rest` is what follows its slash, cleaned.
pub(super) fn parse(rest: &str) -> Request {
    let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    let command = match (word.to_ascii_lowercase().as_str(), rest) {
        ("exit", "") => return Request::Leave,
        ("help", "") => Command::Help,
        ("who", "") => Command::Who,
        ("help" | "who" | "exit", _) => return usage("the command alone"),
        ("msg", "") => return usage("/msg NAME text"),
        ("msg", rest) => Command::Tell(rest.to_owned()),
        ("me", "") => return usage("/me text"),
        ("me", rest) if super::accounts::may_hold_password(rest) => {
            return Request::Refuse(Refusal::HoldsCredentials);
        }
        ("me", rest) => Command::Act(rest.to_owned()),
        ("history", "") => Command::History(None),
        ("history", count) => match count.parse() {
            Ok(count @ 1..) => Command::History(Some(count)),
            _ => return usage("/history, or /history and a number"),
        },
        ("password", rest) => match passwords(rest) {
            Ok(passwords) => Command::ChangePassword(passwords),
            Err(refusal) => return Request::Refuse(refusal),
        },
        _ => return Request::Refuse(Refusal::UnknownCommand),
    };
    Request::Command(command)
}

fn usage(write: &'static str) -> Request {
    Request::Refuse(Refusal::Usage(write))
}

/// `current:new`. A password has no colon, but it may have spaces; where neither has, a
/// space will do.
fn passwords(rest: &str) -> Result<Passwords, Refusal> {
    let (current, new) = rest
        .split_once(':')
        .or_else(|| rest.split_once(' ').filter(|(_, new)| !new.contains(' ')))
        .ok_or(Refusal::Usage("/password CURRENT:NEW"))?;
    text::check(Field::Password, new).map_err(Refusal::Text)?;
    let wiped = |text: &str| Zeroizing::new(text.to_owned());
    Ok(Passwords { current: wiped(current), new: wiped(new) })
}

/// Takes the name off the front of what follows `/msg`: in quotes, or the longest beginning
/// that `is_here` knows, so that names with spaces need no quotes. `None`: nobody is meant
/// who is here.
pub fn addressee<T>(rest: &str, is_here: impl Fn(&str) -> Option<T>) -> Option<(T, &str)> {
    // No name begins with a quote.
    if let Some((name, text)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        return Some((is_here(name)?, text.trim_start()));
    }
    let ends = rest.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
    let names: Vec<usize> = ends
        .chain([rest.len()])
        .take_while(|&end| rest[..end].chars().count() <= crate::limits::NAME_CHARS_MAX)
        .collect();
    let mut longest = names.into_iter().rev();
    longest.find_map(|end| Some((is_here(&rest[..end])?, rest[end..].trim_start())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords_of(message: &str) -> Option<(String, String)> {
        match parse(message) {
            Request::Command(Command::ChangePassword(Passwords { current, new })) => {
                Some((current.to_string(), new.to_string()))
            }
            _ => None,
        }
    }

    #[test]
    fn every_command_as_written() {
        let command = |message| match parse(message) {
            Request::Command(command) => command,
            other => panic!("{message}: {other:?}"),
        };
        assert_eq!(command("who"), Command::Who);
        assert_eq!(command("Who "), Command::Who);
        assert_eq!(command("msg  ana  hi  there"), Command::Tell("ana  hi  there".into()));
        assert_eq!(command("me waves"), Command::Act("waves".into()));
        assert_eq!(command("history"), Command::History(None));
        assert_eq!(command("history 5"), Command::History(Some(5)));
        assert_eq!(parse("exit"), Request::Leave);
        for (message, write) in [
            ("msg", "/msg NAME text"),
            ("me ", "/me text"),
            ("history x", "/history, or /history and a number"),
            ("history 0", "/history, or /history and a number"),
            ("exit now", "the command alone"),
            ("password secret", "/password CURRENT:NEW"),
            ("password", "/password CURRENT:NEW"),
            ("password a b c", "/password CURRENT:NEW"),
        ] {
            assert_eq!(parse(message), Request::Refuse(Refusal::Usage(write)), "{message}");
        }
        for message in ["", " ", "whom", "dance", "passwort old:newer"] {
            assert_eq!(parse(message), Request::Refuse(Refusal::UnknownCommand), "{message}");
        }
        let secret = Request::Refuse(Refusal::HoldsCredentials);
        assert_eq!(parse("me [new]:login:ana:ana_user:secret"), secret);
    }

    #[test]
    fn passwords_are_parted_by_a_colon_or_one_space() {
        let both = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(passwords_of("password secret:newer"), both("secret", "newer"));
        assert_eq!(
            passwords_of("password my secret:my newer one"),
            both("my secret", "my newer one")
        );
        assert_eq!(passwords_of("password secret newer"), both("secret", "newer"));
        assert!(matches!(parse("password secret:new"), Request::Refuse(Refusal::Text(_))));
        assert!(matches!(parse("password secret:newer:one"), Request::Refuse(Refusal::Text(_))));
        assert!(!format!("{:?}", parse("password canary:canary")).contains("canary"));
    }

    #[test]
    fn the_longest_name_that_is_here_is_meant() {
        let here = ["Ana", "Ana Maria", "a \"b\" c"];
        let find = |name: &str| here.iter().copied().find(|&here| here == name);
        assert_eq!(addressee("Ana hi", find), Some(("Ana", "hi")));
        assert_eq!(addressee("Ana Maria hi  there", find), Some(("Ana Maria", "hi  there")));
        assert_eq!(addressee("\"Ana\" Maria hi", find), Some(("Ana", "Maria hi")));
        assert_eq!(addressee("Ana Mario hi", find), Some(("Ana", "Mario hi")));
        assert_eq!(addressee("a \"b\" c hi", find), Some(("a \"b\" c", "hi")));
        assert_eq!(addressee("Ana", find), Some(("Ana", "")));
        assert_eq!(addressee("Bob hi", find), None);
        assert_eq!(addressee("\"Bob\" hi", find), None);
    }
}
