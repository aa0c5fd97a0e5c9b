//! Many connections to one server, on one thread: connecting, joining, speaking, hearing.
//!
//! Knows mio and sockets. What is heard in the chat goes to the ledger unseen; what is
//! measured, and for how long, is decided elsewhere.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::dialect::SPEAKERS_MAX;
use crate::ledger::{Failure, Heard, Ledger};
use crate::subjects::Subject;

/// Space for one read: more than a window of messages.
const READ_BYTES_MAX: usize = 256 * 1024;
/// Connections of one source address, well below what the ephemeral ports allow.
const CLIENTS_PER_ADDRESS: usize = 2_000;
/// Servers with a smaller backlog get this long per connection that does not join.
const BACKLOG_SMALL: usize = 128;
const ACCEPT_WAIT: Duration = Duration::from_micros(200);
/// A room that was silent this long after the last log-in has settled.
const SETTLED: Duration = Duration::from_millis(60);

/// How much of what is heard before the welcome is kept.
const ARRIVAL_BYTES_KEPT: usize = 120;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not accepted yet; whether it is to join at once.
    Connecting {
        join: bool,
    },
    Connected,
    Joining,
    Joined,
}

#[derive(Debug)]
struct Member {
    stream: TcpStream,
    stage: Stage,
    heard: Heard,
    /// The beginning of a delivery whose rest has not come.
    leftover: Vec<u8>,
    /// What a full socket did not take.
    outgoing: Vec<u8>,
}

/// Connections to one server. Members `0..chatting` are in the room, the others idle.
#[derive(Debug)]
pub struct Crowd {
    subject: Subject,
    port: u16,
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    /// How many are to join.
    chatting: usize,
    /// How many are connected, and how many have joined.
    connected: usize,
    joined: usize,
    chat: bool,
    buffer: Vec<u8>,
    epoch: Instant,
    /// What was said and heard.
    pub ledger: Ledger,
}

impl Crowd {
    /// Nobody yet, of `chatting` members.
    pub fn new(subject: Subject, port: u16, chatting: usize) -> io::Result<Self> {
        Ok(Self {
            subject,
            port,
            poll: Poll::new()?,
            events: Events::with_capacity(1_024),
            members: Vec::new(),
            chatting,
            connected: 0,
            joined: 0,
            chat: false,
            buffer: vec![0; READ_BYTES_MAX],
            epoch: Instant::now(),
            ledger: Ledger::new(subject, chatting),
        })
    }

    /// Connects members up to `count`; each joins at once if `join`. At most `in_flight`
    /// are on their way at a time. Returns how long it took until all had arrived.
    ///
    /// # Errors
    /// A connection fails, or not all arrive by `deadline`.
    pub fn arrive(
        &mut self,
        count: usize,
        join: bool,
        in_flight: usize,
        deadline: Instant,
    ) -> Result<Duration, Failure> {
        let start = Instant::now();
        self.members.reserve_exact(count.saturating_sub(self.members.len()));
        loop {
            let arrived = if join { self.joined } else { self.connected };
            if arrived >= count {
                return Ok(start.elapsed());
            }
            while self.members.len() < count && self.members.len() - arrived < in_flight {
                self.connect(join)?;
            }
            self.turn(Some(Duration::from_millis(100)))?;
            if !join && in_flight < BACKLOG_SMALL {
                // The kernel says that a connection stands, not the server that it has
                // taken it: give it the time.
                thread::sleep(ACCEPT_WAIT * in_flight as u32);
            }
            if Instant::now() > deadline {
                return Err(Failure::Deadline { missing: (count - arrived) as u64 });
            }
        }
    }

    /// Lets members who are only connected join, `in_flight` at a time.
    ///
    /// # Errors
    /// A connection fails, or not all join by `deadline`.
    pub fn join(&mut self, in_flight: usize, deadline: Instant) -> Result<(), Failure> {
        let mut asked = self.joined;
        while self.joined < self.chatting {
            while asked < self.chatting && asked - self.joined < in_flight {
                self.greet(asked)?;
                asked += 1;
            }
            self.turn(Some(Duration::from_millis(100)))?;
            if Instant::now() > deadline {
                return Err(Failure::Deadline { missing: (self.chatting - self.joined) as u64 });
            }
        }
        Ok(())
    }

    /// Reads what is still said about the log-ins until the room is silent. From then on
    /// everything heard is checked.
    ///
    /// # Errors
    /// A connection fails, or the room is not silent by `deadline`.
    pub fn settle(&mut self, deadline: Instant) -> Result<(), Failure> {
        while self.turn(Some(SETTLED))? {
            if Instant::now() > deadline {
                return Err(Failure::Deadline { missing: 0 });
            }
        }
        for member in &mut self.members {
            member.leftover = Vec::new();
        }
        self.chat = true;
        Ok(())
    }

    fn connect(&mut self, join: bool) -> Result<(), Failure> {
        let index = self.members.len();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = match index / CLIENTS_PER_ADDRESS {
            0 => TcpStream::connect(server)?,
            address => {
                // Another address of the loopback network has ephemeral ports of its own.
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                socket.set_nonblocking(true)?;
                let source = Ipv4Addr::new(127, 0, 0, 1 + address as u8);
                socket.bind(&SocketAddr::from((source, 0)).into())?;
                match socket.connect(&server.into()) {
                    Err(error)
                        if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) =>
                    {
                        return Err(error.into());
                    }
                    _ => TcpStream::from_std(socket.into()),
                }
            }
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest)?;
        if index < SPEAKERS_MAX {
            stream.set_nodelay(true)?;
        }
        self.members.push(Member {
            stream,
            stage: Stage::Connecting { join },
            heard: Heard::default(),
            leftover: Vec::new(),
            outgoing: Vec::new(),
        });
        Ok(())
    }

    fn greet(&mut self, index: usize) -> Result<(), Failure> {
        let member = &mut self.members[index];
        member.stage = Stage::Joining;
        member.outgoing = self.subject.hello(index);
        self.flush(index)
    }

    /// Waits for at most `wait`, and reads what has come. Whether anything had.
    ///
    /// # Errors
    /// A connection fails, or a delivery is wrong.
    pub fn turn(&mut self, wait: Option<Duration>) -> Result<bool, Failure> {
        if let Err(error) = self.poll.poll(&mut self.events, wait) {
            if error.kind() == io::ErrorKind::Interrupted {
                return Ok(true);
            }
            return Err(error.into());
        }
        // Taken out for the turn, since reading borrows everything else.
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let outcome = events.iter().try_for_each(|event| {
            let Token(index) = event.token();
            if event.is_writable() {
                self.writable(index)?;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(index)?;
            }
            Ok(())
        });
        let any = !events.is_empty();
        self.events = events;
        outcome.map(|()| any)
    }

    fn writable(&mut self, index: usize) -> Result<(), Failure> {
        let member = &mut self.members[index];
        if let Stage::Connecting { join } = member.stage {
            if let Some(error) = member.stream.take_error()? {
                return Err(error.into());
            }
            if member.stream.peer_addr().is_err() {
                return Ok(());
            }
            self.connected += 1;
            member.stage = Stage::Connected;
            return if join { self.greet(index) } else { Ok(()) };
        }
        if member.outgoing.is_empty() { Ok(()) } else { self.flush(index) }
    }

    /// Reads until a read does not fill the buffer: what comes later is a new event.
    fn read(&mut self, index: usize) -> Result<(), Failure> {
        let member = &mut self.members[index];
        loop {
            let kept = member.leftover.len();
            self.buffer[..kept].copy_from_slice(&member.leftover);
            let bytes = match member.stream.read(&mut self.buffer[kept..]) {
                Ok(0) => {
                    let last = String::from_utf8_lossy(&member.leftover).into_owned();
                    return Err(Failure::Closed { member: index, last });
                }
                Ok(count) => &self.buffer[..kept + count],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let rest = if self.chat {
                let now = match self.ledger.latencies {
                    Some(_) => nanoseconds(self.epoch),
                    None => 0,
                };
                &bytes[self.ledger.hear(index, &mut member.heard, bytes, now)?..]
            } else if member.stage == Stage::Joined {
                &[]
            } else if member.stage == Stage::Joining
                && memchr::memmem::find(bytes, self.subject.welcome()).is_some()
            {
                member.stage = Stage::Joined;
                self.joined += 1;
                &[]
            } else {
                // The welcome may come in pieces; and an error message is worth quoting.
                &bytes[bytes.len().saturating_sub(ARRIVAL_BYTES_KEPT)..]
            };
            member.leftover.clear();
            member.leftover.extend_from_slice(rest);
            if bytes.len() < READ_BYTES_MAX {
                return Ok(());
            }
        }
    }

    /// Nanoseconds since this crowd began: the clock of all its latencies.
    pub fn now(&self) -> u64 {
        nanoseconds(self.epoch)
    }

    /// The next message of `speaker`, due at `due`. It leaves with `send`.
    ///
    /// # Errors
    /// Too many messages under way.
    pub fn say(&mut self, speaker: usize, due: u64) -> Result<(), Failure> {
        let member = &mut self.members[speaker];
        self.ledger.say(speaker, &mut member.heard, due, &mut member.outgoing)
    }

    /// Sends what `speaker` said since the last time, in one write.
    ///
    /// # Errors
    /// The connection fails.
    pub fn send(&mut self, speaker: usize) -> Result<(), Failure> {
        if self.members[speaker].outgoing.is_empty() { Ok(()) } else { self.flush(speaker) }
    }

    fn flush(&mut self, index: usize) -> Result<(), Failure> {
        let member = &mut self.members[index];
        while !member.outgoing.is_empty() {
            match member.stream.write(&member.outgoing) {
                Ok(count) => drop(member.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// When everything said was heard: see `Ledger::check`; and that nobody heard more.
    ///
    /// # Errors
    /// Something is missing or too much, or the orders differ.
    pub fn check(&self) -> Result<(), Failure> {
        let chatting = &self.members[..self.chatting];
        self.ledger.check(&mut chatting.iter().map(|member| &member.heard))?;
        match chatting.iter().position(|member| !member.leftover.is_empty()) {
            Some(member) => {
                let heard = String::from_utf8_lossy(&chatting[member].leftover).into_owned();
                Err(Failure::WrongDelivery { member, heard })
            }
            None => Ok(()),
        }
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
