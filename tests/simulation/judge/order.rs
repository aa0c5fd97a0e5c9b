//! The room's order, as the observer has heard it: who was in it when, what was said, and
//! what of that a history of these limits would show.

use std::collections::HashMap;

use chinwag::accounts::records::{HistoryLimits, Said};
use chinwag::protocol::Protocol;

use crate::client::Act;
use crate::world::World;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard<'a> {
    Joined(&'a str),
    Left(&'a str),
    Said(&'a str, &'a str),
    Announced(&'a str),
}

/// From joining to leaving, as places in the room's order.
pub type Span = (usize, Option<usize>);

pub struct Order<'a> {
    pub lines: Vec<&'a str>,
    pub events: Vec<Heard<'a>>,
    pub spans: HashMap<&'a str, Vec<Span>>,
    /// How many messages were said before each place.
    said_before: Vec<usize>,
    /// All that was ever said, kept ones first, as a history shows it.
    history: Vec<String>,
    /// How many of them were kept from before the start.
    kept: usize,
    /// The bytes of names and texts of each.
    sizes: Vec<usize>,
    /// Long texts that were said to one person alone, as they may be heard.
    pub private: Vec<String>,
    limits: HistoryLimits,
    /// Who sees all this, and is in no span.
    observer: &'a str,
}

impl<'a> Order<'a> {
    pub fn of(world: &'a World, stream: &'a str) -> Self {
        let protocol = world.protocol;
        let lines: Vec<&str> =
            complete_lines(protocol, stream).filter(|line| !is_own(protocol, line)).collect();
        // In `nickname` it hears itself come.
        let lines = lines[usize::from(protocol == Protocol::Nickname)..].to_vec();
        let events: Vec<Heard<'_>> = lines.iter().map(|line| parse(protocol, line)).collect();
        let mut spans: HashMap<&str, Vec<Span>> = HashMap::new();
        let mut said_before = vec![0];
        for (at, event) in events.iter().enumerate() {
            said_before.push(said_before[at] + usize::from(matches!(event, Heard::Said(..))));
            match event {
                Heard::Joined(name) => {
                    let of_name = spans.entry(name).or_default();
                    assert!(of_name.last().is_none_or(|s| s.1.is_some()), "{name} came twice");
                    of_name.push((at, None));
                }
                Heard::Left(name) => {
                    let last = spans.get_mut(name).and_then(|of_name| of_name.last_mut());
                    let last = last.unwrap_or_else(|| panic!("{name} left and was never there"));
                    assert!(last.1.is_none(), "{name} left twice");
                    last.1 = Some(at);
                }
                Heard::Said(name, text) => {
                    let of_name = spans.get(name).and_then(|n| n.last());
                    let inside = of_name.is_some_and(|s| s.1.is_none());
                    assert!(inside, "{name} is not in the room and says {text:?}");
                }
                Heard::Announced(_) => {}
            }
        }
        let kept = world.kept.history.iter();
        let records = world.records.iter().map(|(said, ..)| &**said);
        let all = || kept.clone().chain(records.clone());
        let line = |said: &Said| {
            format!("{} - ({}) [history {} UTC]", said.text, said.name, minute(said.at))
        };
        Self {
            spans,
            said_before,
            history: all().map(line).collect(),
            kept: kept.len(),
            sizes: all().map(|said| said.name.len() + said.text.len()).collect(),
            private: long_private(world),
            limits: world.settings.room.history,
            observer: &world.conns[0].name,
            lines,
            events,
        }
    }

    /// What was handed out to be written down is what was said, numbered, as it was said.
    pub fn records(&self, world: &World) {
        let said: Vec<(&str, &str)> = self
            .events
            .iter()
            .filter_map(|event| match event {
                Heard::Said(name, text) => Some((*name, *text)),
                _ => None,
            })
            .collect();
        let kept = self.limits.messages > 0;
        assert_eq!(world.records.len(), if kept { said.len() } else { 0 }, "records");
        let mut number = world.kept.history.last().map_or(0, |said| said.number);
        for (n, ((record, forget_before, wall), said)) in
            world.records.iter().zip(&said).enumerate()
        {
            number += 1;
            assert_eq!((&*record.name, &*record.text), *said, "another was written down");
            assert_eq!((record.number, record.at), (number, *wall), "number and time");
            let (from, to) = self.suffix(self.kept + n + 1, usize::MAX, usize::MAX);
            let first = if from == to { number } else { self.number(world, from) };
            assert_eq!(*forget_before, first, "what is to be forgotten at {number}");
        }
    }

    fn number(&self, world: &World, n: usize) -> i64 {
        match n.checked_sub(self.kept) {
            Some(n) => world.records[n].0.number,
            None => world.kept.history[n].number,
        }
    }

    /// The latest of the first `to` messages: at most so many and so many bytes of lines,
    /// and no more than the room keeps.
    fn suffix(&self, to: usize, count: usize, line_bytes: usize) -> (usize, usize) {
        let (mut from, mut bytes, mut lines) = (to, 0, 0);
        let most = count.min(self.limits.messages);
        while from > 0 && to - from < most {
            bytes += self.sizes[from - 1];
            lines += self.history[from - 1].len() + 1;
            if bytes > self.limits.bytes || lines > line_bytes {
                break;
            }
            from -= 1;
        }
        (from, to)
    }

    /// The latest `count` messages as of `place`, as a history shows them.
    pub fn history(&self, place: usize, count: usize) -> &[String] {
        let most = chinwag::limits::REPLY_BYTES_MAX;
        if self.limits.messages == 0 {
            return &[];
        }
        let (from, to) = self.suffix(self.kept + self.said_before[place], count, most);
        &self.history[from..to]
    }

    /// A line of any history that begins as `start`.
    pub fn history_line(&self, start: &[u8]) -> Option<&[u8]> {
        self.history.iter().map(String::as_bytes).find(|line| line.starts_with(start))
    }

    pub fn said_before(&self, place: usize) -> usize {
        self.said_before[place]
    }

    fn is_present(&self, name: &str, place: usize) -> bool {
        let inside = |&(from, to): &Span| from < place && to.is_none_or(|to| to >= place);
        name == self.observer || self.spans.get(name).is_some_and(|spans| spans.iter().any(inside))
    }

    /// Who is in the room at `place`.
    pub fn present(&self, place: usize) -> Vec<&'a str> {
        let names = self.spans.keys().copied().chain([self.observer]);
        names.filter(|name| self.is_present(name, place)).collect()
    }

    /// Whom `/msg` means at `place`, and what it says: the longest name, or the quoted one.
    pub fn meant<'b>(&self, rest: &'b str, place: usize) -> Option<(&'a str, &'b str)> {
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let present = self.present(place);
        if let Some((name, text)) = quoted {
            let found = present.into_iter().find(|here| here.eq_ignore_ascii_case(name));
            return found.map(|found| (found, text.trim_start()));
        }
        let begins = |name: &&str| {
            rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                && rest[name.len()..].starts_with(' ')
        };
        let longest = present.into_iter().filter(begins).max_by_key(|name| name.len());
        longest.map(|name| (name, rest[name.len()..].trim_start()))
    }

    /// The session of `name` at `place`: the how many-th.
    pub fn session(&self, name: &str, place: usize) -> Option<usize> {
        let inside = |&(from, to): &Span| from < place && to.is_none_or(|to| to >= place);
        self.spans.get(name)?.iter().position(inside)
    }

    /// Places from `from` to `to` at which somebody has just come or gone, and `from`.
    pub fn changes(&self, from: usize, to: usize) -> Vec<usize> {
        let notice = |&at: &usize| matches!(self.events[at], Heard::Joined(_) | Heard::Left(_));
        let to = to.min(self.events.len());
        let changes = (from.min(to)..to).filter(notice).map(|at| at + 1);
        [from].into_iter().chain(changes).collect()
    }
}

fn long_private(world: &World) -> Vec<String> {
    let mut texts = Vec::new();
    for sender in &world.conns {
        for act in &sender.script {
            let Act::Tell { rest, marker } = act else { continue };
            let at = rest.find(&format!("{marker}.")).filter(|at| rest.len() - at > 800);
            // Words before it may be part of the name.
            let words = rest.match_indices(' ').map(|(space, _)| space + 1);
            for at in words.take_while(|word| at.is_some_and(|at| *word <= at)) {
                texts.push(format!("{} - ({}) [private]", &rest[at..], sender.name));
            }
        }
    }
    texts
}

/// The lines of a stream in lines; what is cut off at its end is none.
pub fn complete_lines(protocol: Protocol, stream: &str) -> impl Iterator<Item = &str> {
    let lines = stream.split_inclusive('\n').map_while(|line| line.strip_suffix('\n'));
    lines.map(move |line| match protocol {
        Protocol::Nickname => line.strip_prefix("NICK").unwrap_or(line),
        _ => line,
    })
}

/// Whether a line is for its recipient alone.
pub fn is_own(protocol: Protocol, line: &str) -> bool {
    let words = ["True", "False", "exit_server", "Welcome to this chatroom!"];
    if words.contains(&line) {
        return true;
    }
    if protocol != Protocol::Accounts {
        return line.starts_with("[ERROR] ");
    }
    // What is said ends in the name of who says it.
    !line.ends_with(')')
        && (line.starts_with("[ERROR] ")
            || line.starts_with('/')
            || line.ends_with("[private]")
            || line.ends_with(" UTC]")
            || line.starts_with("[your password")
            || line == "[nothing was said yet]"
            || (line.starts_with('[') && line.contains(" here:")))
}

pub fn parse(protocol: Protocol, line: &str) -> Heard<'_> {
    let (joined, left) = match protocol {
        Protocol::Accounts => (" - connected to the server!]", " - disconnected from the server!]"),
        _ => (" join the chat room", " Left chat room"),
    };
    if let Some(text) = line.strip_prefix("[SERVER] ").filter(|text| !text.ends_with(')')) {
        return Heard::Announced(text);
    }
    let named = |name: &'_ str| !name.contains(':');
    let open = if protocol == Protocol::Accounts { "[" } else { "" };
    let bare = line.strip_prefix(open);
    if let Some(name) = bare.and_then(|line| line.strip_suffix(joined)).filter(|n| named(n)) {
        return Heard::Joined(&line[open.len()..open.len() + name.len()]);
    }
    if let Some(name) = bare.and_then(|line| line.strip_suffix(left)).filter(|n| named(n)) {
        return Heard::Left(&line[open.len()..open.len() + name.len()]);
    }
    if protocol == Protocol::Accounts {
        let said = line.strip_suffix(')').and_then(|line| line.rsplit_once(" - ("));
        let (text, name) = said.unwrap_or_else(|| panic!("what is this? {line:?}"));
        return Heard::Said(name, text);
    }
    // The beginning of a head, told after a silence, may lack the space.
    let said = line.split_once(':').unwrap_or_else(|| panic!("who says {line:?}?"));
    Heard::Said(said.0, said.1.strip_prefix(' ').unwrap_or(said.1))
}

/// A moment to the minute, from seconds since 1970.
fn minute(at: i64) -> String {
    let (mut day, second) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let mut year = 1970;
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02} {:02}:{:02}", day + 1, second / 3_600, second / 60 % 60)
}
