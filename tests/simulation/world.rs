//! The real server in a fake world: one seed decides everything that happens to it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chinwag::accounts::records::HistoryLimits;
use chinwag::accounts::{AccountId, Verdict};
use chinwag::protocol::Protocol;
use chinwag::room::{ClientId, RoomLimits};
use chinwag::server::accepting::Accepting;
use chinwag::server::pacing::MessageRate;
use chinwag::server::settings::Settings;
use chinwag::server::turn::Server;

use super::client::{Conn, Kind, Leaving, SECRET_CHARS};
use super::net::{FakeListener, Net, Pipe, SharedNet, SharedPipe, Socket};
use super::rng::Rng;
use super::worker::Worker;

const MS: Duration = Duration::from_millis(1);
pub const ACCOUNTS: usize = 10;

pub struct World {
    pub protocol: Protocol,
    pub settings: Settings,
    pub server: Server<Socket>,
    accepting: Accepting,
    pub listener: FakeListener,
    listener_armed: bool,
    pub net: SharedNet,
    pub worker: Worker,
    pub conns: Vec<Conn>,
    live: Vec<usize>,
    by_client: HashMap<ClientId, usize>,
    /// Identities of connections that are gone.
    stale: Vec<ClientId>,
    base: Instant,
    pub chaos: bool,
    numbers: usize,
    /// Connections that had a name, in the order in which they had it.
    pub sessions: HashMap<String, Vec<usize>>,
    pub removed: HashSet<AccountId>,
    removals: VecDeque<AccountId>,
    /// Of the relay: how much was passed on when a connection came.
    pub came_at: HashMap<usize, usize>,
    pub turns: u64,
    /// No limits per address.
    pub always_exempt: bool,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let protocol = match Rng::new(!seed).below(8) {
            0..=3 => Protocol::Accounts,
            4 | 5 => Protocol::Nickname,
            6 => Protocol::Relay,
            _ => Protocol::Uppercase,
        };
        Self::of(protocol, seed)
    }

    pub fn of(protocol: Protocol, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let soft = *rng.pick(&[500, 4_000, 65_536]);
        let settings = Settings {
            protocol,
            room: RoomLimits {
                frame_bytes_max: *rng.pick(&[1_024, 8_192]),
                log_in_wait: Duration::from_secs(60),
                per_address: *rng.pick(&[3, 64]),
                history: HistoryLimits { messages: 0, bytes: 0 },
                history_replayed: 0,
            },
            message_rate: MessageRate { burst: 20, per_second: 10 },
            connections_max: rng.range(6, 40),
            queue_soft_bytes: soft,
            queue_hard_bytes: if rng.once_in(3) { soft + 2_000 } else { soft + 140_000 },
            queue_total_bytes: if rng.once_in(6) { 30_000 } else { 1 << 29 },
            exempt: "127.0.0.1".parse().unwrap(),
            exit_when_empty: false,
        };
        let net = Net {
            rng: rng.clone(),
            faulty: false,
            time: Duration::ZERO,
            trace: seed,
            passed: Vec::new(),
            log_reads: protocol == Protocol::Relay,
            open: 0,
            descriptors: usize::MAX,
        };
        let net = Rc::new(RefCell::new(net));
        let mut world = Self {
            protocol,
            server: Server::new(settings.clone()),
            settings,
            accepting: Accepting::default(),
            listener: FakeListener { net: Rc::clone(&net), backlog: RefCell::default() },
            listener_armed: false,
            net,
            worker: Worker::default(),
            conns: Vec::new(),
            live: Vec::new(),
            by_client: HashMap::new(),
            stale: Vec::new(),
            base: Instant::now(),
            chaos: false,
            numbers: 0,
            sessions: HashMap::new(),
            removed: HashSet::new(),
            removals: VecDeque::new(),
            came_at: HashMap::new(),
            turns: 0,
            always_exempt: false,
        };
        for n in 0..ACCOUNTS {
            let (name, user_name, password) = identity(n);
            world.worker.add(&name, &user_name, &password);
        }
        world.worker.add("observer", "observer", "~~^^%%");
        world.connect(Kind::Observer);
        world.settle(60_000);
        world
    }

    pub fn below(&self, most: usize) -> usize {
        self.net.borrow_mut().rng.below(most)
    }

    pub fn once_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn now(&self) -> Instant {
        self.base + self.net.borrow().time
    }

    pub fn pass(&self, time: Duration) {
        self.net.borrow_mut().time += time;
    }

    /// A newcomer in the backlog.
    pub fn connect(&mut self, kind: Kind) {
        let id = self.conns.len();
        let observes = kind == Kind::Observer;
        let mut rng = self.net.borrow().rng.clone();
        let unlimited = observes || rng.once_in(3);
        let capacity = match rng.below(4) {
            _ if unlimited => usize::MAX,
            0 => rng.range(50, 500),
            _ => rng.range(2_000, 60_000),
        };
        // What comes first is taken for a whole frame after a silence, except in accounts.
        let whole = matches!(self.protocol, Protocol::Nickname | Protocol::Uppercase);
        let gentle = whole || matches!(kind, Kind::Observer | Kind::Gentle);
        // Where queues are small, somebody may be expelled in the turn in which it came in,
        // and nobody would know that it was there.
        let large = self.settings.queue_hard_bytes.min(self.settings.queue_total_bytes) > 100_000;
        let named = self.protocol == Protocol::Nickname;
        let contested = named && large && !observes && rng.once_in(4);
        let capacity = if contested { usize::MAX } else { capacity };
        let pipe = Pipe { id, capacity, gentle, log_writes: kind.in_bursts(), ..Pipe::default() };
        let pipe: SharedPipe = Rc::new(RefCell::new(pipe));
        let mut sign_up = false;
        let (name, user_name, password) = match self.protocol {
            _ if observes => ("observer".into(), "observer".into(), "~~^^%%".into()),
            Protocol::Accounts if rng.once_in(8) => {
                sign_up = true;
                let (name, user_name, password) = identity(1_000 + rng.below(2 * id + 4));
                (name, user_name, password)
            }
            Protocol::Accounts => {
                let (name, user_name, mut password) = identity(rng.below(ACCOUNTS));
                if rng.once_in(10) {
                    password.push('%');
                }
                (name, user_name, password)
            }
            _ => {
                let code = if contested { rng.below(3) } else { 1_000 + id };
                (nickname(code), String::new(), String::new())
            }
        };
        let exempt = observes || self.always_exempt || rng.once_in(2);
        let mut conn = Conn {
            id,
            kind,
            pipe: Rc::clone(&pipe),
            client: None,
            exempt,
            address: if exempt { 0 } else { rng.range(1, 4) as u8 },
            name,
            user_name,
            password,
            unsent: VecDeque::new(),
            sent_at: self.net.borrow().time,
            expected: Vec::new(),
            session: None,
            submitted: false,
            sign_up,
            second_name: (contested && !kind.in_bursts()).then(|| nickname(1_000 + id)),
            contested,
            sent: 0,
            leaving: Leaving::No,
            account: None,
            stayed: false,
            frames: 0,
        };
        conn.introduce(self.protocol, &mut rng);
        let ip = match exempt {
            true => Ipv4Addr::LOCALHOST,
            false => Ipv4Addr::new(10, 0, 0, conn.address),
        };
        let port = 1_024 + (id % 60_000) as u16;
        self.net.borrow_mut().rng = rng;
        self.conns.push(conn);
        self.live.push(id);
        let peer = SocketAddr::new(IpAddr::V4(ip), port);
        self.listener.backlog.borrow_mut().push_back((pipe, peer));
        self.listener_armed = true;
    }

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
    fn jump(&mut self) {
        let time = MS * self.below(90_000) as u32;
        // Nobody's last words outlast that, if they are to have pauses.
        for &id in &self.live {
            self.conns[id].pipe.borrow_mut().lagged |= self.conns[id].kind.in_bursts();
        }
        self.pass(time);
        self.poll();
    }

    fn act(&mut self) {
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
            0..=5 => {}
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

    fn somebody(&self) -> Option<usize> {
        // Not the observer, who is the first.
        (self.live.len() > 1).then(|| self.live[1 + self.below(self.live.len() - 1)])
    }

    fn act_of(&mut self, id: usize, choice: usize) {
        let mut rng = self.net.borrow().rng.clone();
        let (protocol, max) = (self.protocol, self.settings.room.frame_bytes_max);
        let conn = &mut self.conns[id];
        match choice {
            14..=29 if conn.unsent.len() < 6 && conn.leaving == Leaving::No && !conn.sign_up => {
                self.numbers += 1;
                conn.talk(protocol, &mut rng, self.numbers, max);
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
            _ => {}
        }
        self.net.borrow_mut().rng = rng;
    }

    /// The network brings up to `most` bytes of what `id` sends.
    fn deliver(&mut self, id: usize, most: usize) {
        let time = self.net.borrow().time;
        let protocol = self.protocol;
        let conn = &mut self.conns[id];
        let pipe = Rc::clone(&conn.pipe);
        let mut pipe = pipe.borrow_mut();
        if pipe.ended || pipe.reset || pipe.closed {
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
        if brought > 0 && conn.client.is_some() {
            pipe.armed = true;
        }
    }

    fn remove_account(&mut self) {
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

    /// What the event loop does once, if anything wakes it.
    pub fn poll(&mut self) -> bool {
        let now = self.now();
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
            // A registration tells at once what there is.
            conn.pipe.borrow_mut().armed = true;
            assert!(self.by_client.insert(client, id).is_none(), "an identity used twice");
            self.came_at.insert(id, self.net.borrow().passed.len());
        }
        self.server.turn(now);
        for (client, job) in self.server.take_jobs() {
            if let Some(&id) = self.by_client.get(&client) {
                assert!(!self.conns[id].submitted, "two jobs of one connection");
                self.conns[id].submitted = true;
            }
            self.worker.submit(client, job);
        }
        self.look_after_turn();
        true
    }

    fn deliver_events(&mut self) -> bool {
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

    fn deliver_mail(&mut self, now: Instant) -> bool {
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
            self.server.verdict(client, verdict, now);
            any = true;
            if let Some(&id) = self.by_client.get(&client) {
                self.judge_verdict(id, client, verdict);
            }
        }
        any
    }

    /// Who is let in is let in at once, and nobody else.
    fn judge_verdict(&mut self, id: usize, client: ClientId, verdict: Verdict) {
        let inside = self.server.is_in_room(client);
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
        if inside {
            assert!(!in_use, "two sessions of one account: {}", conn.name);
            assert!(!removed && !gone, "let in although removed or gone");
            self.conns[id].account = Some(account);
            self.enter(id);
        } else {
            assert!(in_use || removed || gone, "{} was not let in", conn.name);
        }
    }

    fn enter(&mut self, id: usize) {
        let conn = &mut self.conns[id];
        if let Some(second) = conn.second_name.take() {
            match String::from_utf8_lossy(&conn.pipe.borrow().heard).contains("in use") {
                true => conn.name = second,
                false => conn.expected.insert(0, second),
            }
        }
        let of_name = self.sessions.entry(conn.name.clone()).or_default();
        conn.session = Some(of_name.len());
        of_name.push(id);
    }

    /// What must hold between any two turns.
    fn look_after_turn(&mut self) {
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
            }
        }
        let most = per_address.into_iter().max().unwrap_or_default();
        assert!(most <= self.settings.room.per_address, "{most} connections of one address");
    }

    /// Time passes without faults until nothing happens, for at most so many rounds.
    pub fn settle(&mut self, rounds: usize) {
        self.chaos = false;
        {
            let mut net = self.net.borrow_mut();
            (net.faulty, net.descriptors) = (false, usize::MAX);
        }
        self.worker.dead = false;
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

    fn is_settled(&self) -> bool {
        self.unrest().is_empty()
    }

    /// What is left to be done, if anything.
    fn unrest(&self) -> String {
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
            conn.expected.push(format!("m{}.last words", self.numbers));
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

/// Name, user name and password of the `n`th account.
pub fn identity(n: usize) -> (String, String, String) {
    let digit = |place: u32| SECRET_CHARS[n / 3_usize.pow(place) % 3];
    (format!("name{n}"), format!("user{n}"), (0..9).map(digit).collect())
}

/// A nickname of capitals that are mistaken for nothing.
fn nickname(mut n: usize) -> String {
    let mut name = String::from("NK");
    while n > 0 {
        name.push(char::from(b'A' + (n % 8) as u8));
        n /= 8;
    }
    name
}
