//! What people ask of the room with a slash, and what is said there.
//!
//! Knows who is here, what was said, and who may not speak. Knows no bytes and no clock.

use std::sync::Arc;
use std::time::Instant;

use super::{ClientId, Effect, Origin, Room, Stage};
use crate::accounts::records::{Said, SanctionKind};
use crate::accounts::{AccountId, Job, PasswordChange};
use crate::limits;
use crate::protocol::commands::{Command, Passwords, addressee};
use crate::protocol::{Event, Refusal, Reply, text};

impl Room {
    /// Does what `client`, who is in the room, asks.
    pub(super) fn command(
        &mut self,
        client: ClientId,
        origin: Origin,
        command: Command,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let reply = match command {
            Command::Help => Reply::Help,
            Command::Who => self.who(),
            Command::History(_) if !self.history.is_kept() => Reply::Error(Refusal::NoHistory),
            Command::History(count) => {
                Reply::History(self.latest(count.unwrap_or(limits::HISTORY_REPLAYED)))
            }
            Command::Tell(rest) => return self.tell(client, &rest, out),
            Command::Act(text) => {
                let Some(name) = self.name_of(client) else { return };
                let text = self.protocol.action(name, &text);
                return self.say(client, text, out);
            }
            Command::ChangePassword(Passwords { current, new }) => {
                let Some(Stage::InRoom(Some(speaker), Some(account))) = self.stage(client) else {
                    return;
                };
                let (user, account) = (speaker.user_name().to_owned(), AccountId(account.get()));
                let job = Job::ChangePassword(PasswordChange { account, current, new });
                return self.try_to(client, origin, job, &user, now, out);
            }
        };
        out.push(Effect::Reply(client, reply));
    }

    /// Says `text` to the room, in the name of `client`.
    pub(super) fn say(&mut self, client: ClientId, text: String, out: &mut Vec<Effect>) {
        let Some(name) = self.name_of(client).map(Box::<str>::from) else { return };
        if let Some(refusal) = self.muted(&name) {
            out.push(Effect::Reply(client, Reply::Error(refusal)));
            return;
        }
        if let Some((said, forget_before)) = self.history.record(&name, &text, self.wall_clock) {
            out.push(Effect::Record { said, forget_before });
        }
        out.push(Effect::Broadcast { event: Event::Said { name, text }, from: Some(client) });
    }

    /// What was said last, as far as one answer may hold it.
    pub(super) fn latest(&self, count: usize) -> Vec<Arc<Said>> {
        let bytes_of = |said: &Said| self.protocol.history_line_bytes(said);
        self.history.latest(count, self.limits.reply_bytes_max, bytes_of)
    }

    /// Says something to one person alone.
    fn tell(&mut self, client: ClientId, rest: &str, out: &mut Vec<Effect>) {
        let Some(name) = self.name_of(client) else { return };
        let refusal = match addressee(rest, |name| self.find(name)) {
            _ if self.muted(name).is_some() => self.muted(name),
            None => Some(Refusal::NobodyHere),
            Some((_, "")) => Some(Refusal::Usage("/msg NAME text")),
            Some((_, text)) if self.protocol.may_hold_password(text) => {
                Some(Refusal::HoldsCredentials)
            }
            Some((addressee, text)) => {
                let (name, text) = (name.into(), text.to_owned());
                out.push(Effect::Reply(addressee, Reply::Private { name, text }));
                None
            }
        };
        out.extend(refusal.map(|refusal| Effect::Reply(client, Reply::Error(refusal))));
    }

    fn who(&self) -> Reply {
        let named = self.guests.iter().filter_map(|guest| match &guest.stage {
            Stage::InRoom(Some(speaker), _) => Some(Box::from(speaker.name())),
            _ => None,
        });
        // A space and two parentheses go with each, and a few words around them all.
        let mut room = self.limits.reply_bytes_max.saturating_sub(64);
        let mut fits = |name: &str| {
            let fits = name.len() + 3 <= room;
            room = room.saturating_sub(name.len() + 3);
            fits
        };
        let names = named.take(limits::WHO_NAMES_MAX).take_while(|name| fits(name));
        let mut names: Vec<Box<str>> = names.collect();
        names.sort_by_cached_key(|name| text::fold(name));
        Reply::Who { names, total: self.names.len() }
    }

    /// Who is in the room under `name`, letter case aside.
    pub fn find(&self, name: &str) -> Option<ClientId> {
        let slot = self.names.find(name)?;
        let guest = self.guests.get(slot as usize)?;
        let client = ClientId { slot, generation: guest.generation };
        // Two names may share a hash.
        let is_theirs = |theirs: &str| theirs == name || text::fold(theirs) == text::fold(name);
        self.name_of(client).is_some_and(is_theirs).then_some(client)
    }

    /// The name of `client`, if it has one and is in the room.
    pub fn name_of(&self, client: ClientId) -> Option<&str> {
        match self.stage(client)? {
            Stage::InRoom(Some(speaker), _) => Some(speaker.name()),
            _ => None,
        }
    }

    /// Why `name` may not speak, if it may not.
    fn muted(&self, name: &str) -> Option<Refusal> {
        let until = self.sanctions.of_name(SanctionKind::Mute, name, self.wall_clock)?;
        let left = |until: i64| u64::try_from(until.saturating_sub(self.wall_clock)).unwrap_or(0);
        Some(Refusal::Muted(until.map(left)))
    }
}
