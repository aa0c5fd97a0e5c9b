//! What people and the network do, by chance.

use super::*;

impl World {
    /// One step of chaos.
    pub fn step(&mut self) {
        for _ in 0..1 + self.below(3) {
            self.act();
        }
        let time = match self.below(200) {
            0..=79 => Duration::ZERO,
            80..=149 => MS * self.below(4) as u32,
            150..=189 => MS * self.below(40) as u32,
            190..=196 => MS * self.below(700) as u32,
            197 | 198 => MS * self.below(3_000) as u32,
            _ if self.once_in(4) => return self.jump(),
            _ => Duration::ZERO,
        };
        let until = self.net.borrow().time + time;
        // The loop wakes whenever something is due.
        for _ in 0..100 {
            let now = self.now();
            let next = self.server.deadline(now).map(|at| at.saturating_duration_since(now));
            let left = until.saturating_sub(self.net.borrow().time);
            match next {
                Some(wait) if wait < left => self.pass(wait),
                _ => break,
            }
            self.poll();
        }
        let left = until.saturating_sub(self.net.borrow().time);
        self.pass(left);
        self.poll();
    }

    /// The clock jumps, as after the machine was asleep.
    pub(super) fn jump(&mut self) {
        let time = MS * self.below(90_000) as u32;
        // Nobody's last words outlast that, if they are to have pauses.
        for &id in &self.live {
            self.conns[id].pipe.borrow_mut().lagged |= self.conns[id].kind.in_bursts();
        }
        self.pass(time);
        self.poll();
    }

    pub(super) fn act(&mut self) {
        let choice = self.below(100);
        self.net.borrow_mut().note(choice as u64);
        if choice < 4 && self.live.len() < 16 {
            let kind = match self.below(8) {
                0 | 1 => Kind::Gentle,
                2 | 3 => Kind::Bursts,
                4 => Kind::Mixed,
                _ => Kind::Lines,
            };
            return self.connect(kind);
        }
        match choice {
            0..=3 => {}
            4 if self.once_in(4) => self.orders += 1,
            5 if self.once_in(12) => self.set_wall(),
            5 if self.once_in(12) => self.disk_is_slow = self.once_in(3),
            6..=9 => {
                let failing = self.once_in(8);
                let mut rng = self.net.borrow().rng.clone();
                self.worker.work(&mut rng, failing);
                self.net.borrow_mut().rng = rng;
            }
            10 if self.once_in(12) => self.worker.die(),
            11 => self.worker.dead = false,
            12 if self.once_in(6) => {
                let limit = if self.once_in(2) { self.below(12) } else { usize::MAX };
                self.net.borrow_mut().descriptors = limit;
            }
            13 if self.once_in(40) => self.remove_account(),
            _ => {
                if let Some(id) = self.somebody() {
                    self.act_of(id, choice);
                }
            }
        }
    }

    pub(super) fn somebody(&self) -> Option<usize> {
        // Not the observer, who is the first.
        (self.live.len() > 1).then(|| self.live[1 + self.below(self.live.len() - 1)])
    }

    /// Somebody who may be told something.
    fn whom(&self) -> String {
        if self.protocol != Protocol::Accounts {
            return String::new();
        }
        match self.below(8) {
            0 => identity(self.below(ACCOUNTS)).0,
            1 => "observer".to_owned(),
            _ => self.conns[self.live[self.below(self.live.len())]].name.clone(),
        }
    }

    pub(super) fn act_of(&mut self, id: usize, choice: usize) {
        let whom = if (14..=29).contains(&choice) { self.whom() } else { String::new() };
        let mut rng = self.net.borrow().rng.clone();
        let (protocol, max) = (self.protocol, self.settings.room.frame_bytes_max);
        let conn = &mut self.conns[id];
        match choice {
            14..=29 if conn.unsent.len() < 6 && conn.leaving == Leaving::No && !conn.sign_up => {
                self.numbers += 1;
                conn.talk(protocol, &mut rng, self.numbers, max, &whom);
            }
            30..=59 => {
                let most = match rng.below(6) {
                    0 => 1,
                    1 => rng.range(1, 60),
                    _ => usize::MAX,
                };
                self.deliver(id, most);
            }
            60..=84 => {
                let most = if rng.once_in(3) { rng.range(1, 500) } else { usize::MAX };
                conn.pipe.borrow_mut().take(most);
            }
            85 if rng.once_in(3) && conn.leaving == Leaving::No => {
                conn.leave(protocol);
            }
            86 if rng.once_in(12) && !(conn.contested && conn.session.is_none()) => {
                let mut pipe = conn.pipe.borrow_mut();
                pipe.reset = true;
                pipe.armed = true;
            }
            87 if rng.once_in(4) && conn.leaving == Leaving::Asked => {
                conn.leaving = Leaving::HalfClose;
            }
            88 if rng.once_in(8) && conn.session.is_some() && conn.leaving == Leaving::No => {
                let time = self.net.borrow().time;
                let mut pipe = conn.pipe.borrow_mut();
                if pipe.dead_since.is_none() {
                    pipe.die(time);
                    // What the server's kernel holds for it, if it is not full already.
                    let most = if rng.once_in(3) { 2_000 } else { 500_000 };
                    if !pipe.wants_space {
                        pipe.capacity = pipe.untaken.saturating_add(most);
                    }
                }
            }
            _ => {}
        }
        self.net.borrow_mut().rng = rng;
    }

    /// The network brings up to `most` bytes of what `id` sends.
    pub(super) fn deliver(&mut self, id: usize, most: usize) {
        let time = self.net.borrow().time;
        let protocol = self.protocol;
        let conn = &mut self.conns[id];
        let pipe = Rc::clone(&conn.pipe);
        let mut pipe = pipe.borrow_mut();
        if pipe.ended || pipe.reset || pipe.closed || pipe.dead_since.is_some() {
            return;
        }
        let mut brought = 0;
        if pipe.gentle {
            // Each frame alone: the one before was read, and silence followed.
            let early = conn.sent > 0 && time < conn.sent_at + 120 * MS;
            if conn.client.is_none() || !pipe.to_server.is_empty() || early {
                return;
            }
            // Nobody knows yet whether it is let in.
            let named = matches!(protocol, Protocol::Accounts | Protocol::Nickname);
            let waits = conn.session.is_none() && named;
            match conn.kind {
                _ if conn.sent == 0 => {}
                Kind::Gentle | Kind::Bursts if waits => return,
                Kind::Lines | Kind::Mixed | Kind::Bursts => pipe.gentle = false,
                Kind::Gentle | Kind::Observer => {}
            }
        }
        if pipe.gentle {
            if let Some(frame) = conn.unsent.pop_front() {
                brought = frame.len();
                pipe.to_server.extend(frame);
                conn.sent_at = time;
                conn.sent += 1;
            }
        } else {
            // A reference client waits for its answer, and glues nothing to its log-in.
            let alone = conn.kind == Kind::Bursts
                && protocol == Protocol::Accounts
                && conn.session.is_none();
            while brought < most.min(70_000)
                && !(alone && conn.sent > 0)
                && let Some(mut frame) = conn.unsent.pop_front()
            {
                let rest = frame.split_off(frame.len().min(most - brought));
                brought += frame.len();
                pipe.to_server.extend(frame);
                match rest.is_empty() {
                    true => conn.sent += 1,
                    false => conn.unsent.push_front(rest),
                }
            }
        }
        let may_end = !self.chaos || conn.session.is_some() || !conn.contested;
        if conn.unsent.is_empty() && conn.leaving == Leaving::HalfClose && may_end {
            pipe.ended = true;
            conn.leaving = Leaving::Done;
            brought += 1;
        }
        if brought > 0 {
            pipe.heard_from = time;
        }
        if brought > 0 && conn.client.is_some() {
            pipe.armed = true;
        }
    }

    pub(super) fn remove_account(&mut self) {
        let mut users: Vec<String> =
            self.worker.accounts.keys().filter(|user| *user != "observer").cloned().collect();
        users.sort_unstable();
        if users.is_empty() || self.protocol != Protocol::Accounts {
            return;
        }
        let user = &users[self.below(users.len())];
        if let Some((_, _, id)) = self.worker.accounts.remove(user) {
            self.removed.insert(id);
            self.removals.push_back(id);
        }
    }
}
