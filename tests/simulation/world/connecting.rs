//! Newcomers, and who they say they are.

use super::*;

impl World {
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
                // Who has lost the network comes back.
                let lost = |&&id: &&usize| self.conns[id].pipe.borrow().dead_since.is_some();
                let lost = self.live.iter().find(lost).map(|&id| &self.conns[id]);
                let (name, user_name, mut password) = match lost {
                    Some(old) if !observes && rng.once_in(3) => {
                        (old.name.clone(), old.user_name.clone(), String::new())
                    }
                    _ => identity(rng.below(ACCOUNTS)),
                };
                // It may have been changed since; not everybody knows.
                if let Some((_, held, _)) = self.worker.accounts.get(&user_name)
                    && (password.is_empty() || !rng.once_in(10))
                {
                    password.clone_from(held);
                }
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
            script: Vec::new(),
            session: None,
            submitted: false,
            pending: None,
            changes: 0,
            expelled: None,
            barred: false,
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
}
