//! The operator and the clock on the wall, with a naive model of whom the operator has shut
//! out.

use std::collections::BTreeMap;

use chinwag::accounts::records::{Sanction, SanctionChange, SanctionKind, SanctionTarget};
use chinwag::operator::OperatorCommand;

use super::*;

/// Durations as typed, and in seconds.
const DURATIONS: [(&str, i64); 5] =
    [("1s", 1), ("20", 20), ("10m", 600), ("2h", 7_200), ("7d", 604_800)];

/// Whom the operator has shut out, and until when.
#[derive(Debug, Default)]
pub struct Sanctions {
    in_force: BTreeMap<(bool, String), Option<i64>>,
}

impl Sanctions {
    fn key(kind: SanctionKind, target: &SanctionTarget) -> (bool, String) {
        let target = match target {
            SanctionTarget::Name(name) => format!("name {}", name.to_ascii_lowercase()),
            SanctionTarget::Address(address) => address.to_string(),
        };
        (kind == SanctionKind::Ban, target)
    }

    pub fn change(&mut self, change: &SanctionChange) {
        match change {
            SanctionChange::Impose(Sanction { kind, target, until }) => {
                self.in_force.insert(Self::key(*kind, target), *until);
            }
            SanctionChange::Lift(kind, target) => {
                self.in_force.remove(&Self::key(*kind, target));
            }
        }
    }

    pub fn has(&self, kind: SanctionKind, target: &SanctionTarget, now: i64) -> bool {
        let until = self.in_force.get(&Self::key(kind, target));
        until.is_some_and(|until| until.is_none_or(|until| now < until))
    }

    pub fn has_name(&self, kind: SanctionKind, name: &str, now: i64) -> bool {
        !self.in_force.is_empty() && self.has(kind, &SanctionTarget::Name(name.into()), now)
    }

    fn count(&self, now: i64) -> usize {
        let on = |until: &&Option<i64>| until.is_none_or(|until| now < until);
        self.in_force.values().filter(on).count()
    }

    /// Names that have been muted and not unmuted.
    fn muted(&self) -> impl Iterator<Item = (&str, Option<i64>)> {
        let mutes = self.in_force.iter().filter(|((ban, _), _)| !ban);
        mutes.filter_map(|((_, key), &until)| Some((key.strip_prefix("name ")?, until)))
    }
}

impl World {
    /// What the clock on the wall shows.
    pub fn wall(&self) -> i64 {
        self.wall_began + self.net.borrow().time.as_secs() as i64
    }

    /// The clock on the wall is set, forwards or backwards.
    pub(super) fn set_wall(&mut self) {
        let steps = [-1_000_000, -8_000, -30, 1, 15, 700, 8_000, 1_000_000];
        self.wall_began += steps[self.below(steps.len())];
    }

    pub(super) fn tell_wall(&mut self) {
        self.wall_told = self.wall();
        self.server.set_wall_clock(self.wall_told);
        self.note_mutes();
    }

    /// Notes who may speak from here on in the room's order, and who may not.
    fn note_mutes(&mut self) {
        let now = self.wall_told;
        let muted = self.sanctions.muted();
        let muted: HashSet<String> = muted
            .filter(|(_, until)| until.is_none_or(|until| now < until))
            .map(|(name, _)| name.to_owned())
            .collect();
        if muted != self.muted {
            self.mutes.push((self.said, muted.clone()));
            self.muted = muted;
        }
    }

    /// Who is in the room, and under which name.
    fn inside(&self, name: &str) -> Option<usize> {
        let mut inside = self.live.iter().copied().filter(|&id| self.is_inside(id));
        inside.find(|&id| self.conns[id].name.eq_ignore_ascii_case(name))
    }

    pub(super) fn is_inside(&self, id: usize) -> bool {
        self.conns[id].client.is_some_and(|client| self.server.is_in_room(client))
    }

    /// Hands a line to the server as the console does.
    pub fn order(&mut self, line: &str) -> (bool, String, Option<SanctionChange>) {
        let command = OperatorCommand::parse(line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        let outcome = self.server.operate(&command, self.now());
        assert!(!outcome.answer.text.contains(SECRET_CHARS), "a secret: {:?}", outcome.answer);
        (outcome.answer.done, outcome.answer.text, outcome.change)
    }

    /// The operator does something.
    pub(super) fn operate(&mut self) {
        if matches!(self.protocol, Protocol::Relay | Protocol::Uppercase) {
            return self.operate_without_names();
        }
        match self.below(14) {
            0..=2 => {
                self.numbers += 1;
                let text = format!("o{}. everyone listen", self.numbers);
                let escape = if self.once_in(3) { "\u{1b}[31m" } else { "" };
                assert_eq!(self.order(&format!("say {escape}{text}")), (true, String::new(), None));
                self.announced.push(text);
            }
            3 => self.kick(),
            4 | 5 => self.impose(SanctionKind::Ban),
            6 => self.ban_address(),
            7 | 8 => self.impose(SanctionKind::Mute),
            9 => self.lift(SanctionKind::Mute),
            10 | 11 => self.lift(SanctionKind::Ban),
            12 => self.look(),
            _ => self.close_or_not(),
        }
        self.note_mutes();
    }

    fn operate_without_names(&mut self) {
        let line = *self.net.borrow_mut().rng.pick(&["say hi", "kick NK", "mute NK", "unmute NK"]);
        let (done, _, change) = self.order(line);
        assert!(!done && change.is_none(), "nobody has a name");
        if self.once_in(4) {
            self.close_or_not();
        }
    }

    /// The room is to close in many hours, or is not.
    pub(super) fn close_or_not(&mut self) {
        let (line, said) = match self.closing {
            false => ("shutdown 100h", "the room closes in 4d 4h"),
            true => ("shutdown cancel", "the room stays open"),
        };
        assert!(self.order(line).0, "{line}");
        self.closing = !self.closing;
        self.announced.push(said.to_owned());
    }

    /// A name, which may be that of somebody in the room, as typed: perhaps in quotes.
    fn somebody_typed(&self) -> (String, bool) {
        let inside = self.live.iter().filter(|&&id| id != 0 && self.is_inside(id));
        let inside: Vec<usize> = inside.copied().collect();
        let mut name = match inside[..] {
            [] => "nobody".to_owned(),
            _ => self.conns[inside[self.below(inside.len())]].name.clone(),
        };
        if self.protocol == Protocol::Accounts && self.once_in(4) {
            name = identity(self.below(ACCOUNTS)).0;
        }
        if self.once_in(4) {
            name = name.to_ascii_lowercase();
        }
        // A quote in a name ends it.
        let quoted = self.once_in(3) && !name.contains('"');
        (name, quoted)
    }

    fn kick(&mut self) {
        let (name, quoted) = self.somebody_typed();
        let typed = if quoted { format!("\"{name}\"") } else { name };
        let there = self.inside(&typed).or_else(|| self.inside(unquoted(&typed)?));
        let line = format!("kick {}{typed}", if quoted { "" } else { "name:" });
        let (done, answer, change) = self.order(&line);
        assert!(done == there.is_some() && change.is_none(), "{line}: {answer}");
        self.is_out(there, "removed you");
    }

    /// The session of `id`, if any, is over from here on.
    fn is_out(&mut self, id: Option<usize>, told: &'static str) {
        if let Some(id) = id {
            assert!(!self.is_inside(id), "{} is still here", self.conns[id].name);
            self.conns[id].expelled = Some(told);
        }
    }

    fn impose(&mut self, kind: SanctionKind) {
        let (typed, quoted) = self.somebody_typed();
        let named = self.protocol == Protocol::Nickname;
        // A newcomer there would take its first message for its name.
        if kind == SanctionKind::Ban && named && self.inside(&typed).is_none() {
            return;
        }
        let some = (!self.once_in(4)).then(|| DURATIONS[self.below(DURATIONS.len())]);
        let mut line = if quoted { format!("\"{typed}\"") } else { typed.clone() };
        line.extend(some.map(|(text, _)| format!(" {text}")));
        // The longest name of somebody here, else what stands in quotes or before a duration.
        let parted = line.rsplit_once(' ').and_then(|(name, last)| {
            Some((name, *DURATIONS.iter().find(|(text, _)| *text == last)?))
        });
        let (rest, duration) = parted.map_or((&*line, None), |(name, d)| (name, Some(d)));
        let mut readings = vec![(line.clone(), None), (rest.to_owned(), duration)];
        readings.extend(unquoted(rest).map(|name| (name.to_owned(), duration)));
        let here = readings.iter().find(|(name, _)| self.inside(name).is_some());
        let half = |(at, _): (usize, &str)| self.inside(&line[..at]).is_some();
        if here.is_none() && duration.is_none() && !quoted && line.match_indices(' ').any(half) {
            // Somebody is here, and what follows the name is no duration.
            let word = if kind == SanctionKind::Ban { "ban" } else { "mute" };
            let (done, answer, change) = self.order(&format!("{word} {line}"));
            assert!(!done && change.is_none(), "{word} {line}: {answer}");
            return;
        }
        let (name, duration) = here.or(readings.last()).unwrap().clone();
        let there = self.inside(&name);
        let name = there.map_or(name, |id| self.conns[id].name.clone());
        if named && there.is_none() {
            return;
        }
        let until = duration.map(|(_, seconds)| self.wall_told + seconds);
        let target = SanctionTarget::Name(name);
        let due = SanctionChange::Impose(Sanction { kind, target, until });
        let word = if kind == SanctionKind::Ban { "ban" } else { "mute" };
        let (done, answer, change) = self.order(&format!("{word} {line}"));
        assert!(done && change.as_ref() == Some(&due), "{word} {line}: {answer}, {change:?}");
        self.sanctions.change(&due);
        if kind == SanctionKind::Ban {
            self.is_out(there, "banned you");
        }
    }

    fn ban_address(&mut self) {
        let last = 1 + self.below(4) as u8;
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let (text, seconds) = DURATIONS[self.below(DURATIONS.len())];
        let until = Some(self.wall_told + seconds);
        let (kind, target) = (SanctionKind::Ban, SanctionTarget::Address(address));
        let due = SanctionChange::Impose(Sanction { kind, target, until });
        let of_address = |&id: &usize| self.conns[id].address == last && self.is_inside(id);
        let inside: Vec<usize> = self.live.iter().copied().filter(of_address).collect();
        let (done, answer, change) = self.order(&format!("ban {address} {text}"));
        assert!(done && change.as_ref() == Some(&due), "{answer}, {change:?}");
        self.sanctions.change(&due);
        for id in inside {
            self.is_out(Some(id), "banned you");
        }
        for conn in self.conns.iter_mut().filter(|conn| conn.address == last) {
            conn.barred |= conn.client.is_some();
        }
    }

    fn lift(&mut self, kind: SanctionKind) {
        let of_kind = |key: &&(bool, String)| key.0 == (kind == SanctionKind::Ban);
        let keys: Vec<String> =
            self.sanctions.in_force.keys().filter(of_kind).map(|key| key.1.clone()).collect();
        let Some(key) = keys.get(self.below(keys.len().max(1))) else { return };
        let (typed, target) = match key.strip_prefix("name ") {
            Some(name) => {
                let theirs = SanctionTarget::Name(name.to_owned());
                let other = unquoted(name).map(|name| SanctionTarget::Name(name.to_owned()));
                let other = other.filter(|_| !self.sanctions.has(kind, &theirs, self.wall_told));
                (format!("name:{name}"), other.unwrap_or(theirs))
            }
            None => (key.clone(), SanctionTarget::Address(key.parse().unwrap())),
        };
        let on = self.sanctions.has(kind, &target, self.wall_told);
        let word = if kind == SanctionKind::Ban { "unban" } else { "unmute" };
        let (done, answer, change) = self.order(&format!("{word} {typed}"));
        let due = on.then_some(SanctionChange::Lift(kind, target));
        assert!(done == on && change == due, "{word} {typed}: {answer}, {change:?}");
        due.iter().for_each(|due| self.sanctions.change(due));
    }

    /// The operator looks; what it sees is so.
    fn look(&mut self) {
        let inside = self.live.iter().filter(|&&id| self.is_inside(id)).count();
        let (_, who, _) = self.order("who");
        assert!(who.starts_with(&format!("{inside} in the room")), "{inside}: {who}");
        let (_, bans, _) = self.order("bans");
        let lines = if bans == "nobody" { 0 } else { bans.lines().count() };
        assert_eq!(lines, self.sanctions.count(self.wall_told), "{bans}");
        let (_, stats, _) = self.order("stats");
        let said = format!("said         {} messages", self.said);
        assert!(stats.contains(&said), "{} were said: {stats}", self.said);
        let lost = format!("not written  {} messages", self.unwritten);
        let accounts = self.protocol == Protocol::Accounts;
        assert!(!accounts || stats.contains(&lost), "{}: {stats}", self.unwritten);
    }
}

/// A name that stands in quotes, without them.
fn unquoted(name: &str) -> Option<&str> {
    name.strip_prefix('"')?.strip_suffix('"')
}
