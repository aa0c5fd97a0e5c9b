//! Turns of a server whose sockets are made of memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use super::super::connection::Unacknowledged;
use super::super::pacing::MessageRate;
use super::*;
use crate::accounts::records::HistoryLimits;
use crate::protocol::Protocol;
use crate::room::RoomLimits;

/// One connection, between its two ends.
#[derive(Debug, Default)]
struct Pipe {
    to_server: VecDeque<u8>,
    heard: Vec<u8>,
    closed: bool,
    unacknowledged: Option<Unacknowledged>,
}

#[derive(Debug)]
struct Socket(Rc<RefCell<Pipe>>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.borrow_mut().to_server.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            bytes => Ok(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().heard.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn shut_down_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn unacknowledged(&self) -> Option<Unacknowledged> {
        self.0.borrow().unacknowledged
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.borrow_mut().closed = true;
    }
}

struct Play {
    server: Server<Socket>,
    now: Instant,
}

struct Somebody {
    pipe: Rc<RefCell<Pipe>>,
    id: ClientId,
}

impl Somebody {
    fn heard(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.pipe.borrow_mut().heard)).unwrap()
    }

    /// Its machine was silent for so many seconds, and left so much unacknowledged.
    fn is_silent_for(&self, seconds: u64, bytes: u64) {
        let silence = Duration::from_secs(seconds);
        self.pipe.borrow_mut().unacknowledged = Some(Unacknowledged { bytes, silence });
    }
}

impl Play {
    fn new() -> Self {
        let settings = Settings {
            protocol: Protocol::Accounts,
            room: RoomLimits {
                frame_bytes_max: 1_024,
                log_in_wait: limits::LOGIN_WAIT,
                per_address: 64,
                history: HistoryLimits { messages: 0, bytes: 0 },
                history_replayed: 0,
                reply_bytes_max: limits::REPLY_BYTES_MAX,
            },
            message_rate: MessageRate { burst: 20, per_second: 10 },
            connections_max: 8,
            queue_soft_bytes: limits::QUEUE_SOFT_BYTES,
            queue_hard_bytes: limits::QUEUE_HARD_BYTES,
            queue_total_bytes: limits::QUEUE_TOTAL_BYTES,
            exempt: "none".parse().unwrap(),
            exit_when_empty: false,
        };
        Self { server: Server::new(settings), now: Instant::now() }
    }

    /// Notices may wait for each other.
    fn turn(&mut self) {
        self.server.turn(self.now);
        self.now += limits::NOTICE_HOLD;
        self.server.turn(self.now);
    }

    fn say(&mut self, who: &Somebody, line: &str) {
        who.pipe.borrow_mut().to_server.extend(format!("{line}\n").into_bytes());
        self.server.note(who.id, true, false, false);
        self.turn();
    }

    /// Somebody with right credentials who has just tried to log in.
    fn log_in(&mut self, name: &str, account: i64) -> Somebody {
        let pipe = Rc::new(RefCell::new(Pipe::default()));
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let id = self.server.accept(Socket(Rc::clone(&pipe)), peer, self.now);
        let who = Somebody { pipe, id };
        self.say(&who, &format!("[NEW]:login:{name}:{name}user:secret"));
        assert_eq!(self.server.take_jobs().count(), 1);
        self.server.verdict(id, Verdict::LoggedIn(AccountId(account)), self.now);
        self.turn();
        who
    }
}

const LEFT: &str = "[lior - disconnected from the server!]\n";
const JOINED: &str = "[lior - connected to the server!]\n";

#[test]
fn a_second_log_in_wins_once_the_first_is_lost() {
    let mut play = Play::new();
    let (dana, old) = (play.log_in("dana", 1), play.log_in("lior", 2));
    play.say(&dana, "are you there?");
    assert_eq!(dana.heard(), format!("True\n{JOINED}"));
    let unheard = old.heard().len() as u64 - "True\n".len() as u64;
    let slack = limits::GHOST_SLACK.as_secs();
    // It was idle for an hour before that; then it is silent for longer and longer.
    for (seconds, silence) in [(0, 3_600), (9, 9), (0, 0)] {
        play.now += Duration::from_secs(seconds);
        old.is_silent_for(silence, unheard);
        let newcomer = play.log_in("lior", 2);
        assert_eq!(newcomer.heard(), "False\n", "{seconds} s later");
        assert_eq!(dana.heard(), "");
    }
    play.now += Duration::from_secs(1 + slack);
    old.is_silent_for(10 + slack, unheard);
    let newcomer = play.log_in("lior", 2);
    assert_eq!(newcomer.heard(), "True\n", "and nothing of who was lost");
    assert_eq!(dana.heard(), format!("{LEFT}{JOINED}"));
    assert_eq!(old.heard(), "");
    assert!(old.pipe.borrow().closed && play.server.is_in_room(newcomer.id));
    // What was on its way from it.
    play.say(&old, "back again");
    assert_eq!((dana.heard(), newcomer.heard()), (String::new(), String::new()));
    play.say(&newcomer, "here I am");
    assert_eq!(dana.heard(), "here I am - (lior)\n");
    assert_eq!(play.server.census().members, 2);
}

#[test]
fn who_is_heard_of_or_has_acknowledged_all_that_is_old_is_not_lost() {
    let mut play = Play::new();
    let (dana, old) = (play.log_in("dana", 1), play.log_in("lior", 2));
    play.say(&dana, "one");
    play.now += Duration::from_secs(60);
    play.say(&dana, "two");
    let latest = "two - (dana)\n".len() as u64;
    old.is_silent_for(60, latest);
    assert_eq!(play.log_in("lior", 2).heard(), "False\n", "on its way just now");
    old.is_silent_for(9, latest + 1);
    assert_eq!(play.log_in("lior", 2).heard(), "False\n", "acknowledges, if not all");
    old.pipe.borrow_mut().unacknowledged = None;
    play.now += Duration::from_secs(60);
    assert_eq!(play.log_in("lior", 2).heard(), "False\n", "idle");
    assert!(play.server.is_in_room(old.id));
}

#[test]
fn a_wrong_password_wins_nothing() {
    let mut play = Play::new();
    let old = play.log_in("lior", 2);
    old.is_silent_for(20, 100);
    play.now += Duration::from_secs(20);
    let pipe = Rc::new(RefCell::new(Pipe::default()));
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let id = play.server.accept(Socket(Rc::clone(&pipe)), peer, play.now);
    let guesser = Somebody { pipe, id };
    play.say(&guesser, "[NEW]:login:lior:lioruser:guess");
    play.server.verdict(id, Verdict::LogInRefused, play.now);
    play.turn();
    assert_eq!(guesser.heard(), "False\n");
    assert!(play.server.is_in_room(old.id));
}
