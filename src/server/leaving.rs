//! How connections end: by their own will, the room's, or for a reason that the operator may
//! ask for; and how all of them do.
//!
//! Knows connections and the journal. Knows no `mio` and not why the room wants somebody
//! gone. Closing is a mark until the reaping, which alone removes connections.

use std::time::Instant;

use log::Level;

use super::connection::{Phase, Transport};
use super::timers::Timer;
use super::turn::Server;
use crate::limits;
use crate::room::{ClientId, Input, LogLine};

impl<S: Transport> Server<S> {
    /// Begins to shut down.
    pub fn shut_down(&mut self, now: Instant) {
        self.closing_at = None;
        if self.shutting_down_until.is_none() {
            self.shutting_down_until = Some(now + limits::DRAIN_WAIT);
            self.room.shut_down(&mut self.effects);
            self.apply_effects(now);
        }
    }

    /// Removes those that are finished, and announces whoever was in the room, as far as
    /// one turn may: the rest follows after a flush.
    pub(super) fn reap(&mut self, now: Instant) {
        let mut finished = std::mem::take(&mut self.finished);
        let mut reaped = 0;
        for &client in &finished {
            if self.broadcasts.is_full() {
                break;
            }
            reaped += 1;
            let Some(connection) = self.get(client) else { continue };
            let origin = connection.origin();
            self.handle(client, Input::Ended(origin), now);
            self.drop_outbox(client);
            // Dropping a socket closes it, which takes it out of the poll as well.
            self.connections.try_remove(client.slot as usize);
        }
        finished.drain(..reaped);
        finished.append(&mut self.finished);
        self.finished = finished;
    }

    /// Begins to close `client` once its last words are written.
    pub(super) fn begin_closing(&mut self, client: ClientId, now: Instant) {
        let Some(connection) = self.get(client) else { return };
        if let Some(until) = connection.begin_closing(now) {
            self.timers.set(until, client, Timer::Ending);
            self.dirty.push(client);
        }
    }

    /// `client` is to be removed at the end of the turn.
    pub(super) fn finish(&mut self, client: ClientId) {
        if let Some(connection) = self.get(client)
            && connection.phase() != Phase::Finished
        {
            connection.finish();
            self.finished.push(client);
        }
    }

    /// `client` is to be removed at the end of the turn, for a reason that the operator
    /// may ask for.
    pub fn lose(&mut self, client: ClientId, why: &str, now: Instant) {
        if let Some(connection) = self.get(client) {
            let peer = connection.peer();
            self.journal.line(Level::Debug, format_args!("[ {peer} ] - closed: {why}"), now);
        }
        self.finish(client);
    }

    /// The same for a recipient that cost others something: operators see it by default.
    pub(super) fn expel(&mut self, client: ClientId, why: &str, now: Instant) {
        if let Some(connection) = self.get(client) {
            let peer = connection.peer();
            self.journal.line(Level::Warn, format_args!("[ {peer} ] - closed: {why}"), now);
        }
        self.finish(client);
    }

    pub(super) fn log(&mut self, client: ClientId, line: &LogLine, now: Instant) {
        let Some(connection) = self.get(client) else { return };
        let peer = connection.peer();
        let mut info = |line| self.journal.line(Level::Info, line, now);
        match line {
            LogLine::Connected(name) => {
                info(format_args!("[ {peer} ] - [ CONNECTED    ] - {name}"));
            }
            LogLine::Disconnected(name) => {
                info(format_args!("[ {peer} ] - [ DISCONNECTED ] - {name}"));
            }
            LogLine::AccountCreated => {
                info(format_args!("[ {peer} ] - [NEW] account was created!"));
            }
        }
    }
}
