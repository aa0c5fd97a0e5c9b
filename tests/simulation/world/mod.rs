//! The real server in a fake world: one seed decides everything that happens to it.

mod acting;
mod connecting;
mod observing;
mod operating;
mod polling;
mod settling;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chinwag::accounts::records::{
    HistoryLimits, Kept, Said, Sanction, SanctionChange, SanctionKind, SanctionTarget,
};
use chinwag::accounts::{AccountId, Job, Verdict};
use chinwag::protocol::Protocol;
use chinwag::room::{ClientId, RoomLimits};
use chinwag::server::accepting::Accepting;
use chinwag::server::pacing::MessageRate;
use chinwag::server::settings::Settings;
use chinwag::server::turn::Server;

use crate::client::{Act, Conn, Kind, Leaving, Pending, SECRET_CHARS};
use crate::net::{FakeListener, Net, Pipe, SharedNet, SharedPipe, Socket};
use crate::rng::Rng;
use crate::worker::Worker;

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
    /// Who had to give way to its next log-in.
    pub ghosts: u64,
    /// What the clock on the wall showed, or would have, when the simulation began.
    wall_began: i64,
    /// What the server was told that it shows.
    pub wall_told: i64,
    /// What the server started with.
    pub kept: Kept,
    /// What was handed out to be written down, and when that was.
    pub records: Vec<(Arc<Said>, i64, i64)>,
    /// What of it was.
    disk: VecDeque<Arc<Said>>,
    disk_is_slow: bool,
    unwritten: u64,
    /// What the operator told everyone, in order.
    pub announced: Vec<String>,
    pub sanctions: operating::Sanctions,
    /// Who is muted, in lower case; and since which message of the room.
    muted: HashSet<String>,
    pub mutes: Vec<(usize, HashSet<String>)>,
    /// Names whose passwords are being changed.
    changing: HashSet<String>,
    /// What of the observer's stream was looked at, and how many messages are in it.
    observed: usize,
    said: usize,
    /// What the operator has yet to do.
    orders: usize,
    /// The operator wants to end the server, later.
    closing: bool,
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
        Self::started(protocol, seed, true)
    }

    /// One that starts with nothing kept.
    pub fn of(protocol: Protocol, seed: u64) -> Self {
        Self::started(protocol, seed, false)
    }

    fn started(protocol: Protocol, seed: u64, may_go_on: bool) -> Self {
        let mut rng = Rng::new(seed);
        let soft = *rng.pick(&[500, 4_000, 65_536]);
        let history = match rng.below(5) {
            _ if protocol != Protocol::Accounts => HistoryLimits { messages: 0, bytes: 1 << 20 },
            0 => HistoryLimits { messages: 0, bytes: 1 << 20 },
            1 => HistoryLimits { messages: rng.range(1, 12), bytes: 1 << 20 },
            2 => HistoryLimits { messages: 10_000, bytes: rng.range(20, 4_000) },
            _ => HistoryLimits { messages: 10_000, bytes: 8 << 20 },
        };
        let settings = Settings {
            protocol,
            room: RoomLimits {
                frame_bytes_max: *rng.pick(&[1_024, 8_192]),
                log_in_wait: Duration::from_secs(60),
                per_address: *rng.pick(&[3, 64]),
                history,
                history_replayed: *rng.pick(&[0, 2, 20, 1_000]),
                reply_bytes_max: chinwag::limits::REPLY_BYTES_MAX,
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
            recent: VecDeque::new(),
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
            ghosts: 0,
            wall_began: 1_700_000_000,
            wall_told: 0,
            kept: Kept::default(),
            records: Vec::new(),
            disk: VecDeque::new(),
            disk_is_slow: false,
            unwritten: 0,
            announced: Vec::new(),
            sanctions: operating::Sanctions::default(),
            muted: HashSet::new(),
            mutes: Vec::new(),
            changing: HashSet::new(),
            observed: 0,
            said: 0,
            orders: 0,
            closing: false,
            always_exempt: false,
        };
        for n in 0..ACCOUNTS {
            let (name, user_name, password) = identity(n);
            world.worker.add(&name, &user_name, &password);
        }
        world.worker.add("observer", "observer", "~~^^%%");
        if may_go_on && protocol == Protocol::Accounts && rng.once_in(2) {
            world.goes_on(&mut rng);
        }
        world.connect(Kind::Observer);
        world.settle(60_000);
        world
    }

    /// The server goes on from what was kept.
    fn goes_on(&mut self, rng: &mut Rng) {
        let mut number = rng.below(1_000) as i64;
        let history = (0..rng.below(30)).map(|n| {
            number += rng.range(1, 3) as i64;
            let text = format!("m{n}k.said before the start");
            let at = self.wall_began - rng.below(1_000_000) as i64;
            Said { number, at, name: "somebody else".into(), text: text.into() }
        });
        let history = history.collect();
        let mut sanctions = Vec::new();
        for kind in [SanctionKind::Ban, SanctionKind::Mute] {
            let target = SanctionTarget::Name(identity(rng.below(ACCOUNTS)).0);
            let until = rng.once_in(2).then(|| self.wall_began + rng.below(40) as i64);
            sanctions.push(Sanction { kind, target, until });
        }
        for sanction in &sanctions {
            self.sanctions.change(&SanctionChange::Impose(sanction.clone()));
        }
        self.kept = Kept { history, sanctions };
        self.server.restore(self.kept.clone());
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
}

/// Name, user name and password of the `n`th account, as it was created.
pub fn identity(n: usize) -> (String, String, String) {
    let digit = |place: u32| SECRET_CHARS[n / 3_usize.pow(place) % 3];
    let name = match n {
        // One begins with another, or looks as if it were quoted, or for a while.
        5 => "name1 b".to_owned(),
        6 => "name1 B c".to_owned(),
        7 => "name1 2h".to_owned(),
        8 => "na\"me3".to_owned(),
        9 => "na\"me\" x".to_owned(),
        _ => format!("name{n}"),
    };
    (name, format!("user{n}"), (0..9).map(digit).collect())
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
