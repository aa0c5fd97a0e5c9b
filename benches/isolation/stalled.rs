//! Clients that join and never read, and join again when the server has closed them.
//!
//! Knows sockets and how to log in. That it was closed no such client can see (its last
//! words wait behind what it does not read): it learns it from the notice that the others
//! hear.
//!
//! At the rate of people talking it takes minutes until the kernel's buffers are full and
//! the server's queue begins to grow. So the kernel's are kept small, and each client asks
//! at once for as many error messages as fill the rest: it is over the soft limit, short of
//! the hard one, for as long as the server bears it.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::ledger::Ledger;
use crate::subjects::Subject;

/// A line that is answered with an error to the speaker alone, and the length of that.
const ANSWERED_LINE: &[u8] = b"/x\n";
const ANSWER_BYTES: usize =
    b"[ERROR] no such command; /help lists them, // at the start says a slash\n".len();
/// Bytes asked for: more than the kernel's buffers and the soft limit (64 KiB), less than
/// the hard limit alone (256 KiB).
const ASKED_BYTES: usize = 160 * 1024;
/// What the kernel is asked to buffer for the client; it takes twice its least instead.
const RECEIVE_BYTES: usize = 2_048;
/// The longest segment the client takes: the server's kernel sizes its buffer by it.
const SEGMENT_BYTES: u32 = 536;

/// One of them.
#[derive(Debug)]
struct Client {
    stream: Option<TcpStream>,
    /// What it has yet to send.
    outgoing: Vec<u8>,
    /// When it connects next.
    connects_at: Option<Instant>,
}

/// Clients that never read.
#[derive(Debug)]
pub struct Stalled {
    port: u16,
    /// The index of the first.
    first: usize,
    clients: Vec<Client>,
    /// Those with something to do.
    pending: Vec<usize>,
    closed: u64,
}

impl Stalled {
    /// `count` of them, the first with the index `first`, who come one by one over `over`.
    pub fn new(port: u16, first: usize, count: usize, over: Duration, now: Instant) -> Self {
        let client = |index| Client {
            stream: None,
            outgoing: Vec::new(),
            connects_at: Some(now + over * index as u32 / count as u32),
        };
        Self {
            port,
            first,
            clients: (0..count).map(client).collect(),
            // The next is taken from the end.
            pending: (0..count).rev().collect(),
            closed: 0,
        }
    }

    /// How many were closed by the server.
    pub fn closed(&self) -> u64 {
        self.closed
    }

    /// Connects or sends for one of them.
    ///
    /// # Errors
    /// It cannot connect.
    pub fn step(&mut self, ledger: &mut Ledger) -> io::Result<bool> {
        if let Some(visits) = &mut ledger.visits {
            for index in visits.left.drain(..) {
                let Some(client) = self.clients.get_mut(index - self.first) else { continue };
                if client.stream.take().is_some() {
                    self.closed += 1;
                    client.connects_at = Some(Instant::now());
                    self.pending.insert(0, index - self.first);
                }
            }
        }
        let Some(&place) = self.pending.last() else { return Ok(false) };
        let client = &mut self.clients[place];
        if let Some(at) = client.connects_at {
            if at > Instant::now() {
                return Ok(false);
            }
            client.connects_at = None;
            client.stream = Some(connect(self.port)?);
            client.outgoing = Subject::Accounts.hello(self.first + place);
            client.outgoing.extend(ANSWERED_LINE.repeat(ASKED_BYTES / ANSWER_BYTES));
        }
        let Some(stream) = &mut client.stream else { return Ok(false) };
        match stream.write(&client.outgoing) {
            Ok(count) => drop(client.outgoing.drain(..count)),
            Err(error) if is_later(&error) => {
                // Others have their turn meanwhile.
                self.pending.rotate_right(1);
                return Ok(true);
            }
            // It was closed; the notice about that is still to come.
            Err(_) => client.outgoing.clear(),
        }
        if client.outgoing.is_empty() {
            self.pending.pop();
        }
        Ok(true)
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    socket.set_tcp_mss(SEGMENT_BYTES)?;
    // What the server still has to say to a client that is closed goes with it.
    socket.set_linger(Some(Duration::ZERO))?;
    // On the loopback this takes as long as the system call.
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
