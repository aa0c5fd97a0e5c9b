//! What a line typed in the chat means: said, sent, or done here.
//!
//! Knows the words of the room. Knows no socket and no screen.

use zeroize::Zeroizing;

use crate::client::say;
use crate::limits;
use crate::protocol::{Protocol, text};

/// What is to be done with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// There is nothing in it.
    Nothing,
    /// No server takes so much.
    TooLong,
    /// It looks like a change of password, and the server would say it to all.
    Withheld,
    /// The person leaves.
    Leave,
    /// The person wants another password, and is asked for it.
    AskPassword,
    /// Goes to the server, as typed.
    Send {
        /// Without its line feed.
        line: Zeroizing<String>,
        /// What the person sees of it.
        shown: Own,
        /// The password it may make the account's.
        password: Option<Zeroizing<String>>,
    },
}

/// What one sees of one's own line. What holds a password, or may, is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Own {
    /// The server sends it back, or it is better not shown.
    Nothing,
    /// Said to all.
    Said(String),
    /// What one does, told to all.
    Action(String),
    /// Said to one: the name, the text.
    Private(String, String),
    /// Something for the server.
    Command(String),
}

impl Typed {
    /// Tells what `line` means.
    pub(super) fn of(protocol: Protocol, line: &str) -> Self {
        let untabbed = Zeroizing::new(line.replace('\t', " "));
        let line = Zeroizing::new(text::clean(&untabbed).into_owned());
        let word = line.trim();
        if word.is_empty() {
            return Self::Nothing;
        }
        if line.len() > limits::SAID_LINE_BYTES_MAX {
            return Self::TooLong;
        }
        if word == say::EXIT {
            return Self::Leave;
        }
        if protocol != Protocol::Accounts {
            return Self::Send { line, shown: Own::Nothing, password: None };
        }
        match word {
            "/exit" => return Self::Leave,
            "/password" => return Self::AskPassword,
            _ if word.starts_with("/password") && !line.starts_with('/') => return Self::Withheld,
            _ => {}
        }
        let (shown, password) = own(&line);
        Self::Send { line, shown, password }
    }

    /// It may hold a password: not even the history may know it.
    pub(super) fn is_secret(line: &str) -> bool {
        let line = Zeroizing::new(line.trim_start().to_lowercase());
        ["/password", "[new]", "[active]"].iter().any(|start| line.starts_with(start))
    }
}

fn own(line: &str) -> (Own, Option<Zeroizing<String>>) {
    if Typed::is_secret(line) {
        let Some(rest) = line.strip_prefix("/password") else { return (Own::Nothing, None) };
        let new = rest.split_once(':').map(|(_, new)| Zeroizing::new(new.trim_end().to_owned()));
        return (Own::Command("/password".to_owned()), new);
    }
    if let Some(said) = line.strip_prefix("//") {
        return (Own::Said(format!("/{said}")), None);
    }
    let command = || (Own::Command(line.to_owned()), None);
    if !line.starts_with('/') {
        return (Own::Said(line.to_owned()), None);
    }
    if let Some(rest) = line.strip_prefix("/me ") {
        let text = rest.trim();
        return if text.is_empty() { command() } else { (Own::Action(text.to_owned()), None) };
    }
    let Some(rest) = line.strip_prefix("/msg ") else { return command() };
    let rest = rest.trim_start();
    let parts = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"'),
        None => rest.split_once(' '),
    };
    match parts.map(|(name, text)| (name.trim(), text.trim())) {
        Some((name, text)) if !name.is_empty() && !text.is_empty() => {
            (Own::Private(name.to_owned(), text.to_owned()), None)
        }
        _ => command(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Own {
        match Typed::of(Protocol::Accounts, line) {
            Typed::Send { line: sent, shown, .. } => {
                assert_eq!(*sent, line, "goes out as typed");
                shown
            }
            typed => panic!("{typed:?}"),
        }
    }

    #[test]
    fn what_one_sees_of_ones_own_line() {
        let said = |text: &str| Own::Said(text.to_owned());
        let command = |text: &str| Own::Command(text.to_owned());
        assert_eq!(shown("hi"), said("hi"));
        assert_eq!(shown("//who"), said("/who"));
        assert_eq!(shown("/me waves"), Own::Action("waves".to_owned()));
        assert_eq!(shown("/me "), command("/me "));
        assert_eq!(shown("/meow"), command("/meow"));
        assert_eq!(shown("/msg ana hi all"), Own::Private("ana".to_owned(), "hi all".to_owned()));
        assert_eq!(
            shown("/msg \"Ana Maria\" hi"),
            Own::Private("Ana Maria".to_owned(), "hi".to_owned())
        );
        assert_eq!(shown("/msg ana"), command("/msg ana"));
        assert_eq!(shown("/who"), command("/who"));
        assert_eq!(shown("/exit now"), command("/exit now"));
        assert_eq!(shown("[new]:login:a:b:canary:"), Own::Nothing);
        assert_eq!(shown(" [ACTIVE]:a:b:canary::hi"), Own::Nothing);
        assert_eq!(shown("/password old:canary"), command("/password"));
        assert_eq!(shown("/password canary"), command("/password"));
    }

    #[test]
    fn a_new_password_is_kept_for_coming_back() {
        let new = |line| match Typed::of(Protocol::Accounts, line) {
            Typed::Send { password, .. } => password.map(|new| new.to_string()),
            typed => panic!("{typed:?}"),
        };
        assert_eq!(new("/password old:new"), Some("new".to_owned()));
        assert_eq!(new("/password"[..8].trim()), None);
        assert_eq!(new("old:new"), None);
    }

    #[test]
    fn some_words_are_done_here() {
        let of = |protocol, line| Typed::of(protocol, line);
        for line in ["exit()", " exit() ", "/exit", "/exit "] {
            assert_eq!(of(Protocol::Accounts, line), Typed::Leave, "{line}");
        }
        assert_eq!(of(Protocol::Accounts, "/password "), Typed::AskPassword);
        assert_eq!(of(Protocol::Accounts, " /password old:canary"), Typed::Withheld);
        for line in ["", " ", "\t", "\u{1b}[2J", "\u{7}"] {
            assert_eq!(of(Protocol::Accounts, line), Typed::Nothing, "{line:?}");
        }
        let long = "x".repeat(limits::SAID_LINE_BYTES_MAX + 1);
        assert_eq!(of(Protocol::Accounts, &long), Typed::TooLong);
    }

    #[test]
    fn a_nickname_has_no_commands() {
        for line in ["/exit", "/password", "//x", "/me x", "[NEW]:x"] {
            let typed = Typed::of(Protocol::Nickname, line);
            let line = Zeroizing::new(line.to_owned());
            assert_eq!(typed, Typed::Send { line, shown: Own::Nothing, password: None });
        }
        assert_eq!(Typed::of(Protocol::Nickname, "exit()"), Typed::Leave);
    }

    #[test]
    fn what_may_hold_a_password_is_secret() {
        for line in ["/password a:b", " /PASSWORD a:b", "[NEW]:x", "[active]"] {
            assert!(Typed::is_secret(line), "{line}");
        }
        assert!(!Typed::is_secret("hello /password"));
    }
}
