//! What the event loop does, and what must hold whenever it has done it.

use super::*;

impl World {
    /// What the event loop does once, if anything wakes it.
    pub fn poll(&mut self) -> bool {
        let now = self.now();
        self.tell_wall();
        let mut awake = self.server.has_work(now) || self.accepting.has_work(&mut self.server, now);
        awake |= self.deliver_events();
        awake |= self.deliver_mail(now);
        let deadline =
            self.server.deadline(now).into_iter().chain(self.accepting.deadline(now)).min();
        if !awake && deadline.is_none_or(|at| at > now) {
            return false;
        }
        self.turns += 1;
        let (server, listener) = (&mut self.server, &self.listener);
        let mut taken = Vec::new();
        self.accepting.accept(
            listener,
            server,
            |socket, client| {
                taken.push((socket.pipe.borrow().id, client));
                Ok(())
            },
            now,
        );
        for (id, client) in taken {
            let conn = &mut self.conns[id];
            conn.client = Some(client);
            let address = SanctionTarget::Address(Ipv4Addr::new(10, 0, 0, conn.address).into());
            let banned = self.sanctions.has(SanctionKind::Ban, &address, self.wall_told);
            assert!(!banned, "taken in although its address is banned");
            // A registration tells at once what there is.
            conn.pipe.borrow_mut().armed = true;
            assert!(self.by_client.insert(client, id).is_none(), "an identity used twice");
            self.came_at.insert(id, self.net.borrow().passed.len());
        }
        self.server.turn(now);
        let jobs: Vec<(ClientId, Job)> = self.server.take_jobs().collect();
        for (client, job) in jobs {
            if let Some(&id) = self.by_client.get(&client) {
                self.judge_job(id, &job);
            }
            self.worker.submit(client, job);
        }
        self.write_down();
        self.observe();
        self.look_after_turn();
        true
    }

    pub(super) fn deliver_events(&mut self) -> bool {
        let (chaos, mut events) = (self.chaos, 0);
        if self.listener_armed && !(chaos && self.once_in(3)) {
            self.listener_armed = false;
            self.accepting.note();
            events += 1;
        }
        let mut order = self.live.clone();
        for index in (1..order.len()).rev() {
            order.swap(index, self.below(index + 1));
        }
        for id in order {
            let Some(client) = self.conns[id].client else { continue };
            let pipe = Rc::clone(&self.conns[id].pipe);
            let (armed, (readable, writable, gone)) = {
                let pipe = pipe.borrow();
                (pipe.armed && !pipe.closed, pipe.mask())
            };
            let late = chaos && armed && self.once_in(3);
            let repeated = chaos && self.once_in(60);
            if (armed && !late) || repeated {
                pipe.borrow_mut().armed = false;
                self.server.note(client, readable, writable, gone);
                events += 1;
            }
            if chaos && id != 0 && self.once_in(150) {
                // Invented.
                let [r, w, h] = [self.once_in(2), self.once_in(2), self.once_in(6)];
                self.server.note(client, r, w, h);
                events += 1;
            }
        }
        if chaos && !self.stale.is_empty() && self.once_in(20) {
            let client = self.stale[self.below(self.stale.len())];
            self.server.note(client, true, true, self.once_in(2));
            events += 1;
        }
        events > 0
    }

    pub(super) fn deliver_mail(&mut self, now: Instant) -> bool {
        let mut any = false;
        while !self.removals.is_empty() && (!self.chaos || !self.once_in(2)) {
            if let Some(account) = self.removals.pop_front() {
                self.server.account_removed(account, now);
                any = true;
            }
        }
        while !self.worker.verdicts.is_empty() && (!self.chaos || !self.once_in(3)) {
            let (client, verdict) = self.worker.verdicts.remove(0);
            self.worker.outstanding -= 1;
            let id = self.by_client.get(&client).copied();
            let rival = id.and_then(|id| self.rival(id));
            self.server.verdict(client, verdict, now);
            any = true;
            if let Some(id) = id {
                if let Some(rival) = rival {
                    self.judge_rival(rival, id, verdict);
                }
                self.judge_verdict(id, client, verdict);
            }
        }
        while self.orders > 0 && self.chaos {
            self.orders -= 1;
            self.operate();
            any = true;
        }
        any
    }

    /// What is to be decided is what was asked for, one thing after the other.
    fn judge_job(&mut self, id: usize, job: &Job) {
        let conn = &mut self.conns[id];
        assert!(conn.pending.is_none(), "two jobs of one connection");
        conn.pending = Some(Pending::Introduction);
        match job {
            Job::ChangePassword(change) => {
                conn.pending = Some(Pending::Password);
                assert_eq!(Some(change.account), conn.account, "another's password");
                let asked = conn.change(conn.changes);
                assert_eq!(asked, Some((change.current.as_str(), change.new.as_str())));
                conn.changes += 1;
                self.changing.insert(conn.name.clone());
            }
            Job::LogIn(who) | Job::SignUp(who) => {
                assert!(!conn.submitted, "two introductions of one connection");
                conn.submitted = true;
                let theirs = (&conn.name, &conn.user_name, &conn.password);
                assert_eq!((&who.name, &who.user_name, &*who.password), theirs);
            }
        }
    }

    /// Who is in the room under the name of `id`.
    pub(super) fn rival(&self, id: usize) -> Option<usize> {
        let of_name = self.sessions.get(&self.conns[id].name)?;
        of_name.iter().copied().find(|&other| other != id && self.is_inside(other))
    }

    /// Who is in the room gives way to a right log-in if it has acknowledged nothing for 10
    /// seconds, and to nothing else.
    fn judge_rival(&mut self, rival: usize, newcomer: usize, verdict: Verdict) {
        let time = self.net.borrow().time;
        let newcomer_is_gone = self.conns[newcomer].pipe.borrow().closed
            || self.conns[newcomer].barred
            || self.conns[newcomer].expelled.is_some();
        let pipe = Rc::clone(&self.conns[rival].pipe);
        let wait = pipe.borrow().unheard_since().map(|since| time.saturating_sub(since));
        let (least, slack) = (chinwag::limits::GHOST_WAIT, chinwag::limits::GHOST_SLACK);
        if self.is_inside(rival) {
            // What others were given of late may hide that its bytes are older.
            let recent = self.net.borrow().written_since(time.saturating_sub(least + slack * 2));
            let is_ghost =
                wait.is_some_and(|wait| wait > least + slack) && pipe.borrow().flight.1 > recent;
            let right = matches!(verdict, Verdict::LoggedIn(_)) && !newcomer_is_gone;
            assert!(!is_ghost || !right, "{rival} is a ghost and keeps its name");
        } else {
            let right = matches!(verdict, Verdict::LoggedIn(_));
            assert!(right, "{rival} lost its place to {verdict:?}");
            // Of what it was told late, or alone in answer, it is not known since when.
            let silence = time.saturating_sub(pipe.borrow().heard_from);
            let is_ghost = wait.is_some() && silence >= least;
            assert!(is_ghost, "{rival} lost its place although it is alive: {wait:?}, {silence:?}");
            self.ghosts += 1;
        }
    }

    /// Who is let in is let in at once, and nobody else.
    pub(super) fn judge_verdict(&mut self, id: usize, client: ClientId, verdict: Verdict) {
        let inside = self.server.is_in_room(client);
        let conn = &mut self.conns[id];
        let pending = conn.pending.take();
        if pending == Some(Pending::Password) {
            self.changing.remove(&conn.name);
            return;
        }
        let conn = &self.conns[id];
        let Verdict::LoggedIn(account) = verdict else {
            assert!(!inside, "let in without a log-in: {verdict:?}");
            return;
        };
        let others = self.sessions.get(&conn.name).map_or(&[][..], Vec::as_slice);
        let in_use = others
            .iter()
            .any(|&other| self.conns[other].client.is_some_and(|c| self.server.is_in_room(c)));
        // A removal that has yet to be told does not count.
        let removed = self.removed.contains(&account) && !self.removals.contains(&account);
        let gone = conn.pipe.borrow().closed;
        let banned = self.sanctions.has_name(SanctionKind::Ban, &conn.name, self.wall_told);
        if inside {
            assert!(!in_use, "two sessions of one account: {}", conn.name);
            assert!(!removed && !gone, "let in although removed or gone");
            assert!(!banned, "let in although banned: {}", self.conns[id].name);
            self.conns[id].account = Some(account);
            self.enter(id);
        } else {
            assert!(
                in_use || removed || gone || banned || conn.barred,
                "{} was not let in",
                conn.name
            );
        }
    }

    pub(super) fn enter(&mut self, id: usize) {
        let conn = &mut self.conns[id];
        if let Some(second) = conn.second_name.take() {
            let heard = String::from_utf8_lossy(&conn.pipe.borrow().heard).into_owned();
            match heard.contains("in use") || heard.contains("banned you") {
                true => conn.name = second,
                false => conn.script.insert(0, Act::Say(second)),
            }
        }
        let of_name = self.sessions.entry(conn.name.clone()).or_default();
        conn.session = Some(of_name.len());
        of_name.push(id);
    }

    /// What must hold between any two turns.
    pub(super) fn look_after_turn(&mut self) {
        let census = self.server.census();
        assert_eq!(census.connections, self.net.borrow().open, "sockets and slab");
        assert!(census.connections <= self.settings.connections_max, "too many connections");
        assert!(census.queued_bytes <= self.settings.queue_total_bytes, "too much queued");
        let mut per_address = [0; 8];
        let mut index = 0;
        while index < self.live.len() {
            let id = self.live[index];
            let conn = &self.conns[id];
            let (closed, client) = (conn.pipe.borrow().closed, conn.client);
            if closed {
                self.live.remove(index);
                if let Some(client) = client {
                    assert!(!self.server.is_in_room(client), "in the room and closed");
                    self.stale.push(client);
                }
                continue;
            }
            index += 1;
            let Some(client) = client else { continue };
            if !conn.exempt {
                per_address[conn.address as usize] += 1;
            }
            let named = matches!(self.protocol, Protocol::Nickname);
            if named && conn.session.is_none() && self.server.is_in_room(client) {
                self.enter(id);
                let name = &self.conns[id].name;
                let banned = self.sanctions.has_name(SanctionKind::Ban, name, self.wall_told);
                assert!(!banned, "let in although banned: {name}");
            }
        }
        let most = per_address.into_iter().max().unwrap_or_default();
        assert!(most <= self.settings.room.per_address, "{most} connections of one address");
    }
}
