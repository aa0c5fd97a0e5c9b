//! The event loop: one poll, one thread, a thin shell around the turn.
//!
//! The only file that names `mio::Poll`, `Token` and `Events`. Knows readiness and the
//! order of a turn. Knows not what a message means: nothing is decided here.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener as MioListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::accepting::{Accepting, Listener};
use super::acknowledgements;
use super::connection::{Transport, Unacknowledged};
use super::mailbox::{Mail, Mailbox, Postbox, mailbox};
use super::operating::Outcome;
use super::turn::Server;
use crate::accounts::records::{Kept, Record, UnixSeconds};
use crate::accounts::{Accounts, Notice, Verdict};
use crate::limits;
use crate::operator::{Answer, Errand};
use crate::room::ClientId;

const LISTENER: Token = Token(usize::MAX);
const MAILBOX: Token = Token(usize::MAX - 1);

// Half a token must hold as many generations as there will be connections.
const _: () = assert!(usize::BITS >= 64, "chinwag needs a 64-bit system");

/// A token is a slot and a generation: half the bits each, so that an event meant for a
/// closed connection finds nobody.
fn token(client: ClientId) -> Token {
    Token((client.generation as usize) << (usize::BITS / 2) | client.slot as usize)
}

fn client(token: Token) -> ClientId {
    let slot = token.0 & (usize::MAX >> (usize::BITS / 2));
    ClientId { slot: slot as u32, generation: (token.0 >> (usize::BITS / 2)) as u32 }
}

impl Transport for TcpStream {
    fn shut_down_write(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }

    fn has_failed(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }

    fn unacknowledged(&self) -> Option<Unacknowledged> {
        let (here, there) = (self.local_addr().ok()?, self.peer_addr().ok()?);
        acknowledgements::unacknowledged(here, there)
    }
}

impl Listener<TcpStream> for MioListener {
    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self)?;
        // Elsewhere a connection has inherited the options of the listener.
        #[cfg(not(target_os = "linux"))]
        let _ = super::bind::configure(&socket2::SockRef::from(&stream));
        Ok((stream, peer))
    }
}

/// The poll and what is registered with it.
#[derive(Debug)]
pub struct EventLoop {
    poll: Poll,
    listener: MioListener,
    mailbox: Mailbox,
    server: Server<TcpStream>,
}

impl EventLoop {
    /// A loop that accepts from `listener`, and what other threads post to it.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(listener: TcpListener, server: Server<TcpStream>) -> io::Result<(Self, Postbox)> {
        let poll = Poll::new()?;
        let mut listener = MioListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (mailbox, postbox) = mailbox(&poll, MAILBOX)?;
        Ok((Self { poll, listener, mailbox, server }, postbox))
    }

    /// Goes on from what was kept before the start.
    pub fn restore(&mut self, kept: Kept) {
        self.server.set_wall_clock(wall_clock());
        self.server.restore(kept);
    }

    /// Turns until the server is done.
    ///
    /// # Errors
    /// The poll fails.
    pub fn run(mut self, accounts: Option<&Accounts<ClientId>>) -> io::Result<()> {
        let mut events = Events::with_capacity(limits::EVENTS_MAX);
        let mut accepting = Accepting::default();
        loop {
            let timeout = self.timeout(&accepting, Instant::now());
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            let now = Instant::now();
            self.server.set_wall_clock(wall_clock());
            for event in &events {
                match event.token() {
                    LISTENER => accepting.note(),
                    // Drained in any case: one look costs less than a flag.
                    MAILBOX => {}
                    token => self.server.note(
                        client(token),
                        event.is_readable(),
                        event.is_writable(),
                        event.is_read_closed() || event.is_write_closed() || event.is_error(),
                    ),
                }
            }
            for mail in self.mailbox.drain() {
                match mail {
                    Mail::Accounts(Notice::Verdict { client, verdict }) => {
                        self.server.verdict(client, verdict, now);
                    }
                    Mail::Accounts(Notice::Removed(account)) => {
                        self.server.account_removed(account, now);
                    }
                    Mail::Operator(Errand { command, reply }) => {
                        let outcome = self.server.operate(&command, now);
                        answer(outcome, reply, accounts);
                    }
                    Mail::ShutDown => self.server.shut_down(now),
                }
            }
            let registry = self.poll.registry();
            let both = Interest::READABLE | Interest::WRITABLE;
            let register =
                |socket: &mut TcpStream, client| registry.register(socket, token(client), both);
            accepting.accept(&self.listener, &mut self.server, register, now);
            self.server.turn(now);
            self.submit_jobs(accounts, now);
            self.hand_over_records(accounts);
            if self.server.is_finished(now) {
                return Ok(());
            }
        }
    }

    fn timeout(&mut self, accepting: &Accepting, now: Instant) -> Option<Duration> {
        if self.server.has_work(now) || accepting.has_work(&mut self.server, now) {
            return Some(Duration::ZERO);
        }
        let deadline = self.server.deadline(now).into_iter().chain(accepting.deadline(now)).min();
        deadline.map(|at| at.saturating_duration_since(now))
    }

    fn hand_over_records(&mut self, accounts: Option<&Accounts<ClientId>>) {
        let mut unwritten = 0;
        for (said, forget_before) in self.server.take_records() {
            let record = Record::Said { said, forget_before };
            let taken = accounts.is_some_and(|accounts| accounts.record(record).is_ok());
            unwritten += u64::from(!taken);
        }
        self.server.note_unwritten(unwritten);
    }

    fn submit_jobs(&mut self, accounts: Option<&Accounts<ClientId>>, now: Instant) {
        let refused: Vec<ClientId> = self
            .server
            .take_jobs()
            .filter_map(|(client, job)| {
                let accepted =
                    accounts.is_some_and(|accounts| accounts.submit(client, job).is_ok());
                (!accepted).then_some(client)
            })
            .collect();
        // The room never has more jobs under way than the queue takes: the threads are gone.
        for client in refused {
            self.server.verdict(client, Verdict::Failed, now);
        }
    }
}

/// Answers the operator: at once, or, if something is to outlive the server, by whoever has
/// written it down.
fn answer(outcome: Outcome, reply: SyncSender<Answer>, accounts: Option<&Accounts<ClientId>>) {
    let Outcome { answer, change } = outcome;
    let (change, accounts) = match (change, accounts) {
        (Some(change), Some(accounts)) => (change, accounts),
        (Some(_), None) => return tell(&reply, answer, "; until the server ends: nothing is kept"),
        (None, _) => return tell(&reply, answer, ""),
    };
    let acknowledge = Box::new(move |stored: bool| {
        let lost = "; until the server ends: it could not be written down";
        tell(&reply, answer, if stored { "" } else { lost });
    });
    if let Err(Record::Sanction(_, acknowledge)) =
        accounts.record(Record::Sanction(change, acknowledge))
    {
        acknowledge(false);
    }
}

/// Gives an answer, with something behind it. Whoever asked may have gone.
fn tell(reply: &SyncSender<Answer>, answer: Answer, more: &str) {
    let _ = reply.try_send(Answer { done: answer.done, text: answer.text + more });
}

/// What people's clocks show.
pub(super) fn wall_clock() -> UnixSeconds {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_slot_and_generation() {
        for id in [
            ClientId { slot: 0, generation: 0 },
            ClientId { slot: 7, generation: 3 },
            ClientId { slot: 99_999, generation: 1_000_000 },
        ] {
            assert_eq!(client(token(id)), id);
            assert!(token(id) < MAILBOX);
        }
    }
}
