//! The reading half of a turn: bytes to frames to the room, each client once, within
//! budgets.
//!
//! Knows who may be read and for how long. Knows no `mio` and not what a frame means.
//! Nothing is ever dropped to slow somebody down: it is not read, and TCP pushes back.

use std::time::Instant;

use zeroize::Zeroize as _;

use super::connection::{Filled, Phase, Transport};
use super::timers::Timer;
use super::turn::Server;
use crate::limits;
use crate::protocol::framing::Decoded;
use crate::room::{ClientId, Input};

impl<S: Transport> Server<S> {
    /// Reads each ready connection once, within the budget of a turn. Whoever was not read
    /// comes first in the next turn.
    pub(super) fn read_ready(&mut self, now: Instant) {
        for _ in 0..self.ready.len() {
            if self.broadcasts.is_full() {
                return;
            }
            let Some(client) = self.ready.pop_front() else { return };
            let Some(connection) = self.get(client) else { continue };
            connection.queued = false;
            self.read(client, now);
        }
    }

    /// Reads one connection, and hands what it sent to the room.
    pub(super) fn read(&mut self, client: ClientId, now: Instant) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(length) = self.fill(client, &mut scratch, now) {
            self.decode(client, &scratch[..length], now);
            if self.settings.protocol.has_accounts() {
                scratch[..length].zeroize();
            }
        }
        self.scratch = scratch;
    }

    /// Reads into `scratch`. `None`: nothing may be decoded now.
    fn fill(&mut self, client: ClientId, scratch: &mut [u8], now: Instant) -> Option<usize> {
        let raw = self.settings.protocol.joins_on_connect();
        let room = if raw { self.broadcasts.room() } else { usize::MAX };
        let listening = self.room.listens_to(client);
        let holds = self.bulk_hold.holds();
        let overfull = self.is_overfull(client);
        let connection = self.get(client)?;
        match connection.phase() {
            Phase::Open => {}
            Phase::Lingering => {
                connection.discard(scratch);
                if connection.phase() == Phase::Finished {
                    self.finished.push(client);
                } else {
                    self.enqueue(client);
                }
                return None;
            }
            Phase::Closing | Phase::Finished => return None,
        }
        // A reset discards what was pending, however long that would have to wait.
        if connection.is_hung_up() && connection.has_failed() {
            self.lose(client, "the connection was lost", now);
            return None;
        }
        let is_bulk = connection.activity().is_some_and(|activity| activity.bulk.is_bulk(now));
        if holds && (connection.held || is_bulk) {
            if !std::mem::replace(&mut connection.held, true) {
                self.held.push(client);
            }
            return None;
        }
        if overfull {
            connection.must_read_first = true;
            return None;
        }
        // While a verdict is pending frames wait, but a peer that is gone is let go.
        if !listening && !connection.is_hung_up() {
            return None;
        }
        let bytes_max = limits::READ_BYTES_MAX.min(room);
        let (length, filled) = connection.fill(scratch, bytes_max, !listening, now);
        match filled {
            Filled::Lost => self.lose(client, "the connection was lost", now),
            Filled::Ready if listening => return Some(length),
            Filled::Ready => {
                connection.keep(&scratch[..length], true, now);
                scratch[..length].zeroize();
            }
        }
        None
    }

    /// Hands the frames in `input` to the room, and keeps the rest.
    fn decode(&mut self, client: ClientId, input: &[u8], now: Instant) {
        let protocol = self.settings.protocol;
        let mut rest = input;
        for frames in 0.. {
            let listening = self.room.listens_to(client);
            let overfull = self.is_overfull(client);
            let spent = frames >= limits::READ_FRAMES_MAX || self.broadcasts.is_full();
            let rate = self.settings.message_rate;
            let slot = client.slot as usize;
            let Some(connection) = self.connections.get_mut(slot) else { return };
            if connection.phase() != Phase::Open {
                return;
            }
            let counted = !connection.is_exempt() && protocol.counts_messages();
            let wait = connection
                .activity()
                .filter(|_| counted)
                .and_then(|activity| activity.messages.wait_until(rate, now));
            if !listening || spent || overfull || wait.is_some() {
                connection.keep(rest, true, now);
                connection.must_read_first |= overfull;
                match wait {
                    Some(at) if connection.has_input() => self.set_timer(at, client, Timer::Rate),
                    None if listening && !overfull => self.enqueue(client),
                    _ => {}
                }
                return;
            }
            let (used, decoded) = connection.decode(
                rest,
                now,
                self.settings.room.frame_bytes_max,
                |bytes| protocol.completeness(bytes),
                self.room.own_head(client),
            );
            rest = &rest[used..];
            if let Decoded::Wait { silence_matters } = decoded {
                if used > 0 {
                    // An empty line is no frame, but tells that there are lines.
                    self.follow_framing(client);
                }
                self.keep(client, rest, silence_matters, now);
                return;
            }
            if counted {
                connection.activity_mut().messages.count(rate, now);
            }
            if self.room.has(client) {
                connection.activity_mut().bulk.count(used, now);
            }
            let (origin, framing) = (connection.origin(), connection.framing());
            self.follow_framing(client);
            self.handle(client, Input::Frame(origin, decoded, framing), now);
        }
    }

    /// Whether `client` has much to read yet: it is not heard until it has, or what it asks
    /// for could fill its queue. A flush lets it go on.
    fn is_overfull(&self, client: ClientId) -> bool {
        let connection = self.connections.get(client.slot as usize);
        let outbox = connection.and_then(|connection| connection.outbox());
        outbox.is_some_and(|outbox| outbox.queued_bytes() > self.settings.queue_soft_bytes)
    }

    /// All frames that are there are decided: keeps what may become one.
    fn keep(&mut self, client: ClientId, rest: &[u8], silence_matters: bool, now: Instant) {
        let Some(connection) = self.get(client) else { return };
        connection.keep(rest, false, now);
        let silent_at = connection.silent_at().filter(|&at| silence_matters && at > now);
        if connection.is_ended() && silent_at.is_none() {
            // What is left is no frame: it would have been decided.
            self.room.close(client, &mut self.effects);
            self.apply_effects(now);
            return;
        }
        let waits_for_silence = connection.is_ended();
        if !waits_for_silence {
            self.enqueue(client);
        }
        if let Some(at) = silent_at {
            self.set_timer(at, client, Timer::Silence);
        }
    }

    /// Lets bulk senders go on if no recipient holds them any longer.
    pub(super) fn release_held(&mut self, now: Instant) {
        self.bulk_hold.update(!self.held.is_empty(), now);
        if self.held.is_empty() || self.bulk_hold.holds() {
            return;
        }
        for client in std::mem::take(&mut self.held) {
            let Some(connection) = self.get(client) else { continue };
            connection.held = false;
            connection.activity_mut().bulk.remain_bulk(now);
            self.hear_again(client);
        }
    }

    /// Goes on with a client that was not read for a while.
    pub(super) fn hear_again(&mut self, client: ClientId) {
        // Its silence may have come meanwhile.
        let silent_at = self.get(client).and_then(|connection| connection.silent_at());
        self.enqueue(client);
        if let Some(at) = silent_at {
            self.set_timer(at, client, Timer::Silence);
        }
    }
}
