//! A whole session: bytes of three clients, split anywhere, with time passing, through the
//! server's turn, the room and the outboxes. Counters are compared with a recount.
//!
//! The first byte chooses the protocol. Then each step is a byte that says who and what,
//! and one that says how much. From 0xA0 on a step is no client's: somebody acknowledges
//! nothing (0xA0), the clock on the wall is set (0xC0), the operator says a line (0xE0).

#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chinwag::accounts::records::HistoryLimits;
use chinwag::accounts::{AccountId, Job, Verdict};
use chinwag::operator::OperatorCommand;
use chinwag::protocol::Protocol;
use chinwag::room::{ClientId, RoomLimits};
use chinwag::server::connection::{Transport, Unacknowledged};
use chinwag::server::pacing::MessageRate;
use chinwag::server::settings::Settings;
use chinwag::server::turn::Server;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Default)]
struct Pipe {
    incoming: VecDeque<u8>,
    ended: bool,
    space: usize,
    heard: Vec<u8>,
    unacknowledged: Option<Unacknowledged>,
}

#[derive(Debug)]
struct Socket(Rc<RefCell<Pipe>>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.borrow_mut();
        if pipe.incoming.is_empty() && !pipe.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.incoming.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.borrow_mut();
        let taken = bytes.len().min(pipe.space);
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.space -= taken;
        pipe.heard.extend_from_slice(&bytes[..taken]);
        Ok(taken)
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

fn settings(protocol: Protocol) -> Settings {
    Settings {
        protocol,
        room: RoomLimits {
            frame_bytes_max: 1_024,
            log_in_wait: Duration::from_secs(60),
            per_address: 64,
            history: HistoryLimits { messages: 10, bytes: 1_000 },
            history_replayed: 5,
            reply_bytes_max: chinwag::limits::REPLY_BYTES_MAX,
        },
        message_rate: MessageRate { burst: 20, per_second: 10 },
        connections_max: 8,
        queue_soft_bytes: 1_000,
        queue_hard_bytes: 140_000,
        queue_total_bytes: 1 << 20,
        exempt: "none".parse().unwrap_or_else(|_| unreachable!("no addresses at all")),
        exit_when_empty: false,
    }
}

fn verdict(job: &Job) -> Verdict {
    match job {
        Job::SignUp(_) => Verdict::SignedUp,
        Job::LogIn(who) => match who.user_name.bytes().last() {
            Some(byte) if byte.is_ascii_lowercase() => Verdict::LoggedIn(AccountId(byte.into())),
            _ => Verdict::LogInRefused,
        },
        Job::ChangePassword(change) if change.new.len().is_multiple_of(2) => {
            Verdict::PasswordChanged
        }
        Job::ChangePassword(_) => Verdict::PasswordRefused,
    }
}

fuzz_target!(|data: &[u8]| {
    const PROTOCOLS: [Protocol; 4] =
        [Protocol::Accounts, Protocol::Nickname, Protocol::Relay, Protocol::Uppercase];
    let Some((&choice, mut rest)) = data.split_first() else { return };
    let mut server = Server::new(settings(PROTOCOLS[usize::from(choice & 3)]));
    let mut now = Instant::now();
    let clients: [(Rc<RefCell<Pipe>>, ClientId); 3] = std::array::from_fn(|n| {
        let pipe = Rc::new(RefCell::new(Pipe { space: 1 << 20, ..Pipe::default() }));
        let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, n as u8), 1));
        let client = server.accept(Socket(Rc::clone(&pipe)), peer, now);
        (pipe, client)
    });
    while let [what, much, bytes @ ..] = rest {
        rest = bytes;
        let (pipe, client) = &clients[usize::from(what & 3) % 3];
        let much = usize::from(*much);
        match what >> 2 & 7 {
            _ if *what >= 0xe0 => {
                let length = much.min(rest.len());
                let line = String::from_utf8_lossy(&rest[..length]);
                if let Ok(command) = OperatorCommand::parse(&line) {
                    let _ = server.operate(&command, now);
                }
                rest = &rest[length..];
            }
            _ if *what >= 0xc0 => server.set_wall_clock(1_000 * much as i64),
            _ if *what >= 0xa0 => {
                let silence = Duration::from_secs(much as u64);
                let unacknowledged = Unacknowledged { bytes: much as u64, silence };
                pipe.borrow_mut().unacknowledged = (much > 0).then_some(unacknowledged);
            }
            0..=3 => {
                let length = much.min(rest.len());
                if !pipe.borrow().ended {
                    pipe.borrow_mut().incoming.extend(&rest[..length]);
                }
                rest = &rest[length..];
                server.note(*client, true, false, false);
            }
            4 => now += Duration::from_millis(much as u64),
            5 => now += Duration::from_secs(much as u64),
            6 if much == 0 => pipe.borrow_mut().ended = true,
            6 => pipe.borrow_mut().space = much,
            _ => server.note(*client, much & 1 != 0, much & 2 != 0, much & 4 != 0),
        }
        turns(&mut server, now);
    }
    // In the end everyone leaves, and nothing is left of them.
    for (pipe, client) in &clients {
        let mut pipe = pipe.borrow_mut();
        (pipe.ended, pipe.space) = (true, usize::MAX);
        server.note(*client, true, true, true);
    }
    for _ in 0..10_000 {
        turns(&mut server, now);
        if server.is_shutting_down() && server.connection_count() == 0 {
            return;
        }
        match server.deadline(now) {
            Some(at) => now = now.max(at),
            None => break,
        }
    }
    assert_eq!(server.census(), Default::default());
});

fn turns(server: &mut Server<Socket>, now: Instant) {
    for round in 0.. {
        assert!(round < 1_000, "turns without end");
        server.turn(now);
        let mut number = 0;
        for (said, forget_before) in server.take_records() {
            assert!(said.number > number && forget_before <= said.number);
            number = said.number;
        }
        let jobs: Vec<(ClientId, Job)> = server.take_jobs().collect();
        for (client, job) in &jobs {
            server.verdict(*client, verdict(job), now);
        }
        if jobs.is_empty() && !server.has_work(now) {
            break;
        }
    }
}
