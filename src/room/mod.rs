//! The room: who is in, who may speak, who hears what, and when something times out.
//!
//! A pure state machine. It is told inputs and the time, and appends effects to a list, in
//! the order in which they are to happen. Knows names, frames and moments. Knows no
//! socket, no thread, no queue of bytes, and never asks the clock.
//!
//! Invariants:
//! - a name is in the room at most once, and with it its account;
//! - arrival and departure of a name are announced alternately, each exactly once;
//! - only who is in the room is sent what is said there;
//! - of a connection that has ended or is to be closed nothing further is heard.

mod attempts;
mod commands;
mod history;
mod leaving;
mod log_ins;
mod moderation;
mod names;
mod sanctions;
mod strangers;
mod vocabulary;

pub use vocabulary::{ClientId, Effect, Input, LogLine, Origin, RoomLimits};

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZero;
use std::time::Instant;

use crate::accounts::records::{Kept, SanctionChange, UnixSeconds};
use crate::accounts::{AccountId, Job};
use crate::limits;
use crate::protocol::framing::{Decoded, FrameError, Framing, OwnHead};
use crate::protocol::{Event, Protocol, Refusal, Reply, Request, Speaker};
use attempts::Attempts;
use history::History;
use log_ins::Trial;
use names::Names;
use sanctions::Sanctions;

/// One connection.
#[derive(Debug)]
struct Guest {
    generation: u32,
    /// How its last frame was cut; replies follow it.
    framing: Framing,
    stage: Stage,
}

/// An account's number in eight bytes, none included: SQLite counts from one.
type RowNumber = NonZero<i64>;

#[derive(Debug)]
enum Stage {
    /// Nobody has this place.
    Vacant,
    /// Has not logged in.
    New,
    /// Waits for the verdict on its sign-up or log-in.
    OnTrial,
    /// Is in the room; `None` where connections have no names.
    InRoom(Option<Speaker>, Option<RowNumber>),
    /// Is being closed; nothing further is heard of it.
    Leaving,
}

/// The room.
#[derive(Debug)]
pub struct Room {
    protocol: Protocol,
    limits: RoomLimits,
    guests: Vec<Guest>,
    guest_count: usize,
    names: Names,
    /// Who has not logged in, oldest first, with the time to count from. Entries of those
    /// who have since are skipped, and swept when they are the most.
    strangers: VecDeque<(Instant, ClientId)>,
    stranger_count: usize,
    /// Connections of each address that is not exempt.
    per_address: HashMap<IpAddr, usize>,
    attempts: Attempts,
    /// What waits for a verdict, or for its turn to get one: of those on trial, and of those
    /// in the room who want another password.
    trials: HashMap<ClientId, Box<Trial>>,
    /// Jobs under way; never more than `limits::ACCOUNT_JOBS_MAX`.
    jobs: usize,
    /// Who waits for a job to end, first come first served. Entries of those who have left
    /// are skipped, and swept when they are the most.
    queue: VecDeque<ClientId>,
    /// How many of them wait.
    queued: usize,
    /// Who waits because its address has tried too often, and until when.
    penalties: BTreeSet<(Instant, ClientId)>,
    /// The latest removed accounts, so that a verdict under way revives none.
    removed: VecDeque<AccountId>,
    history: History,
    sanctions: Sanctions,
    /// What people's clocks show. Decides nothing but when a ban or a mute is over, which
    /// may be after a restart.
    wall_clock: UnixSeconds,
    shutting_down: bool,
}

impl Room {
    /// An empty room.
    pub fn new(protocol: Protocol, limits: RoomLimits) -> Self {
        Self {
            protocol,
            limits,
            guests: Vec::new(),
            guest_count: 0,
            names: Names::default(),
            strangers: VecDeque::new(),
            stranger_count: 0,
            per_address: HashMap::new(),
            attempts: Attempts::default(),
            trials: HashMap::new(),
            jobs: 0,
            queue: VecDeque::new(),
            queued: 0,
            penalties: BTreeSet::new(),
            removed: VecDeque::new(),
            history: History::new(limits.history),
            sanctions: Sanctions::default(),
            wall_clock: 0,
            shutting_down: false,
        }
    }

    /// Goes on from what was kept before the start.
    pub fn restore(&mut self, kept: Kept) {
        self.history.restore(kept.history);
        for sanction in kept.sanctions {
            self.sanctions.change(&SanctionChange::Impose(sanction), self.wall_clock);
        }
    }

    /// Takes in what people's clocks show.
    pub fn set_wall_clock(&mut self, wall_clock: UnixSeconds) {
        self.wall_clock = wall_clock;
    }

    /// What people's clocks show, as of the last time it was told.
    pub fn wall_clock(&self) -> UnixSeconds {
        self.wall_clock
    }

    /// How many messages and bytes of them are kept.
    pub fn history_size(&self) -> (usize, usize) {
        self.history.size()
    }

    /// Takes in what happened to `client` at `now`; appends what is to be done.
    pub fn handle(
        &mut self,
        client: ClientId,
        input: Input<'_>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        match input {
            Input::Connected(origin) => self.connected(client, origin, now, out),
            Input::Frame(origin, frame, framing) => {
                self.frame(client, origin, &frame, framing, now, out);
            }
            Input::Ended(origin) => self.ended(client, origin, out),
            Input::Verdict(verdict) => self.verdict(client, verdict, now, out),
        }
    }

    /// What only the frames of `client` begin with, as far as is known.
    pub fn own_head(&self, client: ClientId) -> OwnHead<'_> {
        match self.guest(client).map(|guest| &guest.stage) {
            Some(Stage::InRoom(speaker, _)) => self.protocol.own_head(speaker.as_ref()),
            _ => OwnHead::NONE,
        }
    }

    /// Whether a frame of `client` would be heard now. It is not while a verdict is
    /// pending (then frames wait), nor when it is being closed (then they are lost).
    pub fn listens_to(&self, client: ClientId) -> bool {
        matches!(self.stage(client), Some(Stage::New | Stage::InRoom(..)))
            && (self.trials.is_empty() || !self.trials.contains_key(&client))
    }

    /// Whether `client` is in the room.
    pub fn has(&self, client: ClientId) -> bool {
        matches!(self.guest(client), Some(Guest { stage: Stage::InRoom(..), .. }))
    }

    /// Whether `origin` may have a further connection.
    pub fn admits_address(&self, origin: Origin) -> bool {
        let count = || self.per_address.get(&origin.address).copied().unwrap_or_default();
        (origin.exempt || count() < self.limits.per_address)
            && !self.sanctions.bans_address(origin.address, self.wall_clock)
    }

    /// When [`Room::tick`] has something to do.
    pub fn deadline(&mut self) -> Option<Instant> {
        self.skip_acquainted();
        let log_in = self.strangers.front().map(|&(since, _)| since + self.limits.log_in_wait);
        let penalty = self.penalties.first().map(|&(until, _)| until);
        log_in.into_iter().chain(penalty).min()
    }

    /// Ends what has timed out, and lets those try again whose penalty is over.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some(&(until, client)) = self.penalties.first()
            && until <= now
        {
            self.penalties.pop_first();
            self.begin_trial(client, now, out);
        }
        self.close_late_strangers(now, out);
    }

    /// An account is gone: its session ends, now or when its verdict arrives.
    pub fn account_removed(&mut self, account: AccountId, out: &mut Vec<Effect>) {
        self.removed.push_back(account);
        if self.removed.len() > limits::REMOVED_REMEMBERED {
            self.removed.pop_front();
        }
        let of_account = |guest: &Guest| matches!(guest.stage, Stage::InRoom(_, Some(id)) if id.get() == account.0);
        if let Some(slot) = self.guests.iter().position(of_account) {
            let client = ClientId { slot: slot as u32, generation: self.guests[slot].generation };
            self.close(client, out);
        }
    }

    fn connected(&mut self, client: ClientId, origin: Origin, now: Instant, out: &mut Vec<Effect>) {
        let slot = client.slot as usize;
        if slot >= self.guests.len() {
            let vacant =
                || Guest { generation: 0, framing: Framing::Undecided, stage: Stage::Vacant };
            self.guests.resize_with(slot + 1, vacant);
        }
        let framing = self.protocol.first_framing();
        self.guests[slot] = Guest { generation: client.generation, framing, stage: Stage::New };
        self.guest_count += 1;
        self.stranger_count += 1;
        let admitted = self.admits_address(origin);
        if !origin.exempt {
            *self.per_address.entry(origin.address).or_default() += 1;
        }
        if !admitted {
            self.leave(client, out);
            out.push(Effect::Drop(client));
            return;
        }
        if self.shutting_down {
            self.close(client, out);
        } else if self.protocol.joins_on_connect() {
            self.set_stage(client, Stage::InRoom(None, None));
            self.stranger_count -= 1;
            out.push(Effect::Enter(client));
        } else {
            self.strangers.push_back((now, client));
            if self.protocol.greets() {
                out.push(Effect::Reply(client, Reply::Greeting));
            }
        }
    }

    fn frame(
        &mut self,
        client: ClientId,
        origin: Origin,
        frame: &Decoded<'_>,
        framing: Framing,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let protocol = self.protocol;
        let too_long = Request::Refuse(Refusal::FrameTooLong(self.limits.frame_bytes_max));
        let Some(guest) = self.guest_mut(client) else { return };
        guest.framing = framing;
        let (request, in_room) = match &guest.stage {
            _ if *frame == Decoded::Fault(FrameError::TooLong) => {
                (too_long, matches!(guest.stage, Stage::InRoom(..)))
            }
            Stage::New => (protocol.parse(frame, framing, None), false),
            Stage::InRoom(speaker, _) => (protocol.parse(frame, framing, speaker.as_ref()), true),
            Stage::Vacant | Stage::OnTrial | Stage::Leaving => return,
        };
        let lines = !framing.is_bursts();
        let unacceptable = matches!(frame, Decoded::Fault(_));
        match request {
            Request::Say(text) => self.say(client, text, out),
            Request::Pass(bytes) => {
                out.push(Effect::Broadcast { event: Event::Passed(bytes), from: Some(client) });
            }
            Request::Command(command) => self.command(client, origin, command, now, out),
            Request::SignUp(Ok(credentials)) => {
                let user_name = credentials.user_name.clone();
                self.try_to(client, origin, Job::SignUp(credentials), &user_name, now, out);
            }
            Request::LogIn(Some(credentials)) => {
                let user_name = credentials.user_name.clone();
                self.try_to(client, origin, Job::LogIn(credentials), &user_name, now, out);
            }
            Request::TakeName(Ok(name)) => self.take_name(client, &name, out),
            Request::SignUp(Err(refusal)) => {
                // A reference client takes any byte for success.
                if lines {
                    out.push(Effect::Reply(client, Reply::Error(refusal)));
                }
                self.close(client, out);
            }
            Request::LogIn(None) => {
                out.push(Effect::Reply(client, Reply::LogInRefused));
                self.close(client, out);
            }
            Request::TakeName(Err(refusal)) => self.refuse_name(client, refusal, out),
            Request::Answer(bytes) => {
                out.push(Effect::Reply(client, Reply::Answer(bytes)));
                self.close(client, out);
            }
            Request::Leave => self.close(client, out),
            Request::Drop => {
                self.leave(client, out);
                out.push(Effect::Drop(client));
            }
            Request::Ignore => {}
            Request::Refuse(refusal) => {
                // Not even an error may reach a burst client that has not logged in.
                if lines || in_room || !protocol.has_accounts() {
                    out.push(Effect::Reply(client, Reply::Error(refusal)));
                }
                let burst_over = !lines && (unacceptable || !in_room);
                if burst_over || (unacceptable && protocol == Protocol::Uppercase) {
                    self.close(client, out);
                } else if protocol.greets() && !in_room {
                    out.push(Effect::Reply(client, Reply::Greeting));
                }
            }
        }
    }

    fn take_name(&mut self, client: ClientId, name: &str, out: &mut Vec<Effect>) {
        if self.is_banned(name) {
            self.refuse_name(client, Refusal::Banned, out);
        } else if self.names.take(name, client.slot) {
            self.enter(client, Speaker::with_nickname(name), None, out);
        } else {
            self.refuse_name(client, Refusal::NameInUse, out);
        }
    }

    /// A line client may choose another name; a reference client would send the same again.
    fn refuse_name(&mut self, client: ClientId, why: Refusal, out: &mut Vec<Effect>) {
        out.push(Effect::Reply(client, Reply::Error(why)));
        match self.guest(client) {
            Some(guest) if !guest.framing.is_bursts() => {
                out.push(Effect::Reply(client, Reply::Greeting));
            }
            _ => self.close(client, out),
        }
    }

    /// `client` is in the room from here on. Its name is already taken for it.
    fn enter(
        &mut self,
        client: ClientId,
        speaker: Speaker,
        account: Option<AccountId>,
        out: &mut Vec<Effect>,
    ) {
        let name: Box<str> = speaker.name().into();
        let account = account.and_then(|account| RowNumber::new(account.0));
        self.set_stage(client, Stage::InRoom(Some(speaker), account));
        self.stranger_count -= 1;
        out.push(Effect::Log(client, LogLine::Connected(name.clone().into())));
        out.push(Effect::Reply(client, Reply::Welcome));
        self.replay(client, out);
        if self.protocol.echoes() {
            out.push(Effect::Enter(client));
            out.push(Effect::Broadcast { event: Event::Joined(name), from: None });
        } else {
            out.push(Effect::Broadcast { event: Event::Joined(name), from: None });
            out.push(Effect::Enter(client));
        }
    }

    /// What was said before, for those who can tell it from what is said now.
    fn replay(&self, client: ClientId, out: &mut Vec<Effect>) {
        let in_lines = self.guest(client).is_some_and(|guest| guest.framing == Framing::Lines);
        if in_lines && self.protocol.has_accounts() {
            let latest = self.latest(self.limits.history_replayed);
            if !latest.is_empty() {
                out.push(Effect::Reply(client, Reply::History(latest)));
            }
        }
    }

    fn guest(&self, client: ClientId) -> Option<&Guest> {
        let guest = self.guests.get(client.slot as usize)?;
        let there = !matches!(guest.stage, Stage::Vacant) && guest.generation == client.generation;
        there.then_some(guest)
    }

    fn stage(&self, client: ClientId) -> Option<&Stage> {
        self.guest(client).map(|guest| &guest.stage)
    }

    fn guest_mut(&mut self, client: ClientId) -> Option<&mut Guest> {
        let guest = self.guests.get_mut(client.slot as usize)?;
        let there = !matches!(guest.stage, Stage::Vacant) && guest.generation == client.generation;
        there.then_some(guest)
    }

    fn set_stage(&mut self, client: ClientId, stage: Stage) {
        if let Some(guest) = self.guest_mut(client) {
            guest.stage = stage;
        }
    }
}

#[cfg(test)]
mod tests;
