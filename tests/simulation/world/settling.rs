//! Without faults all comes to rest, and everyone leaves.

use super::*;

impl World {
    /// Time passes without faults until nothing happens, for at most so many rounds.
    pub fn settle(&mut self, rounds: usize) {
        self.chaos = false;
        if self.closing {
            self.close_or_not();
        }
        {
            let mut net = self.net.borrow_mut();
            (net.faulty, net.descriptors) = (false, usize::MAX);
        }
        self.worker.dead = false;
        for &id in &self.live {
            // The server's kernel gives it up.
            let mut pipe = self.conns[id].pipe.borrow_mut();
            if pipe.dead_since.is_some() && !pipe.reset {
                (pipe.reset, pipe.armed) = (true, true);
            }
        }
        let mut busy = 0;
        for _ in 0..rounds {
            for id in self.live.clone() {
                self.deliver(id, usize::MAX);
                self.conns[id].pipe.borrow_mut().take(usize::MAX);
            }
            let mut rng = self.net.borrow().rng.clone();
            while self.worker.has_jobs() {
                self.worker.work(&mut rng, false);
            }
            self.net.borrow_mut().rng = rng;
            if self.poll() {
                busy += 1;
                assert!(busy < 5_000, "turns without end: {}", self.unrest());
                continue;
            }
            if self.is_settled() {
                return;
            }
            busy = 0;
            let now = self.now();
            let next =
                self.server.deadline(now).into_iter().chain(self.accepting.deadline(now)).min();
            let sending = self.live.iter().any(|&id| !self.conns[id].unsent.is_empty());
            let most = if sending { 30 * MS } else { Duration::from_secs(3_600) };
            let wait = next.map_or(30 * MS, |at| at.saturating_duration_since(now).min(most));
            self.pass(wait);
        }
        let deadline = self.server.deadline(self.now()).map(|at| at - self.base);
        let (census, time) = (self.server.census(), self.net.borrow().time);
        panic!("does not come to rest: {}{census:?}, {deadline:?} at {time:?}", self.unrest());
    }

    pub(super) fn is_settled(&self) -> bool {
        self.unrest().is_empty()
    }

    /// What is left to be done, if anything.
    pub(super) fn unrest(&self) -> String {
        let census = self.server.census();
        let mut unrest = String::new();
        if census.queued_bytes > 0 {
            unrest += &format!("{} bytes queued; ", census.queued_bytes);
        }
        if self.worker.outstanding > 0 {
            unrest += &format!("{} jobs; ", self.worker.outstanding);
        }
        let full = census.connections >= self.settings.connections_max;
        if !self.listener.backlog.borrow().is_empty() && !full {
            unrest += "backlog; ";
        }
        for &id in &self.live {
            let conn = &self.conns[id];
            let pipe = conn.pipe.borrow();
            let unread = !pipe.to_server.is_empty() || (pipe.ended && !pipe.closed) || pipe.reset;
            let unread = unread && conn.client.is_some();
            let unsent = !conn.unsent.is_empty() && !pipe.ended && conn.can_send();
            // It hears that it was refused, or it is let in; until then it waits.
            let waits = conn.kind.in_bursts() && conn.session.is_none() && conn.sent > 0;
            let unsent = unsent && !waits;
            if unread || unsent || conn.leaving == Leaving::HalfClose && conn.can_send() {
                let bytes = pipe.to_server.len();
                unrest += &format!(
                    "{id} {:?}: {bytes} unread, {} unsent, ended {}, reset {}, {:?}, heard {:?}, {:?}; ",
                    conn.kind,
                    conn.unsent.len(),
                    pipe.ended,
                    pipe.reset,
                    conn.leaving,
                    String::from_utf8_lossy(&pipe.heard).get(..30),
                    self.protocol
                );
            }
        }
        unrest
    }

    /// Whoever has not logged in in time is gone.
    pub fn strangers_are_gone(&mut self) {
        loop {
            let accepted = self.by_client.len();
            self.pass(self.settings.room.log_in_wait + MS);
            self.settle(60_000);
            self.pass(3_000 * MS);
            self.settle(60_000);
            // Those who have waited for a place have their own time.
            if accepted == self.by_client.len() {
                break;
            }
        }
        for conn in &self.conns {
            let stranger = conn.session.is_none() && conn.exempt && conn.client.is_some();
            let closed = conn.pipe.borrow().closed;
            let named = matches!(self.protocol, Protocol::Accounts | Protocol::Nickname);
            let removed = conn.account.is_some_and(|account| self.removed.contains(&account));
            assert!(!removed || closed, "the session of a removed account goes on");
            assert!(!named || !stranger || closed, "never logged in and is here: {conn:?}");
        }
    }

    /// Everyone leaves, the observer last.
    pub fn everyone_leaves(&mut self) {
        for id in 1..self.conns.len() {
            let conn = &mut self.conns[id];
            if !conn.is_over() {
                if !conn.unsent.is_empty() {
                    // It was still waiting to be let in, and will not say the rest.
                    conn.unsent.clear();
                    conn.pipe.borrow_mut().lagged = true;
                }
                conn.leaving = Leaving::HalfClose;
            }
        }
        self.settle(60_000);
        self.pass(50 * MS);
        self.settle(60_000);
        self.conns[0].leaving = Leaving::HalfClose;
        self.settle(60_000);
    }

    /// The operator ends the server: everyone in the room is told, and it ends in time.
    pub fn shut_down(&mut self) {
        // Somebody speaks at the last moment; how much of it is said is left open.
        let speaks = |conn: &Conn| conn.kind == Kind::Lines && conn.leaving == Leaving::No;
        let last = self.live.iter().copied().find(|&id| speaks(&self.conns[id]));
        if let Some(id) = last {
            self.numbers += 1;
            let conn = &mut self.conns[id];
            conn.script.push(Act::Say(format!("m{}.last words", self.numbers)));
            conn.unsent.push_back(format!("m{}.last words\n", self.numbers).into_bytes());
            conn.pipe.borrow_mut().lagged = true;
            self.deliver(id, usize::MAX);
            while self.poll() {}
        }
        for conn in &mut self.conns {
            let inside = conn.client.is_some_and(|client| self.server.is_in_room(client));
            conn.stayed = inside && !conn.pipe.borrow().closed;
        }
        let began = self.now();
        self.server.shut_down(began);
        while !self.server.is_finished(self.now()) {
            for &id in &self.live {
                let mut pipe = self.conns[id].pipe.borrow_mut();
                pipe.take(usize::MAX);
                if pipe.write_shut && !pipe.ended {
                    pipe.ended = true;
                    pipe.armed = true;
                }
            }
            if !self.poll() {
                let now = self.now();
                let next = self.server.deadline(now).expect("an end");
                self.pass(next.saturating_duration_since(now));
            }
        }
        assert!(self.now() - began <= chinwag::limits::DRAIN_WAIT, "it took too long");
        for conn in self.conns.iter().filter(|conn| conn.stayed) {
            let pipe = conn.pipe.borrow();
            let named = matches!(self.protocol, Protocol::Accounts | Protocol::Nickname);
            let told = pipe.heard.ends_with(b"exit_server\n")
                || (conn.kind != Kind::Lines && pipe.heard.ends_with(b"exit_server"));
            assert!(!named || told, "{} was not told", conn.id);
            assert!(!pipe.heard.ends_with(b"exit_serverexit_server"), "told twice");
        }
        assert_eq!(self.server.connection_count(), 0, "somebody is left");
    }

    /// Nothing happens any more but time.
    pub fn wait_for_timers(&mut self) {
        for _ in 0..10_000 {
            let now = self.now();
            match self.server.deadline(now) {
                None => return,
                Some(at) => self.pass(at.saturating_duration_since(now)),
            }
            self.poll();
        }
        panic!("timers without end");
    }
}
