//! Accepting connections: in batches, within the limit, and in spite of errors.
//!
//! Knows what accepting may answer. Knows no `mio`: the listener is whatever accepts.
//!
//! Readiness is told once: whoever stops before the listener has nothing more must come
//! back without being told again, or it stalls for good.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::connection::Transport;
use super::turn::Server;
use crate::limits;
use crate::room::ClientId;

/// Something that accepts connections without blocking.
pub trait Listener<S> {
    /// Accepts one.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; else what the system says.
    fn accept(&self) -> io::Result<(S, SocketAddr)>;
}

/// Where accepting stands.
#[derive(Debug)]
pub struct Accepting {
    /// There may be connections to accept.
    pending: bool,
    /// The system could not accept: when to try again, and how long to wait next time.
    retry: Option<(Instant, usize)>,
    wait: Duration,
    warned_at: Option<Instant>,
}

impl Default for Accepting {
    fn default() -> Self {
        Self { pending: false, retry: None, wait: limits::ACCEPT_RETRY_FIRST, warned_at: None }
    }
}

impl Accepting {
    /// Notes that the listener is ready.
    pub fn note(&mut self) {
        self.pending = true;
    }

    /// Whether there is something to accept now.
    pub fn has_work<S: Transport>(&self, server: &mut Server<S>, now: Instant) -> bool {
        let waits = self.retry.is_some_and(|(at, connections)| {
            // A connection that has closed has left its descriptor.
            at > now && server.connection_count() >= connections
        });
        self.pending && !waits && !server.is_shutting_down() && server.has_room()
    }

    /// When to try again. Not when that is past: then there is work, or no place for a
    /// newcomer, which no waiting brings about.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.retry.filter(|&(at, _)| self.pending && at > now).map(|(at, _)| at)
    }

    /// Accepts up to a batch; `register` makes each known to the poll.
    pub fn accept<S: Transport>(
        &mut self,
        listener: &impl Listener<S>,
        server: &mut Server<S>,
        mut register: impl FnMut(&mut S, ClientId) -> io::Result<()>,
        now: Instant,
    ) {
        for _ in 0..limits::ACCEPT_BATCH {
            if !self.has_work(server, now) {
                return;
            }
            match listener.accept() {
                Ok((socket, peer)) => {
                    self.retry = None;
                    self.wait = limits::ACCEPT_RETRY_FIRST;
                    if server.refuses(peer) {
                        // It must not cost others their place.
                        continue;
                    }
                    let full = server.is_full();
                    if full {
                        server.make_room(now);
                    }
                    let client = server.accept(socket, peer, now);
                    let registered =
                        server.socket(client).map_or(Ok(()), |socket| register(socket, client));
                    if let Err(error) = registered {
                        server.lose(client, &format!("the poll did not take it: {error}"), now);
                    }
                    if full {
                        // The place it took is free only after the turn.
                        return;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.pending = false,
                    // The newcomer has gone again; there may be others.
                    io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted => {}
                    _ => self.back_off(&error, server.connection_count(), now),
                },
            }
        }
    }

    /// Out of descriptors, most likely: waits for one to be freed.
    fn back_off(&mut self, error: &io::Error, connections: usize, now: Instant) {
        self.retry = Some((now + self.wait, connections));
        self.wait = (self.wait * 2).min(limits::ACCEPT_RETRY_LAST);
        if self.warned_at.is_none_or(|at| at + Duration::from_secs(1) <= now) {
            self.warned_at = Some(now);
            log::warn!("cannot accept with {connections} connections open: {error}; trying again");
        }
    }
}
