//! What an operator can ask for, as typed and as a value.
//!
//! Knows words and durations. Knows no room: who is meant by a name is found out where it
//! is known who is there.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::durations::duration;

/// A line of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorCommand {
    /// What can be asked.
    Help,
    /// Who is here.
    Who,
    /// How the server does.
    Stats,
    /// Tell everyone.
    Say(String),
    /// End somebody's session.
    Kick(Whom),
    /// Shut somebody out.
    Ban(Whom),
    /// Let somebody in again.
    Unban(Whom),
    /// Let somebody listen only.
    Mute(Whom),
    /// Let somebody speak again.
    Unmute(Whom),
    /// Whom the operator has shut out.
    Bans,
    /// End the server, after a while if so asked.
    ShutDown(Option<Duration>),
    /// Do not end it after all.
    CancelShutDown,
}

/// What the operator can type.
pub const HELP: &str = "\
who                             who is here, and from where
say TEXT                        tell everyone
kick NAME                       end a session; they may come again
ban NAME|ADDRESS [DURATION]     shut out, for good or for a while (30s, 10m, 2h, 7d)
unban NAME|ADDRESS              let in again
mute NAME [DURATION]            let listen, not speak
unmute NAME                     let speak again
bans                            who is banned or muted
stats                           how the server does
shutdown [DELAY]                end the server, with a warning before a delay
shutdown cancel                 do not end it after all
A name with spaces may stand in quotes; name:... and address:... say which is meant.";

/// Why a line is no command. Says what to type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// No such word.
    Unknown,
    /// The word needs something behind it.
    Missing(&'static str),
    /// The word stands alone.
    Superfluous(&'static str),
    /// Not a duration.
    Duration,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "no such command; type one of these:\n{HELP}"),
            Self::Missing(usage) => write!(f, "type {usage}"),
            Self::Superfluous(word) => write!(f, "type {word} alone"),
            Self::Duration => f.write_str("a duration is a number with s, m, h or d: 30s, 10m, 2h"),
        }
    }
}

impl std::error::Error for CommandError {}

impl OperatorCommand {
    /// Reads a line.
    ///
    /// # Errors
    /// It is none; the error says what to type.
    pub fn parse(line: &str) -> Result<Self, CommandError> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let alone = |command, word| match rest {
            "" => Ok(command),
            _ => Err(CommandError::Superfluous(word)),
        };
        let whom = |usage| match rest {
            "" => Err(CommandError::Missing(usage)),
            _ => Ok(Whom(rest.to_owned())),
        };
        match word {
            "help" | "?" => alone(Self::Help, "help"),
            "who" => alone(Self::Who, "who"),
            "stats" => alone(Self::Stats, "stats"),
            "bans" => alone(Self::Bans, "bans"),
            "say" if rest.is_empty() => Err(CommandError::Missing("say TEXT")),
            "say" => Ok(Self::Say(rest.to_owned())),
            "kick" => whom("kick NAME").map(Self::Kick),
            "ban" => whom("ban NAME|ADDRESS [DURATION]").map(Self::Ban),
            "unban" => whom("unban NAME|ADDRESS").map(Self::Unban),
            "mute" => whom("mute NAME [DURATION]").map(Self::Mute),
            "unmute" => whom("unmute NAME").map(Self::Unmute),
            "shutdown" if rest.is_empty() => Ok(Self::ShutDown(None)),
            "shutdown" if rest == "cancel" => Ok(Self::CancelShutDown),
            "shutdown" => duration(rest)
                .map(|delay| Self::ShutDown(Some(delay)))
                .ok_or(CommandError::Duration),
            _ => Err(CommandError::Unknown),
        }
    }
}

/// The line that the words of a shell mean. Where a name is expected, a word with spaces is
/// one name: its quotes, which the shell has taken off, are put on again.
pub fn line_of(words: &[String]) -> String {
    match words {
        [command, rest @ ..]
            if ["kick", "ban", "unban", "mute", "unmute"].contains(&command.trim()) =>
        {
            rest.iter().fold(command.clone(), |line, word| line + " " + &quoted(word))
        }
        words => words.join(" "),
    }
}

/// A word in quotes, if it needs them. What holds quotes cannot be quoted, and an address in
/// quotes would be a name.
fn quoted(word: &str) -> Cow<'_, str> {
    let (kind, name) = match word.strip_prefix("name:") {
        Some(name) => ("name:", name),
        None => ("", word),
    };
    if word.starts_with("address:") || name.contains('"') || !name.contains(char::is_whitespace) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("{kind}\"{name}\""))
}

/// Whom a command means, as typed: a name or an address, perhaps in quotes, perhaps with
/// `name:` or `address:` in front, perhaps with a duration behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom(String);

/// One way to read a [`Whom`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The name, if it may be one.
    pub name: Option<String>,
    /// The address, if it may be one.
    pub address: Option<IpAddr>,
    /// For how long.
    pub duration: Option<Duration>,
}

/// An address, or the /64 network of an IPv6 one, which is what a person has.
fn address(text: &str) -> Option<IpAddr> {
    match text.strip_suffix("/64") {
        Some(network) => network.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

impl Whom {
    /// What was typed.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The ways to read it, the longest name first: `Ana 7d` may be somebody's name.
    pub fn readings(&self) -> Vec<Reading> {
        let text = self.0.as_str();
        let (kind, text) = match (text.strip_prefix("name:"), text.strip_prefix("address:")) {
            (Some(rest), _) => (Some(true), rest.trim_start()),
            (_, Some(rest)) => (Some(false), rest.trim_start()),
            _ => (None, text),
        };
        let reading = |target: &str, quoted: bool, duration| {
            let name = (kind != Some(false)).then(|| target.to_owned());
            let address = address(target).filter(|_| kind != Some(true) && !quoted);
            Reading { name, address, duration }
        };
        let mut readings = vec![reading(text, text.starts_with('"'), None)];
        if let Some((target, last)) = text.rsplit_once(char::is_whitespace)
            && let Some(duration) = duration(last)
        {
            let target = target.trim_end();
            readings.push(reading(target, target.starts_with('"'), Some(duration)));
        }
        // Last, so that nobody is out of reach whose name begins with a quote.
        if let Some((quoted, rest)) = text.strip_prefix('"').and_then(|t| t.split_once('"')) {
            let rest = rest.trim();
            match (rest.is_empty(), duration(rest)) {
                (true, _) => readings.push(reading(quoted, true, None)),
                (false, Some(duration)) => readings.push(reading(quoted, true, Some(duration))),
                // Somebody may bear it as it stands; else it is none.
                (false, None) => {}
            }
        }
        readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(text: &str) -> Vec<(Option<String>, Option<IpAddr>, Option<u64>)> {
        let reading = |r: Reading| (r.name, r.address, r.duration.map(|d| d.as_secs()));
        Whom(text.to_owned()).readings().into_iter().map(reading).collect()
    }

    #[test]
    fn every_command_as_typed() {
        let parse = OperatorCommand::parse;
        assert_eq!(parse(" who "), Ok(OperatorCommand::Who));
        assert_eq!(parse("say  hello  there "), Ok(OperatorCommand::Say("hello  there".into())));
        assert_eq!(parse("shutdown"), Ok(OperatorCommand::ShutDown(None)));
        let half_a_minute = Some(Duration::from_secs(30));
        assert_eq!(parse("shutdown 30s"), Ok(OperatorCommand::ShutDown(half_a_minute)));
        assert_eq!(parse("shutdown 30"), Ok(OperatorCommand::ShutDown(half_a_minute)));
        assert_eq!(parse("shutdown cancel"), Ok(OperatorCommand::CancelShutDown));
        assert_eq!(parse("shutdown soon"), Err(CommandError::Duration));
        assert_eq!(parse("who now"), Err(CommandError::Superfluous("who")));
        assert_eq!(parse("kick"), Err(CommandError::Missing("kick NAME")));
        assert_eq!(parse("dance"), Err(CommandError::Unknown));
    }

    #[test]
    fn who_is_meant_has_several_readings() {
        let name = |name: &str| Some(name.to_owned());
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(whom("ana"), [(name("ana"), None, None)]);
        assert_eq!(
            whom("Ana Maria 7d"),
            [(name("Ana Maria 7d"), None, None), (name("Ana Maria"), None, Some(604_800))]
        );
        assert_eq!(
            whom("\"Ana 7d\" 10m"),
            [
                (name("\"Ana 7d\" 10m"), None, None),
                (name("\"Ana 7d\""), None, Some(600)),
                (name("Ana 7d"), None, Some(600))
            ]
        );
        assert_eq!(
            whom("\"10.0.0.1\""),
            [(name("\"10.0.0.1\""), None, None), (name("10.0.0.1"), None, None)]
        );
        assert_eq!(whom("10.0.0.1"), [(name("10.0.0.1"), Some(address), None)]);
        assert_eq!(whom("name:10.0.0.1"), [(name("10.0.0.1"), None, None)]);
        assert_eq!(whom("address:10.0.0.1"), [(None, Some(address), None)]);
        assert_eq!(whom("\"ana\" later"), [(name("\"ana\" later"), None, None)]);
        let network: IpAddr = "2001:db8::".parse().unwrap();
        assert_eq!(whom("address:2001:db8::/64"), [(None, Some(network), None)]);
        assert_eq!(whom("address:10.0.0.0/8"), [(None, None, None)]);
    }

    #[test]
    fn a_word_of_the_shell_with_spaces_is_one_name() {
        for (words, line) in [
            (&["who"][..], "who"),
            (&["say", "hello   there", "all"], "say hello   there all"),
            (&["kick", "Ana", "Maria"], "kick Ana Maria"),
            (&["kick", "Ana Maria"], "kick \"Ana Maria\""),
            (&["ban", "Ana 7d"], "ban \"Ana 7d\""),
            (&["ban", "Ana Maria", "10m"], "ban \"Ana Maria\" 10m"),
            (&["ban", "name:Ana Maria", "10m"], "ban name:\"Ana Maria\" 10m"),
            (&["ban", "address:10.0.0.1", "10m"], "ban address:10.0.0.1 10m"),
            (&["ban", "\"Ana Maria\" 10m"], "ban \"Ana Maria\" 10m"),
            (&["ban Ana Maria 10m"], "ban Ana Maria 10m"),
            (&["shutdown", "30s"], "shutdown 30s"),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(line_of(&words), line);
        }
    }
}
