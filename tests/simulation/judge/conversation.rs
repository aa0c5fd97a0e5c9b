//! What each client asked, and the answers it got: one after the other, each at its place
//! in the room's order. What was said to one person alone was heard by that person alone.

use std::collections::HashMap;

use super::order::{Heard, Order};
use super::streams::Own;
use super::{complete, heard_all};
use crate::client::{Act, Conn, Kind};
use crate::world::World;

/// Where what was said to one person alone was heard.
#[derive(Debug)]
pub struct Delivery {
    after: usize,
    before: usize,
}

pub type Deliveries = HashMap<String, Delivery>;

/// The word that is nowhere else in a private text.
fn marker_of(text: &str) -> Option<&str> {
    let words = text.split(' ').filter_map(|word| word.split_once('.'));
    let mut markers = words.filter(|(word, _)| {
        let number = word.strip_prefix('p').unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    markers.next().map(|(marker, _)| marker)
}

/// What `conn` heard alone was said to it, once, by who was there.
pub fn private_words(
    world: &World,
    conn: &Conn,
    order: &Order<'_>,
    owns: &[Own<'_>],
    deliveries: &mut Deliveries,
) {
    for own in owns {
        let Some(heard) = own.text.strip_suffix(") [private]") else { continue };
        let (text, name) = heard.rsplit_once(" - (").unwrap_or_else(|| panic!("{heard:?}"));
        let marker = marker_of(text).unwrap_or_else(|| panic!("who told {heard:?}?"));
        let sender = order.session(name, own.after).map(|n| world.sessions[name][n]);
        let sender = sender.unwrap_or_else(|| panic!("{name} is not here and tells {text:?}"));
        let told = world.conns[sender].script.iter().find_map(|act| match act {
            Act::Tell { rest, marker: its } if its == marker => Some(rest),
            _ => None,
        });
        let rest = told.unwrap_or_else(|| panic!("{name} never told {text:?}"));
        let meant = order.meant(rest, own.after);
        let due = Some((conn.name.as_str(), text));
        assert_eq!(meant, due, "{rest:?} of {name} was heard by {}", conn.name);
        let delivery = Delivery { after: own.after, before: own.before };
        let twice = deliveries.insert(marker.to_owned(), delivery);
        assert!(twice.is_none(), "{text:?} was heard twice");
    }
}

/// What a session asked and was answered.
pub struct Conversation<'a> {
    pub world: &'a World,
    pub conn: &'a Conn,
    pub order: &'a Order<'a>,
    pub deliveries: &'a Deliveries,
    pub owns: &'a [Own<'a>],
    pub from: usize,
    pub to: usize,
}

impl Conversation<'_> {
    /// Checks it.
    pub fn judge(&self) {
        let mut answers = self.owns;
        self.replay(&mut answers);
        let answers: Vec<&Own<'_>> =
            answers.iter().filter(|own| !own.text.ends_with("[private]")).collect();
        let mut answers = &answers[..];
        if let Some(told) = self.conn.expelled
            && let Some((last, rest)) = answers.split_last()
            && last.text.contains(told)
        {
            answers = rest;
        } else if self.conn.expelled.is_some() && heard_all(self.world, self.conn) {
            panic!("{} was expelled and not told: {:?}", self.conn.id, self.owns.last());
        }
        if let Some((last, rest)) = answers.split_last()
            && last.text == "exit_server"
        {
            answers = rest;
        }
        if matches!(self.conn.kind, Kind::Lines | Kind::Gentle) {
            self.script(answers);
        } else {
            let replayed = answers.iter().find(|own| own.text.ends_with(" UTC]"));
            assert!(replayed.is_none(), "replayed in bursts: {replayed:?}");
        }
    }

    /// What was said before is replayed in lines, first of all, and never in bursts.
    fn replay(&self, answers: &mut &[Own<'_>]) {
        if !matches!(self.conn.kind, Kind::Lines | Kind::Observer) {
            return;
        }
        let due = self.order.history(self.from, self.world.settings.room.history_replayed);
        let whole = heard_all(self.world, self.conn);
        for line in due {
            match answers.split_first() {
                Some((heard, rest)) => {
                    assert_eq!(heard.text, *line, "replayed to {}", self.conn.id);
                    assert_eq!(heard.after, self.from + 1, "replayed too late");
                    *answers = rest;
                }
                None => return assert!(!whole, "{due:?} was not replayed"),
            }
        }
    }

    fn script(&self, mut answers: &[&Own<'_>]) {
        let whole = complete(self.world, self.conn);
        let mine = (self.from..self.to).filter_map(|at| match self.order.events[at] {
            Heard::Said(name, text) if name == self.conn.name => Some((at, text)),
            _ => None,
        });
        let mut mine = mine.peekable();
        // All before this place was decided before what comes next.
        let mut after = self.from + 1;
        // Told to somebody, nobody knows whether it arrived.
        let mut doubtful = Vec::new();
        for act in &self.conn.script {
            let id = self.conn.id;
            let next = answers.first().map(|own| &*own.text);
            match act {
                Act::Say(text) => match mine.next_if(|(_, said)| said == text) {
                    Some((at, _)) => {
                        assert!(at >= after, "{id} said {text:?} before what it did before");
                        self.arrived(&mut doubtful, at);
                        after = at + 1;
                        continue;
                    }
                    None if next.is_some_and(is_muted) => {}
                    None => return assert!(!whole, "{id}: {text:?} was not said: {next:?}"),
                },
                Act::Tell { rest, marker } => match (self.deliveries.get(marker), next) {
                    (Some(heard), _) => {
                        assert!(heard.before >= after, "{id}: {marker} came too early");
                        after = after.max(heard.after);
                        self.arrived(&mut doubtful, heard.before);
                        continue;
                    }
                    (None, Some(next)) if is_muted(next) && self.reaches_all(rest, after) => {}
                    // Perhaps that is the answer to something later.
                    (None, Some(next)) if is_muted(next) => return,
                    (None, Some(next)) if is_nobody(next) && self.is_for_nobody(rest, answers) => {
                        // Somebody who was lost since may have heard it all the same.
                        if !self.reaches(rest, after, answers[0].after.max(after)) {
                            return;
                        }
                    }
                    (None, None) if !whole => return,
                    (None, _) => {
                        doubtful.push((rest, after));
                        continue;
                    }
                },
                _ if next.is_none() => {
                    return assert!(!whole, "{id}: no answer to {act:?}");
                }
                _ => {}
            }
            let answer = answers[0];
            assert!(answer.before >= after, "{id}: {:?} came too early", answer.text);
            after = after.max(answer.after);
            self.arrived(&mut doubtful, answer.before);
            let lines = self.answer(act, answers, after);
            answers = &answers[lines..];
        }
        let more = answers.first().filter(|_| mine.peek().is_none());
        assert!(more.is_none(), "{}: what asked for {more:?}?", self.conn.id);
        if whole {
            self.arrived(&mut doubtful, self.to);
        }
    }

    /// Nobody was meant at the place of the next answer.
    fn is_for_nobody(&self, rest: &str, answers: &[&Own<'_>]) -> bool {
        // Between this answer and what is heard next nobody came or went.
        self.order.meant(rest, answers[0].after).is_none()
    }

    /// Whoever may have been meant hears all.
    fn reaches_all(&self, rest: &str, from: usize) -> bool {
        self.reaches(rest, from, self.to)
    }

    fn reaches(&self, rest: &str, from: usize, to: usize) -> bool {
        self.order.changes(from, to).into_iter().all(|place| {
            let Some((name, _)) = self.order.meant(rest, place) else { return true };
            let addressee = match self.order.session(name, place) {
                Some(session) => &self.world.conns[self.world.sessions[name][session]],
                None => &self.world.conns[0],
            };
            addressee.kind == Kind::Observer
                || (addressee.kind != Kind::Mixed && heard_all(self.world, addressee))
        })
    }

    /// What was told before `to` and not answered was heard, if anybody could hear it.
    fn arrived(&self, doubtful: &mut Vec<(&String, usize)>, to: usize) {
        for (rest, from) in doubtful.drain(..) {
            let heard = self.reaches(rest, from, to);
            assert!(!heard, "{}: nobody heard {rest:?} and nothing was answered", self.conn.id);
        }
    }

    /// Checks the answer to `act`, and returns how many lines it has.
    fn answer(&self, act: &Act, answers: &[&Own<'_>], place: usize) -> usize {
        let answer = answers[0];
        let (id, text) = (self.conn.id, &*answer.text);
        match act {
            Act::Say(_) | Act::Tell { .. } | Act::Wrong => {
                assert!(text.starts_with("[ERROR] "), "{id}: {act:?} was answered {text:?}");
                assert!(!is_muted(text) || self.may_be_muted(place, answer.before), "{id}: {text}");
                1
            }
            Act::Who => {
                let names = text.split_once(": (").and_then(|(_, names)| names.strip_suffix(")]"));
                let names = names.unwrap_or_else(|| panic!("{id}: /who answered {text:?}"));
                let mut names: Vec<&str> = names.split(") (").collect();
                let mut due = self.order.present(place);
                names.sort_unstable();
                due.sort_unstable();
                assert_eq!(names, due, "{id}: who is here at {place}?");
                assert!(text.starts_with(&format!("[{} here:", due.len())), "{text}");
                1
            }
            Act::Help => {
                let help = chinwag::protocol::commands::HELP.lines().collect::<Vec<_>>();
                self.lines(act, &help, answers)
            }
            Act::History(count) => {
                if self.world.settings.room.history.messages == 0 {
                    assert!(text.starts_with("[ERROR] what is said here is not"), "{id}: {text:?}");
                    return 1;
                }
                let count = count.unwrap_or(chinwag::limits::HISTORY_REPLAYED);
                let due = self.order.history(place, count);
                let due: Vec<&str> = due.iter().map(String::as_str).collect();
                let due = if due.is_empty() { vec!["[nothing was said yet]"] } else { due };
                self.lines(act, &due, answers)
            }
            Act::Password { .. } => {
                let words =
                    ["[your password is changed", "[ERROR] that is not your", "[ERROR] the server"];
                let known = words.iter().any(|word| text.starts_with(word));
                assert!(known, "{id}: a changed password was answered {text:?}");
                1
            }
        }
    }

    /// All of `due`, or what was heard of it.
    fn lines(&self, act: &Act, due: &[&str], answers: &[&Own<'_>]) -> usize {
        let heard = answers.iter().zip(due).take_while(|(own, due)| own.text == **due).count();
        let cut = heard == answers.len() && !complete(self.world, self.conn);
        let next = answers.get(heard).map(|own| &*own.text);
        assert!(
            heard == due.len() || cut,
            "{}: {act:?}: {next:?} instead of {:?}",
            self.conn.id,
            due.get(heard)
        );
        heard
    }

    fn may_be_muted(&self, from: usize, to: usize) -> bool {
        let name = self.conn.name.to_ascii_lowercase();
        let (from, to) = (self.order.said_before(from), self.order.said_before(to));
        let mut muted = false;
        for (said, names) in &self.world.mutes {
            if *said > to {
                break;
            }
            let now = names.contains(&name);
            // In force when `from` was reached, or since.
            muted = now || (muted && *said >= from);
        }
        muted
    }
}

fn is_nobody(answer: &str) -> bool {
    answer.starts_with("[ERROR] nobody of that name")
}

fn is_muted(answer: &str) -> bool {
    answer.starts_with("[ERROR] the operator has muted you")
}
