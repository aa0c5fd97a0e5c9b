//! From a line of the room to what stands on the screen: names coloured, notices dim, one's
//! own name marked, the time in front.
//!
//! Knows lines and escape codes. Knows no terminal; the time is an argument.

use super::mention;
use super::palette;
use super::remark::{Remark, Said};
use super::typed::Own;
use crate::protocol::Protocol;

/// One line, ready for the screen, without its line feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// The text, with its escape codes.
    pub(super) text: String,
    /// Somebody spoke to us.
    pub(super) bell: bool,
}

/// How lines are dressed.
#[derive(Debug, Clone)]
pub(super) struct Dress {
    pub(super) protocol: Protocol,
    /// One's own name.
    pub(super) own: String,
    /// Colour and other escape codes are wanted.
    pub(super) colour: bool,
    /// The time of day stands in front.
    pub(super) timestamps: bool,
}

/// The times that a line may need.
pub(super) trait Clock {
    /// The local time of day.
    fn now(&self) -> String;
    /// A server's stamp as local time.
    fn local(&self, stamp: &str) -> Option<String>;
}

impl Dress {
    /// A line heard, cleaned before. `remark` is what it is.
    pub(super) fn heard(&self, line: &str, remark: &Remark<'_>, clock: &impl Clock) -> Shown {
        let text = match remark {
            Remark::Said(said) => return self.said(line, said, clock),
            Remark::Came(_) | Remark::Left(_) | Remark::Here(_) | Remark::Notice(_) => {
                self.painted("2", line)
            }
            Remark::Operator(_) => self.painted("1", line),
            Remark::Error(_) => self.painted("31", line),
            Remark::Other(_) => line.to_owned(),
        };
        Shown { text: self.timed(&text, clock), bell: false }
    }

    /// Something of the client's own.
    pub(super) fn note(&self, text: &str, clock: &impl Clock) -> Shown {
        Shown { text: self.timed(&self.painted("2", text), clock), bell: false }
    }

    /// One's own line, as the others see it. `None`: there is nothing to be seen.
    pub(super) fn own(&self, own: &Own, clock: &impl Clock) -> Option<Shown> {
        let me = self.name(&self.own);
        let text = match own {
            Own::Nothing => return None,
            Own::Said(text) => format!("{text} - ({me})"),
            Own::Action(text) => format!("* {me} {text}"),
            Own::Private(to, text) => {
                format!("{text} - ({me}) {}", self.painted("2", &format!("[private to {to}]")))
            }
            Own::Command(line) => self.painted("2", line),
        };
        Some(Shown { text: self.timed(&text, clock), bell: false })
    }

    fn said(&self, line: &str, said: &Said<'_>, clock: &impl Clock) -> Shown {
        if let Some(stamp) = said.history {
            return Shown { text: self.history(line, said, stamp, clock), bell: false };
        }
        let name = self.name(said.name);
        let (text, mentioned) = self.marked(said);
        let text = match (self.protocol, said.action, said.private) {
            // As heard: what follows the colon may begin with anything.
            (Protocol::Nickname, ..) => {
                let space = if line[said.name.len() + 1..].starts_with(' ') { " " } else { "" };
                format!("{name}:{space}{text}")
            }
            (_, true, _) => format!("* {name} {text}"),
            (_, false, true) => format!("{text} - ({name}) {}", self.painted("1", "[private]")),
            (_, false, false) => format!("{text} - ({name})"),
        };
        // A private word is meant for us, whether it names us or not.
        let bell = mentioned || (said.private && said.name != self.own);
        Shown { text: self.timed(&text, clock), bell }
    }

    /// Something said before is dim as a whole. With times, its own stands in front.
    fn history(&self, line: &str, said: &Said<'_>, stamp: &str, clock: &impl Clock) -> String {
        let text = match said.action {
            true => format!("* {} {}", said.name, said.text),
            false => format!("{} - ({})", said.text, said.name),
        };
        match clock.local(stamp).filter(|_| self.timestamps) {
            Some(time) => self.painted("2", &format!("{time} {text} [history]")),
            None if said.action => self.painted("2", &format!("{text} [history {stamp}]")),
            None => self.painted("2", line),
        }
    }

    /// What was said, with our name marked in it, and whether it is there.
    fn marked(&self, said: &Said<'_>) -> (String, bool) {
        if said.name == self.own {
            return (said.text.to_owned(), false);
        }
        let mut marked = String::new();
        let mut done = 0;
        for range in mention::mentions(said.text, &self.own) {
            marked.push_str(&said.text[done..range.start]);
            marked.push_str(&self.painted("1;7", &said.text[range.clone()]));
            done = range.end;
        }
        marked.push_str(&said.text[done..]);
        (marked, done > 0)
    }

    fn name(&self, name: &str) -> String {
        self.painted(&format!("1;38;5;{}", palette::colour(name)), name)
    }

    fn painted(&self, how: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{how}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn timed(&self, text: &str, clock: &impl Clock) -> String {
        if !self.timestamps {
            return text.to_owned();
        }
        format!("{} {text}", self.painted("2", &clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> String {
            "12:00".to_owned()
        }

        fn local(&self, stamp: &str) -> Option<String> {
            stamp.strip_suffix(" UTC").map(str::to_owned)
        }
    }

    fn dress(protocol: Protocol) -> Dress {
        Dress { protocol, own: "lior".to_owned(), colour: true, timestamps: false }
    }

    fn heard(dress: &Dress, line: &str) -> (String, bool) {
        let shown = dress.heard(line, &Remark::of(dress.protocol, line), &Noon);
        (shown.text, shown.bell)
    }

    fn coloured(name: &str) -> String {
        format!("\x1b[1;38;5;{}m{name}\x1b[0m", palette::colour(name))
    }

    #[test]
    fn without_colour_and_time_a_line_is_shown_as_heard() {
        for (protocol, lines) in [
            (
                Protocol::Accounts,
                &[
                    "hi lior - (dana)",
                    "psst - (dana) [private]",
                    "hi - (dana) [history 2026-11-21 08:05 UTC]",
                    "[dana - connected to the server!]",
                    "[3 here: (ana) (bob) (cid)]",
                    "[ERROR] why",
                    "[SERVER] lunch",
                    "/who  who is here",
                    "True",
                ][..],
            ),
            (
                Protocol::Nickname,
                &["dana: hi", "dana:hi", "dana:", "dana:  hi lior", "dana join the chat room"][..],
            ),
        ] {
            let plain = Dress { colour: false, ..dress(protocol) };
            for line in lines {
                assert_eq!(heard(&plain, line).0, *line);
            }
        }
        let plain = Dress { colour: false, ..dress(Protocol::Accounts) };
        assert_eq!(heard(&plain, "* dana waves - (dana)").0, "* dana waves");
    }

    #[test]
    fn names_are_coloured_notices_dim_errors_red() {
        let dress = dress(Protocol::Accounts);
        let (dana, dim) = (coloured("dana"), |text| format!("\x1b[2m{text}\x1b[0m"));
        for (line, shown) in [
            ("hi - (dana)", format!("hi - ({dana})")),
            ("* dana waves - (dana)", format!("* {dana} waves")),
            ("hi - (dana) [private]", format!("hi - ({dana}) \x1b[1m[private]\x1b[0m")),
            ("[dana - connected to the server!]", dim("[dana - connected to the server!]")),
            ("[ERROR] why", "\x1b[31m[ERROR] why\x1b[0m".to_owned()),
            ("[SERVER] lunch", "\x1b[1m[SERVER] lunch\x1b[0m".to_owned()),
            ("hi - (dana) [history x]", dim("hi - (dana) [history x]")),
        ] {
            assert_eq!(heard(&dress, line), (shown, line.ends_with("[private]")), "{line}");
        }
        let nickname = Dress { protocol: Protocol::Nickname, ..dress };
        assert_eq!(heard(&nickname, "dana: hi").0, format!("{dana}: hi"));
    }

    #[test]
    fn ones_own_name_is_marked_and_rings() {
        let accounts = dress(Protocol::Accounts);
        let (text, bell) = heard(&accounts, "hey Lior - (dana)");
        assert!(bell && text.starts_with("hey \x1b[1;7mLior\x1b[0m - ("), "{text:?}");
        for (line, rings) in [
            ("lior? - (dana) [private]", true),
            ("for you - (dana) [private]", true),
            ("to myself - (lior) [private]", false),
            ("* dana sees lior - (dana)", true),
            ("glior - (dana)", false),
            ("lior - (dana) [history 2026-11-21 08:05 UTC]", false),
            ("[lior - connected to the server!]", false),
            ("[SERVER] lior", false),
            ("I am lior - (lior)", false),
        ] {
            assert_eq!(heard(&accounts, line).1, rings, "{line}");
        }
        let nickname = dress(Protocol::Nickname);
        assert!(!heard(&nickname, "lior: I am lior").1);
        assert!(heard(&nickname, "dana: lior!").1);
        let plain = Dress { colour: false, ..accounts };
        assert_eq!(heard(&plain, "lior - (dana)"), ("lior - (dana)".to_owned(), true));
    }

    #[test]
    fn times_stand_in_front() {
        let timed = Dress { colour: false, timestamps: true, ..dress(Protocol::Accounts) };
        assert_eq!(heard(&timed, "hi - (dana)").0, "12:00 hi - (dana)");
        assert_eq!(heard(&timed, "[ERROR] why").0, "12:00 [ERROR] why");
        assert_eq!(
            heard(&timed, "hi - (dana) [history 2026-11-21 08:05 UTC]").0,
            "2026-11-21 08:05 hi - (dana) [history]"
        );
        assert_eq!(heard(&timed, "hi - (dana) [history x]").0, "hi - (dana) [history x]");
        let own = timed.own(&Own::Said("hi".to_owned()), &Noon).expect("shown");
        assert_eq!(own.text, "12:00 hi - (lior)");
        assert_eq!(timed.note("[note]", &Noon).text, "12:00 [note]");
    }

    #[test]
    fn ones_own_line_is_shown_as_said() {
        let dress = dress(Protocol::Accounts);
        let lior = coloured("lior");
        let own = |own| dress.own(&own, &Noon).map(|shown| shown.text);
        assert_eq!(own(Own::Said("hi".to_owned())), Some(format!("hi - ({lior})")));
        assert_eq!(own(Own::Action("waves".to_owned())), Some(format!("* {lior} waves")));
        assert_eq!(
            own(Own::Private("ana".to_owned(), "hi".to_owned())),
            Some(format!("hi - ({lior}) \x1b[2m[private to ana]\x1b[0m"))
        );
        assert_eq!(own(Own::Command("/who".to_owned())), Some("\x1b[2m/who\x1b[0m".to_owned()));
        assert_eq!(own(Own::Nothing), None);
    }
}
