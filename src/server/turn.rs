//! One turn: read what is ready, decide, queue, flush once, reap.
//!
//! The server without its poll: a function of readiness and time, so that a simulator can
//! take the poll's place. Knows connections, the room and the order of things. Knows no
//! `mio`, no thread and no clock, and not what a message means.
//!
//! Data goes one way: bytes, frame, decision (`reading`), outgoing bytes, flush
//! (`writing`). Closing is a mark until the reaping at the end of the turn (`leaving`), which
//! alone removes connections.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::broadcasts::Broadcasts;
use super::connection::{Connection, Transport};
use super::journal::Journal;
use super::pacing::BulkHold;
use super::recent_writes::RecentWrites;
use super::settings::Settings;
use super::timers::{Timer, Timers};
use crate::accounts::records::{Kept, Said, UnixSeconds};
use crate::accounts::{AccountId, Job, Verdict};
use crate::limits;
use crate::room::{ClientId, Effect, Input, Origin, Room};

/// What a server holds at the moment, for whoever watches that it returns to nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections.
    pub connections: usize,
    /// Those with a queue of their own.
    pub outboxes: usize,
    /// Those who hear the room.
    pub members: usize,
    /// Bytes queued for all.
    pub queued_bytes: usize,
    /// Timers that are set, those of closed connections included.
    pub timers: usize,
    /// Bulk senders that wait.
    pub held: usize,
}

/// All state of a server, but for its poll and its threads.
#[derive(Debug)]
pub struct Server<S> {
    pub(super) settings: Settings,
    pub(super) connections: Slab<Connection<S>>,
    /// Tells one connection from the next in the same slot.
    next_generation: u32,
    pub(super) room: Room,
    pub(super) broadcasts: Broadcasts,
    /// Slots of those who hear the room in lines, densely: a fan-out walks nothing else.
    pub(super) members: Vec<u32>,
    /// How many hear it in bursts. Each has an outbox for as long as it does.
    pub(super) burst_members: usize,
    /// Slots of those with an outbox.
    pub(super) with_outbox: Vec<u32>,
    /// Those to be flushed even if no broadcast is due.
    pub(super) dirty: Vec<ClientId>,
    /// Those with input, in the order in which they are read.
    pub(super) ready: VecDeque<ClientId>,
    /// Bulk senders that wait for a recipient.
    pub(super) held: Vec<ClientId>,
    pub(super) bulk_hold: BulkHold,
    /// Bytes said to everyone.
    pub(super) recent_broadcasts: RecentWrites,
    /// Those to be removed.
    pub(super) finished: Vec<ClientId>,
    pub(super) timers: Timers,
    /// Bytes queued for all, as of each one's last flush.
    pub(super) queued_bytes: usize,
    pub(super) effects: Vec<Effect>,
    jobs: Vec<(ClientId, Job)>,
    records: Vec<(Arc<Said>, i64)>,
    /// What was said and could not be written down.
    pub(super) unwritten: u64,
    /// Messages said since the start.
    pub(super) said: u64,
    pub(super) started_at: Option<Instant>,
    pub(super) scratch: Vec<u8>,
    pub(super) journal: Journal,
    /// When the operator wants the server to end.
    pub(super) closing_at: Option<Instant>,
    pub(super) shutting_down_until: Option<Instant>,
    emptied: bool,
}

impl<S: Transport> Server<S> {
    /// A server without connections.
    pub fn new(settings: Settings) -> Self {
        Self {
            room: Room::new(settings.protocol, settings.room),
            broadcasts: Broadcasts::new(settings.protocol),
            settings,
            connections: Slab::new(),
            next_generation: 0,
            members: Vec::new(),
            burst_members: 0,
            with_outbox: Vec::new(),
            dirty: Vec::new(),
            ready: VecDeque::new(),
            held: Vec::new(),
            bulk_hold: BulkHold::default(),
            recent_broadcasts: RecentWrites::default(),
            finished: Vec::new(),
            timers: Timers::default(),
            queued_bytes: 0,
            effects: Vec::new(),
            jobs: Vec::new(),
            records: Vec::new(),
            unwritten: 0,
            said: 0,
            started_at: None,
            scratch: vec![0; 2 * limits::READ_BYTES_MAX],
            journal: Journal::default(),
            closing_at: None,
            shutting_down_until: None,
            emptied: false,
        }
    }

    /// Goes on from what was kept before the start.
    pub fn restore(&mut self, kept: Kept) {
        self.room.restore(kept);
    }

    /// Takes in what people's clocks show.
    pub fn set_wall_clock(&mut self, wall_clock: UnixSeconds) {
        self.room.set_wall_clock(wall_clock);
    }

    /// How many connections there are.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// What there is at the moment.
    pub fn census(&self) -> Census {
        Census {
            connections: self.connections.len(),
            outboxes: self.with_outbox.len(),
            members: self.members.len() + self.burst_members,
            queued_bytes: self.queued_bytes,
            timers: self.timers.len(),
            held: self.held.len(),
        }
    }

    /// Whether `client` is in the room.
    pub fn is_in_room(&self, client: ClientId) -> bool {
        self.room.has(client)
    }

    /// Whether a further connection would be one too many.
    pub fn is_full(&self) -> bool {
        self.connections.len() >= self.settings.connections_max
    }

    /// Whether a newcomer has a place, or somebody whom it may take it from.
    pub fn has_room(&mut self) -> bool {
        !self.is_full() || self.room.oldest_stranger().is_some()
    }

    /// Whether the server is done: shut down and drained, or left by all if that ends it.
    pub fn is_finished(&self, now: Instant) -> bool {
        let drained = |until| self.connections.is_empty() || until <= now;
        self.shutting_down_until.is_some_and(drained)
            || (self.emptied && self.settings.exit_when_empty)
    }

    /// Whether the server is shutting down.
    pub fn is_shutting_down(&self) -> bool {
        self.shutting_down_until.is_some()
    }

    /// Whether a turn has something to do without waiting for an event.
    pub fn has_work(&self, now: Instant) -> bool {
        !self.ready.is_empty()
            || !self.dirty.is_empty()
            || !self.finished.is_empty()
            || self.broadcasts.are_due(now)
    }

    /// When a turn has something to do even if no event comes.
    pub fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let hold = if self.held.is_empty() { None } else { self.bulk_hold.deadline(now) };
        let others = [
            self.timers.deadline(),
            self.room.deadline(),
            self.broadcasts.deadline(),
            self.journal.deadline(),
            self.closing_at,
            self.shutting_down_until,
            hold,
        ];
        others.into_iter().flatten().min()
    }

    /// Whether `peer` has as many connections as one address may have.
    pub fn refuses(&self, peer: SocketAddr) -> bool {
        let exempt = self.settings.exempt.contains(peer.ip());
        !self.room.admits_address(Origin::of(peer.ip(), exempt))
    }

    /// Takes in a connection that was just accepted, to be read in the turn at hand.
    pub fn accept(&mut self, socket: S, peer: SocketAddr, now: Instant) -> ClientId {
        let exempt = self.settings.exempt.contains(peer.ip());
        let framing = self.settings.protocol.first_framing();
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let connection = Connection::new(socket, generation, peer, exempt, framing);
        let origin = connection.origin();
        let slot = self.connections.insert(connection) as u32;
        let client = ClientId { slot, generation };
        self.emptied = false;
        self.handle(client, Input::Connected(origin), now);
        self.enqueue(client);
        client
    }

    /// Has the oldest connection that has not logged in make room for a newcomer; it is
    /// gone at the end of the turn. Says whether there was one.
    pub fn make_room(&mut self, now: Instant) -> bool {
        let Some(oldest) = self.room.oldest_stranger() else { return false };
        self.lose(oldest, "made room for a newcomer: the oldest that had not logged in", now);
        // Not a stranger any more, so that the next newcomer finds another.
        self.room.close(oldest, &mut self.effects);
        self.apply_effects(now);
        true
    }

    /// The socket of a connection, to be registered.
    pub fn socket(&mut self, client: ClientId) -> Option<&mut S> {
        self.get(client).map(Connection::socket)
    }

    /// Notes what the poll said of a connection. Nothing is decided here.
    pub fn note(&mut self, client: ClientId, readable: bool, writable: bool, hung_up: bool) {
        let Some(connection) = self.get(client) else { return };
        let was_blocked = connection.is_blocked();
        connection.note(readable, writable, hung_up);
        if was_blocked && !connection.is_blocked() {
            self.dirty.push(client);
        }
        if readable || hung_up {
            self.enqueue(client);
        }
    }

    /// Takes in a verdict of the account threads.
    pub fn verdict(&mut self, client: ClientId, verdict: Verdict, now: Instant) {
        if matches!(verdict, Verdict::LoggedIn(_)) {
            self.lose_ghost_before(client, now);
        }
        self.handle(client, Input::Verdict(verdict), now);
    }

    /// Has whoever is in the room under the name of `newcomer` go if its connection is
    /// lost: only the password's owner can say so, and the verdict has found it right.
    fn lose_ghost_before(&mut self, newcomer: ClientId, now: Instant) {
        let Some(rival) = self.room.rival(newcomer) else { return };
        let recent_bytes = self.recent_broadcasts.bytes(now);
        if self.get(rival).is_some_and(|connection| connection.is_ghost(recent_bytes, now)) {
            let wait = limits::GHOST_WAIT.as_secs();
            self.lose(rival, &format!("lost: it has acknowledged nothing for {wait} s"), now);
            // Its name is free from here on, and nothing further is heard of it.
            self.room.close(rival, &mut self.effects);
            self.apply_effects(now);
        }
    }

    /// Takes in that an account was removed.
    pub fn account_removed(&mut self, account: AccountId, now: Instant) {
        self.room.account_removed(account, &mut self.effects);
        self.apply_effects(now);
    }

    /// Jobs for the account threads.
    pub fn take_jobs(&mut self) -> impl Iterator<Item = (ClientId, Job)> + '_ {
        self.jobs.drain(..)
    }

    /// What is to be written down: what was said, and the number below which everything is
    /// to be forgotten.
    pub fn take_records(&mut self) -> impl Iterator<Item = (Arc<Said>, i64)> + '_ {
        self.records.drain(..)
    }

    /// Notes that `messages` of what was said could not be written down.
    pub fn note_unwritten(&mut self, messages: u64) {
        if self.unwritten == 0 && messages > 0 {
            log::warn!(
                "the disk is too slow for what is said: some will be missing after a restart"
            );
        }
        self.unwritten += messages;
    }

    /// One turn.
    pub fn turn(&mut self, now: Instant) {
        self.started_at.get_or_insert(now);
        // Before anyone recovers or goes: the wait until now was theirs.
        self.bulk_hold.update(!self.held.is_empty(), now);
        self.look_again(now);
        self.read_ready(now);
        loop {
            self.flush(now);
            if self.finished.is_empty() {
                break;
            }
            self.reap(now);
        }
        self.release_held(now);
        self.journal.tick(now);
        #[cfg(debug_assertions)]
        self.recount();
    }

    /// Looks at what timers say is due.
    fn look_again(&mut self, now: Instant) {
        if self.closing_at.is_some_and(|at| at <= now) {
            self.shut_down(now);
        }
        self.room.tick(now, &mut self.effects);
        self.apply_effects(now);
        while let Some((client, timer)) = self.timers.pop_due(now) {
            let Some(connection) = self.get(client) else { continue };
            connection.timers &= !timer.bit();
            match timer {
                Timer::Silence => match connection.silent_at() {
                    Some(at) if at > now => self.set_timer(at, client, Timer::Silence),
                    Some(_) => self.read(client, now),
                    None => {}
                },
                Timer::Rate => self.enqueue(client),
                Timer::Quiet => self.dirty.push(client),
                Timer::Stall => self.look_for_stall(client, now),
                Timer::Ending if connection.closing_is_over(now) => {
                    connection.finish();
                    self.finished.push(client);
                }
                Timer::Ending => {}
            }
        }
    }

    /// Tells the room, and carries out what it decides.
    pub(super) fn handle(&mut self, client: ClientId, input: Input<'_>, now: Instant) {
        self.room.handle(client, input, now, &mut self.effects);
        self.apply_effects(now);
    }

    /// Carries out what the room has decided, in order.
    pub(super) fn apply_effects(&mut self, now: Instant) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Reply(client, reply) => self.reply(client, reply, now),
                Effect::Enter(client) => self.enter(client),
                Effect::Depart(client) => self.depart(client),
                Effect::Broadcast { event, from } => self.broadcast(&event, from, now),
                Effect::Close(client) => self.begin_closing(client, now),
                Effect::Drop(client) => self.finish(client),
                Effect::Record { said, forget_before } => self.records.push((said, forget_before)),
                Effect::Submit(client, job) => self.jobs.push((client, job)),
                Effect::Resume(client) => self.enqueue(client),
                Effect::Log(client, line) => self.log(client, &line, now),
                Effect::Emptied => self.emptied = true,
            }
        }
        self.effects = effects;
    }

    /// Puts `client` in the queue of those to be read.
    pub(super) fn enqueue(&mut self, client: ClientId) {
        if let Some(connection) = self.get(client)
            && connection.has_input()
            && !std::mem::replace(&mut connection.queued, true)
        {
            self.ready.push_back(client);
        }
    }

    /// Sets a timer, unless one of its kind is set already: it will look again.
    pub(super) fn set_timer(&mut self, at: Instant, client: ClientId, timer: Timer) {
        let Some(connection) = self.get(client) else { return };
        if connection.timers & timer.bit() == 0 {
            connection.timers |= timer.bit();
            self.timers.set(at, client, timer);
        }
    }

    /// Sets a timer even if a later one of its kind is set.
    pub(super) fn set_ending(&mut self, at: Instant, client: ClientId) {
        self.timers.set(at, client, Timer::Ending);
    }

    /// The connection, if it is still the one that was meant.
    pub(super) fn get(&mut self, client: ClientId) -> Option<&mut Connection<S>> {
        let connection = self.connections.get_mut(client.slot as usize)?;
        (connection.id(client.slot) == client).then_some(connection)
    }

    /// Compares the counters with a recount.
    #[cfg(debug_assertions)]
    fn recount(&self) {
        let mut queued_bytes = 0;
        let mut members = 0;
        for (slot, connection) in &self.connections {
            if let Some(outbox) = connection.outbox() {
                assert_eq!(outbox.recount(), outbox.queued_bytes(), "bytes of one outbox");
                assert_eq!(self.with_outbox[outbox.index] as usize, slot, "place of an outbox");
                queued_bytes += outbox.accounted_bytes;
            }
            if let Some(index) = connection.member_index {
                assert_eq!(self.members[index as usize] as usize, slot, "place of a member");
                members += 1;
            }
        }
        assert_eq!(queued_bytes, self.queued_bytes, "bytes of all outboxes");
        assert_eq!(members, self.members.len(), "members");
    }
}

#[cfg(test)]
mod tests;
