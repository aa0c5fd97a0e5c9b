//! What the operator asks for, carried out.
//!
//! Knows the room, connections, and how to put an answer. Knows no thread and no socket of
//! the operator's. Who is meant by a name is told by who is here.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::connection::Transport;
use super::reporting::{for_how_long, named};
use super::turn::Server;
use crate::accounts::records::{Sanction, SanctionChange, SanctionKind, SanctionTarget};
use crate::durations::shown;
use crate::limits;
use crate::operator::Answer;
use crate::operator::command::{CommandError, HELP, OperatorCommand, Reading, Whom};
use crate::protocol::Refusal;
use crate::protocol::text::{self, Field, NameKeys};
use crate::room::{ClientId, Origin};

/// What came of a command.
#[derive(Debug)]
pub struct Outcome {
    /// What to say.
    pub answer: Answer,
    /// What is to be kept over a restart before it is said.
    pub change: Option<SanctionChange>,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self { answer, change: None }
    }
}

/// Names and addresses may look the same.
enum Meant {
    Here(SanctionTarget, Option<Duration>),
    Absent(SanctionTarget, Option<Duration>),
    Unclear(String),
}

const NO_NAMES: &str = "nobody has a name in this protocol; ban an address instead";
const NO_ROOM: &str = "nobody can be told anything in this protocol";
const ASK_WHICH: &str = "is a name and an address here; write name:... or address:...";

impl<S: Transport> Server<S> {
    /// Does what the operator asks, and logs what that did to people.
    pub fn operate(&mut self, command: &OperatorCommand, now: Instant) -> Outcome {
        let outcome = self.carry_out(command, now);
        let concerns_people =
            outcome.change.is_some() || matches!(command, OperatorCommand::Kick(_));
        if concerns_people && outcome.answer.done {
            log::info!("the operator: {}", outcome.answer.text);
        }
        outcome
    }

    fn carry_out(&mut self, command: &OperatorCommand, now: Instant) -> Outcome {
        let has_names = self.settings.protocol.has_names();
        match command {
            OperatorCommand::Help => Answer::done(HELP).into(),
            OperatorCommand::Who => self.who().into(),
            OperatorCommand::Stats => self.stats(now).into(),
            OperatorCommand::Bans => self.bans().into(),
            OperatorCommand::Ban(whom) => self.ban(whom, now),
            OperatorCommand::Unban(whom) => self.lift(SanctionKind::Ban, whom),
            OperatorCommand::ShutDown(None) => {
                self.shut_down(now);
                Answer::done("the room is closing").into()
            }
            OperatorCommand::ShutDown(Some(delay)) => self.shut_down_in(*delay, now).into(),
            OperatorCommand::CancelShutDown => self.cancel_shut_down(now).into(),
            OperatorCommand::Say(_) if !has_names => Answer::refused(NO_ROOM).into(),
            OperatorCommand::Kick(_) | OperatorCommand::Mute(_) | OperatorCommand::Unmute(_)
                if !has_names =>
            {
                Answer::refused(NO_NAMES).into()
            }
            OperatorCommand::Say(text) => self.say(text, now).into(),
            OperatorCommand::Kick(whom) => self.kick(whom, now).into(),
            OperatorCommand::Mute(whom) => self.mute(whom),
            OperatorCommand::Unmute(whom) => self.lift(SanctionKind::Mute, whom),
        }
    }

    fn say(&mut self, text: &str, now: Instant) -> Answer {
        let text = text::clean(text);
        if text.trim().is_empty() {
            return Answer::refused("there is nothing in that text that could be said");
        }
        self.announce(text.into_owned(), now);
        Answer::done("")
    }

    fn announce(&mut self, text: String, now: Instant) {
        self.room.announce(text, &mut self.effects);
        self.apply_effects(now);
    }

    fn kick(&mut self, whom: &Whom, now: Instant) -> Answer {
        let readings = whom.readings();
        let names = readings.iter().filter(|reading| reading.duration.is_none());
        let found = names.filter_map(|reading| self.room.find(reading.name.as_deref()?)).next();
        let Some(client) = found else {
            let whom = text::clean(whom.text());
            return Answer::refused(format!("nobody is here by the name {whom}; who lists who is"));
        };
        let name = self.room.name_of(client).unwrap_or_default().to_owned();
        self.room.expel(client, Refusal::Kicked, &mut self.effects);
        self.apply_effects(now);
        Answer::done(format!("{name} is out, and may come again"))
    }

    fn mute(&mut self, whom: &Whom) -> Outcome {
        let readings = whom.readings();
        let here = |reading: &&Reading| {
            reading.name.as_deref().is_some_and(|name| self.room.find(name).is_some())
        };
        let found = readings.iter().find(here);
        if found.is_none()
            && let Some(refusal) = self.no_name(whom, "mute NAME [DURATION]")
        {
            return refusal.into();
        }
        let Some(Reading { name: Some(name), duration, .. }) = found.or(readings.last()) else {
            return Answer::refused("write mute NAME [DURATION]").into();
        };
        let here = self.room.find(name).and_then(|client| self.room.name_of(client));
        let absent = if here.is_none() { "; nobody of that name is here now" } else { "" };
        let name = here.unwrap_or(name).to_owned();
        let target = SanctionTarget::Name(name.clone());
        match self.impose(SanctionKind::Mute, target, *duration) {
            Some(change) => Outcome {
                answer: Answer::done(format!("{name} is muted{}{absent}", for_how_long(*duration))),
                change: Some(change),
            },
            None => too_many(),
        }
    }

    fn ban(&mut self, whom: &Whom, now: Instant) -> Outcome {
        let usage = "ban NAME|ADDRESS [DURATION]";
        let (target, duration) = match self.meant(whom) {
            Some(Meant::Absent(SanctionTarget::Name(name), duration)) => {
                match self.no_name(whom, usage) {
                    Some(refusal) => return refusal.into(),
                    None => (SanctionTarget::Name(name), duration),
                }
            }
            Some(Meant::Here(target, duration) | Meant::Absent(target, duration)) => {
                (target, duration)
            }
            Some(Meant::Unclear(what)) => {
                return Answer::refused(format!("{what} {ASK_WHICH}")).into();
            }
            None => return Answer::refused(format!("write {usage}")).into(),
        };
        if matches!(target, SanctionTarget::Name(_)) && !self.settings.protocol.has_names() {
            return Answer::refused(NO_NAMES).into();
        }
        let Some(change) = self.impose(SanctionKind::Ban, target.clone(), duration) else {
            return too_many();
        };
        let concerned = match &target {
            SanctionTarget::Name(name) => self.bearers(name),
            SanctionTarget::Address(address) => self.connections_from(*address),
        };
        for &client in &concerned {
            self.room.expel(client, Refusal::Banned, &mut self.effects);
        }
        self.apply_effects(now);
        let concerned = match (&target, concerned.len()) {
            (SanctionTarget::Name(_), 0) => "; nobody of that name is here now".to_owned(),
            (SanctionTarget::Name(_), _) => "; the session is ended".to_owned(),
            (SanctionTarget::Address(_), 0) => "; nobody is here from there now".to_owned(),
            (SanctionTarget::Address(_), 1) => "; its connection is closed".to_owned(),
            (SanctionTarget::Address(_), count) => format!("; its {count} connections are closed"),
        };
        let answer = format!("{} is banned{}{concerned}", named(&target), for_how_long(duration));
        Outcome { answer: Answer::done(answer), change: Some(change) }
    }

    fn impose(
        &mut self,
        kind: SanctionKind,
        target: SanctionTarget,
        duration: Option<Duration>,
    ) -> Option<SanctionChange> {
        let until = duration.map(|duration| {
            self.room
                .wall_clock()
                .saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
        });
        let change = SanctionChange::Impose(Sanction { kind, target, until });
        self.room.change_sanctions(&change).then_some(change)
    }

    fn lift(&mut self, kind: SanctionKind, whom: &Whom) -> Outcome {
        let done = if kind == SanctionKind::Ban { "banned" } else { "muted" };
        let readings = whom.readings();
        for reading in readings.iter().filter(|reading| reading.duration.is_none()) {
            let targets = [
                reading.name.clone().map(SanctionTarget::Name),
                reading.address.map(network).map(SanctionTarget::Address),
            ];
            let under = |target: &SanctionTarget| self.room.has_sanction(kind, target);
            let mut targets = targets.into_iter().flatten().filter(under);
            match (targets.next(), targets.next()) {
                (Some(_), Some(target)) => {
                    return Answer::refused(format!("{} {ASK_WHICH}", named(&target))).into();
                }
                (Some(target), None) => {
                    let answer = Answer::done(format!("{} is no longer {done}", named(&target)));
                    let change = SanctionChange::Lift(kind, target);
                    self.room.change_sanctions(&change);
                    return Outcome { answer, change: Some(change) };
                }
                (None, _) => {}
            }
        }
        let whom = text::clean(whom.text());
        Answer::refused(format!("{whom} is not {done}; bans lists who is")).into()
    }

    /// Whom a ban means: the longest name that is here, or an address somebody is here from;
    /// if nobody is here, an address if it is one, else a name.
    fn meant(&self, whom: &Whom) -> Option<Meant> {
        let readings = whom.readings();
        for Reading { name, address, duration } in &readings {
            let client = name.as_deref().and_then(|name| self.room.find(name));
            let address = address.map(network);
            let from_there = address.filter(|&address| !self.connections_from(address).is_empty());
            return Some(match (client, from_there) {
                (Some(_), Some(address)) => Meant::Unclear(address.to_string()),
                (Some(client), None) => {
                    let name = self.room.name_of(client).unwrap_or_default().to_owned();
                    Meant::Here(SanctionTarget::Name(name), *duration)
                }
                (None, Some(address)) => Meant::Here(SanctionTarget::Address(address), *duration),
                (None, None) => continue,
            });
        }
        let Reading { name, address, duration } = readings.last()?;
        let target = match (address, name) {
            (Some(address), _) => SanctionTarget::Address(network(*address)),
            (None, Some(name)) => SanctionTarget::Name(name.clone()),
            (None, None) => return None,
        };
        Some(Meant::Absent(target, *duration))
    }

    /// Why `whom`, who is not here, is nobody: half a name is, and no duration behind it; or
    /// it could be nobody's name.
    fn no_name(&self, whom: &Whom, usage: &str) -> Option<Answer> {
        let text = whom.text();
        if text.starts_with('"') && text.matches('"').count() == 1 {
            return Some(Answer::refused("a quote is open; write \"NAME\""));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit() || b"./".contains(&byte)) {
            return Some(Answer::refused(format!("that is no address; write {usage}")));
        }
        let ends = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
        let half_is_here = ends.into_iter().any(|end| self.room.find(&text[..end]).is_some());
        if half_is_here && whom.readings().iter().all(|reading| reading.duration.is_none()) {
            return Some(Answer::refused(CommandError::Duration.to_string()));
        }
        let name = whom.readings().pop()?.name?;
        let rule = text::check(Field::Name, &name).err()?;
        Some(Answer::refused(format!("{rule}; write {usage}")))
    }

    /// Who is in the room under `name`, or under one that is taken for it.
    fn bearers(&self, name: &str) -> Vec<ClientId> {
        match self.room.find(name) {
            Some(client) => vec![client],
            None => {
                let keys = NameKeys::of(name);
                let is_taken_for_it = |client: &ClientId| {
                    let theirs = self.room.name_of(*client).map(NameKeys::of);
                    theirs.is_some_and(|theirs| theirs.skeleton == keys.skeleton)
                };
                self.all().filter(is_taken_for_it).collect()
            }
        }
    }

    fn connections_from(&self, address: IpAddr) -> Vec<ClientId> {
        let from_there = |client: &ClientId| {
            let connection = self.connections.get(client.slot as usize);
            connection.is_some_and(|connection| connection.origin().address == address)
        };
        self.all().filter(from_there).collect()
    }

    fn all(&self) -> impl Iterator<Item = ClientId> + '_ {
        self.connections.iter().map(|(slot, connection)| connection.id(slot as u32))
    }

    fn shut_down_in(&mut self, delay: Duration, now: Instant) -> Answer {
        self.closing_at = Some(now + delay);
        let delay = shown(delay);
        self.announce(format!("the room closes in {delay}"), now);
        Answer::done(format!("the room closes in {delay}; shutdown cancel keeps it open"))
    }

    fn cancel_shut_down(&mut self, now: Instant) -> Answer {
        if self.closing_at.take().is_none() {
            return Answer::refused("the room is not about to close");
        }
        self.announce("the room stays open".to_owned(), now);
        Answer::done("the room stays open")
    }
}

fn too_many() -> Outcome {
    let most = limits::SANCTIONS_MAX;
    Answer::refused(format!("there are {most} bans and mutes already; lift some first")).into()
}

/// An IPv4 address, or the network of an IPv6 one: what a person is known by.
fn network(address: IpAddr) -> IpAddr {
    Origin::of(address, false).address
}
