//! Floods: connections that come and go, and log-ins with wrong passwords.
//!
//! Knows sockets and the shape of a log-in. Both are bounded: the one by a rate, the other
//! by a count of guessers, each of whom waits for the answer.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// Connections that are open at a time, at most.
const OPEN_MAX: usize = 64;
/// Source addresses they come from in turn: a connection that is closed in order keeps its
/// port for a minute.
const ADDRESSES: u64 = 200;
/// What every other one says.
const GARBAGE: &[u8] = b"GET / HTTP/1.1\r\nHost: example\r\n\xff\xfe\x00\x1b[2J\r\n\r\n";

/// Connections that come, say nothing or garbage, and go.
#[derive(Debug)]
pub struct Connections {
    port: u16,
    interval: Duration,
    next_at: Instant,
    open: std::collections::VecDeque<TcpStream>,
    made: u64,
}

impl Connections {
    /// So many a second, from `now` on.
    pub fn new(port: u16, per_second: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / per_second;
        Self { port, interval, next_at: now, open: std::collections::VecDeque::new(), made: 0 }
    }

    /// How many there were.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Makes the one that is due, and closes the oldest.
    ///
    /// # Errors
    /// It cannot connect.
    pub fn step(&mut self) -> io::Result<bool> {
        let now = Instant::now();
        if now < self.next_at {
            return Ok(false);
        }
        // What could not be made in time is left out, not caught up with.
        self.next_at = (self.next_at + self.interval).max(now);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let source = Ipv4Addr::new(127, 0, 1, 1 + (self.made % ADDRESSES) as u8);
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).into())?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from(socket);
        if self.made % 2 == 1 {
            // The server may have closed it, which is its good right.
            let _ = stream.write(GARBAGE);
        }
        self.made += 1;
        self.open.push_back(stream);
        if self.open.len() > OPEN_MAX {
            self.open.pop_front();
        }
        Ok(true)
    }
}

/// Log-ins with wrong passwords, each guesser again as soon as it was refused.
///
/// The accounts do not exist: what the server then verifies costs what a real hash costs,
/// unlike the cheap ones of the bench's own accounts.
#[derive(Debug)]
pub struct WrongLogIns {
    port: u16,
    count: usize,
    guessers: Vec<TcpStream>,
    /// Whose answer is looked for next.
    next: usize,
    refused: u64,
}

impl WrongLogIns {
    /// `count` guessers.
    pub fn new(port: u16, count: usize) -> Self {
        Self { port, count, guessers: Vec::new(), next: 0, refused: 0 }
    }

    /// How many were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Opens one, or looks for the answer to one.
    ///
    /// # Errors
    /// It cannot connect, or hears anything but a refusal.
    pub fn step(&mut self) -> io::Result<bool> {
        if self.guessers.len() < self.count {
            self.guessers.push(guess(self.port, self.guessers.len())?);
            return Ok(true);
        }
        let guesser = self.next;
        self.next = (self.next + 1) % self.count;
        let mut answer = [0; 64];
        match self.guessers[guesser].read(&mut answer) {
            Ok(count) if &answer[..count] == b"False\n" => {
                self.refused += 1;
                // Whoever is refused is also closed.
                self.guessers[guesser] = guess(self.port, guesser)?;
                Ok(true)
            }
            Ok(count) => {
                let heard = String::from_utf8_lossy(&answer[..count]).into_owned();
                Err(io::Error::other(format!("a wrong log-in was answered {heard:?}")))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn guess(port: u16, guesser: usize) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    // Short enough to leave in one write.
    stream
        .write_all(format!("[NEW]:login:g{guesser}:guess{guesser:05}:wrong-guess\n").as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
