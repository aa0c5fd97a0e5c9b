//! Fake sockets and a fake listener, as edge-triggered as the real ones: told once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use chinwag::server::accepting::Listener;
use chinwag::server::connection::{Transport, Unacknowledged};

use super::rng::Rng;

/// What all sockets share: chance, faults, the time, and the trace.
#[derive(Debug)]
pub struct Net {
    pub rng: Rng,
    /// Chaos: short reads and writes, interruptions, refusals.
    pub faulty: bool,
    /// Since the simulation began.
    pub time: Duration,
    pub trace: u64,
    /// Of the relay: who sent what, in the order in which the server read it.
    pub passed: Vec<(usize, Vec<u8>)>,
    pub log_reads: bool,
    /// Bytes that all sockets took of late, and when.
    pub recent: VecDeque<(Duration, usize)>,
    /// Sockets that the server holds, and how many it may.
    pub open: usize,
    pub descriptors: usize,
}

pub type SharedNet = Rc<RefCell<Net>>;

impl Net {
    /// How many bytes all sockets took since `time`, which is not long ago.
    pub fn written_since(&self, time: Duration) -> usize {
        self.recent.iter().filter(|(at, _)| *at >= time).map(|(_, bytes)| bytes).sum()
    }

    fn wrote(&mut self, bytes: usize) {
        match self.recent.back_mut() {
            Some((at, sum)) if *at == self.time => *sum += bytes,
            _ => self.recent.push_back((self.time, bytes)),
        }
        let old = self.time.saturating_sub(Duration::from_secs(20));
        while self.recent.front().is_some_and(|(at, _)| *at < old) {
            self.recent.pop_front();
        }
    }

    pub fn note(&mut self, what: u64) {
        self.trace = (self.trace ^ what).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
    }
}

/// One write that the server made.
#[derive(Debug, Clone)]
pub struct Written {
    pub at: Duration,
    pub offered: Vec<u8>,
    pub taken: usize,
}

/// How long bytes are on their way.
const FLIGHT: Duration = Duration::from_millis(200);

/// One connection between its two ends.
#[derive(Debug, Default)]
pub struct Pipe {
    pub id: usize,
    /// With the server's kernel, not read yet.
    pub to_server: VecDeque<u8>,
    /// The peer has finished sending; the server has yet to read so.
    pub ended: bool,
    pub reset: bool,
    /// All that the server's kernel took.
    pub heard: Vec<u8>,
    /// The same, write by write, if somebody looks at the manners.
    pub writes: Vec<Written>,
    pub log_writes: bool,
    /// Bytes the peer has yet to take from its kernel, and how many that holds.
    pub untaken: usize,
    pub capacity: usize,
    /// No short reads: whole frames must arrive at once.
    pub gentle: bool,
    /// There was no space for what the server had.
    pub lagged: bool,
    pub wants_space: bool,
    /// An event is due.
    pub armed: bool,
    pub write_shut: bool,
    /// Since when nothing comes from the peer any more, as if its cable were pulled.
    pub dead_since: Option<Duration>,
    /// The latest bytes written, which are on their way or will never arrive: since when,
    /// and how many.
    pub flight: (Duration, usize),
    /// When anything came from the peer last, be it an acknowledgement.
    pub heard_from: Duration,
    /// The server has dropped its end.
    pub closed: bool,
    /// How much the relay had passed on when the server read that the peer has finished.
    pub ended_at: Option<usize>,
}

impl Pipe {
    /// What the poll would say of it.
    pub fn mask(&self) -> (bool, bool, bool) {
        let gone = self.ended || self.reset;
        (!self.to_server.is_empty() || gone, self.untaken < self.capacity || self.reset, gone)
    }

    /// Its cable is pulled. What the server's kernel takes from here on is lost.
    pub fn die(&mut self, time: Duration) {
        self.dead_since = Some(time);
        self.lagged = true;
        if self.flight.0 + FLIGHT < time {
            self.flight = (time, 0);
        }
    }

    /// Since when bytes have been on their way to somebody who is dead.
    pub fn unheard_since(&self) -> Option<Duration> {
        self.dead_since.filter(|_| self.flight.1 > 0).map(|_| self.flight.0)
    }

    fn wrote(&mut self, bytes: usize, time: Duration) {
        if self.dead_since.is_none() {
            self.heard_from = time;
        }
        if (self.dead_since.is_none() && self.flight.0 + FLIGHT < time) || self.flight.1 == 0 {
            self.flight = (time, 0);
        }
        self.flight.1 += bytes;
    }

    fn unacknowledged(&self, time: Duration) -> Option<Unacknowledged> {
        let (since, bytes) = self.flight;
        let arrived = self.dead_since.is_none() && since + FLIGHT < time;
        let silence = time.saturating_sub(self.heard_from);
        (bytes > 0 && !arrived).then_some(Unacknowledged { bytes: bytes as u64, silence })
    }

    /// The peer takes `bytes` from its kernel.
    pub fn take(&mut self, bytes: usize) {
        if self.dead_since.is_some() {
            return;
        }
        self.untaken -= bytes.min(self.untaken);
        if bytes > 0 && std::mem::take(&mut self.wants_space) {
            self.armed = true;
        }
    }
}

pub type SharedPipe = Rc<RefCell<Pipe>>;

/// The server's end.
#[derive(Debug)]
pub struct Socket {
    pub pipe: SharedPipe,
    pub net: SharedNet,
}

impl Socket {
    pub fn new(pipe: SharedPipe, net: SharedNet) -> Self {
        net.borrow_mut().open += 1;
        Self { pipe, net }
    }

    fn accept(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let (mut pipe, mut net) = (self.pipe.borrow_mut(), self.net.borrow_mut());
        assert!(!pipe.write_shut, "wrote after shutting the write side");
        if net.faulty && net.rng.once_in(40) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if pipe.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(length > 0, "wrote nothing");
        let mut most = pipe.capacity.saturating_sub(pipe.untaken);
        if net.faulty && pipe.capacity < usize::MAX {
            most = match net.rng.below(24) {
                0 => most.min(1),
                1 => most.min(net.rng.below(40)),
                2 => 0,
                _ => most,
            };
        }
        let taken = length.min(most);
        if taken < length {
            pipe.lagged = true;
            pipe.wants_space = true;
            // Space that was there all along is told of, late or not.
            pipe.armed |= pipe.untaken < pipe.capacity;
        }
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let offered: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        pipe.heard.extend_from_slice(&offered[..taken]);
        pipe.untaken = pipe.untaken.saturating_add(taken);
        pipe.wrote(taken, net.time);
        net.wrote(taken);
        if pipe.log_writes {
            pipe.writes.push(Written { at: net.time, offered, taken });
        }
        let at = net.time.as_micros() as u64;
        net.note(at ^ ((taken as u64) << 40) ^ ((pipe.id as u64) << 20));
        Ok(taken)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut pipe, mut net) = (self.pipe.borrow_mut(), self.net.borrow_mut());
        if net.faulty && net.rng.once_in(40) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if pipe.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipe.to_server.is_empty() {
            if pipe.ended {
                pipe.ended_at = Some(net.passed.len());
                return Ok(0);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut most = buffer.len().min(pipe.to_server.len());
        if net.faulty && !pipe.gentle {
            most = match net.rng.below(8) {
                0 => 1,
                1 => most.min(net.rng.range(1, 30)),
                _ => most,
            };
        }
        for (to, byte) in buffer.iter_mut().zip(pipe.to_server.drain(..most)) {
            *to = byte;
        }
        // A short read counts as all there was: what is left is told of as if it came later.
        if most < buffer.len() && !pipe.to_server.is_empty() {
            pipe.armed = true;
        }
        if net.log_reads {
            net.passed.push((pipe.id, buffer[..most].to_vec()));
        }
        let at = net.time.as_micros() as u64;
        net.note(!at ^ ((most as u64) << 40) ^ ((pipe.id as u64) << 20));
        Ok(most)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.accept(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.accept(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn shut_down_write(&self) -> io::Result<()> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.reset {
            return Err(io::ErrorKind::NotConnected.into());
        }
        pipe.write_shut = true;
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.pipe.borrow().reset
    }

    fn unacknowledged(&self) -> Option<Unacknowledged> {
        self.pipe.borrow().unacknowledged(self.net.borrow().time)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.pipe.borrow_mut().closed = true;
        self.net.borrow_mut().open -= 1;
    }
}

/// The listener: a backlog, and errors.
#[derive(Debug)]
pub struct FakeListener {
    pub net: SharedNet,
    pub backlog: RefCell<VecDeque<(SharedPipe, SocketAddr)>>,
}

impl Listener<Socket> for FakeListener {
    fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let mut backlog = self.backlog.borrow_mut();
        {
            let mut net = self.net.borrow_mut();
            if net.faulty && net.rng.once_in(40) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if backlog.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if net.open >= net.descriptors {
                // EMFILE
                return Err(io::Error::from_raw_os_error(24));
            }
            if net.faulty && net.rng.once_in(40) {
                if let Some((pipe, _)) = backlog.pop_front() {
                    pipe.borrow_mut().closed = true;
                }
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        let Some((pipe, peer)) = backlog.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        Ok((Socket::new(pipe, Rc::clone(&self.net)), peer))
    }
}
