//! One peer: fill, next frame, queue, flush, close.
//!
//! Generic over the transport, so that a simulated socket serves as well as a real one.
//! Knows readiness, bytes, and how a connection ends. Knows no `mio`, no room, and not
//! what a frame means.
//!
//! An idle connection is small: what only a busy one needs is boxed and freed again.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use zeroize::Zeroizing;

use super::broadcasts::{Broadcasts, Format};
use super::outbox::{Flushed, Outbox};
use super::pacing::Activity;
use super::peer::Peer;
pub use super::transport::{Transport, Unacknowledged};
use crate::limits;
use crate::protocol::framing::{Arrival, Completeness, Decoded, Decoder, Framing, OwnHead};
use crate::room::{ClientId, Origin};

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// There may be something to decode.
    Ready,
    /// The connection is lost.
    Lost,
}

/// Where a connection is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Both ways.
    Open,
    /// Its last words are being written.
    Closing,
    /// They are written; what still comes is thrown away, so that no reset destroys them.
    Lingering,
    /// To be removed at the end of the turn.
    Finished,
}

/// One peer.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    generation: u32,
    /// Its place in the dense list of those who hear the room as it is.
    pub member_index: Option<u32>,
    decoder: Decoder,
    phase: Phase,
    /// There may be something to read.
    readable: bool,
    /// The poll has told of an end or a failure: reads must find it, however short they are.
    hung_up: bool,
    /// The peer has finished sending.
    ended: bool,
    /// The socket took less than it was given.
    blocked: bool,
    /// What was kept may hold whole frames.
    undecoded: bool,
    /// Stands in the queue of those to be read.
    pub queued: bool,
    /// Timers that are set, one bit a kind.
    pub timers: u8,
    /// Limits per address do not apply to it.
    exempt: bool,
    /// A bulk sender that waits for a recipient.
    pub held: bool,
    /// It is not heard until it has read more of what it was sent.
    pub must_read_first: bool,
    peer: Peer,
    activity: Option<Box<Activity>>,
    unread: Option<Box<Unread>>,
    outbox: Option<Box<Outbox>>,
    ending: Option<Box<Ending>>,
}

/// Bytes that were read and not consumed. They may hold a password.
#[derive(Debug)]
struct Unread {
    bytes: Zeroizing<Vec<u8>>,
    /// How many of them, from the start, are known to hold no line feed.
    scanned: usize,
    arrived_at: Instant,
}

/// The end of a connection that is being closed.
#[derive(Debug)]
struct Ending {
    until: Instant,
    discarded_bytes: usize,
}

impl<S: Transport> Connection<S> {
    /// A connection that was just accepted.
    pub fn new(
        socket: S,
        generation: u32,
        peer: SocketAddr,
        exempt: bool,
        framing: Framing,
    ) -> Self {
        Self {
            socket,
            generation,
            member_index: None,
            decoder: Decoder::new(framing),
            phase: Phase::Open,
            // Whoever connects usually speaks at once: reading saves a turn.
            readable: true,
            hung_up: false,
            ended: false,
            blocked: false,
            undecoded: false,
            queued: false,
            timers: 0,
            exempt,
            held: false,
            must_read_first: false,
            peer: Peer::new(peer),
            activity: None,
            unread: None,
            outbox: None,
            ending: None,
        }
    }

    /// The identity of this connection in `slot`.
    pub fn id(&self, slot: u32) -> ClientId {
        ClientId { slot, generation: self.generation }
    }

    /// The peer's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer.address()
    }

    /// What the limits per address count it under.
    pub fn origin(&self) -> Origin {
        Origin::of(self.peer().ip(), self.exempt)
    }

    /// How its bytes are cut into frames.
    pub fn framing(&self) -> Framing {
        self.decoder.framing()
    }

    /// Where it is on its way out.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The socket, for registration and for writing broadcasts as they are.
    pub fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// What its own queue holds, if it has one.
    pub fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_deref()
    }

    /// The same, to be changed.
    pub fn outbox_mut(&mut self) -> Option<&mut Outbox> {
        self.outbox.as_deref_mut()
    }

    /// Gives it a queue of its own.
    pub fn set_outbox(&mut self, outbox: Outbox) -> &mut Outbox {
        self.outbox.insert(Box::new(outbox))
    }

    /// Takes its queue away.
    pub fn take_outbox(&mut self) -> Option<Box<Outbox>> {
        self.outbox.take()
    }

    /// Notes what the poll said. Only hints: reads and writes decide.
    pub fn note(&mut self, readable: bool, writable: bool, hung_up: bool) {
        self.readable |= readable || hung_up;
        self.hung_up |= hung_up;
        self.blocked &= !writable;
    }

    /// Whether there is anything to read or to decode.
    pub fn has_input(&self) -> bool {
        (self.readable && !self.ended)
            || self.undecoded
            || (self.ended && self.phase == Phase::Open)
    }

    /// Whether the poll said that the peer is gone.
    pub fn is_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Whether the connection has failed.
    pub fn has_failed(&self) -> bool {
        self.socket.has_failed()
    }

    /// Whether the peer seems to have gone without a word: it has been silent for so long,
    /// and so long ago bytes were written that it has not acknowledged. `broadcasts`: how
    /// many bytes were said to everyone since. What it was told alone is counted here, as far
    /// as it was not an answer: who has asked is heard of.
    ///
    /// Both halves are needed. A peer with nothing to say or to acknowledge is silent for
    /// hours, so that its silence does not accuse it in the moment something is on the way to
    /// it. And a peer that is heard of is alive, whatever it has lost.
    pub fn is_ghost(&self, broadcasts: u64, now: Instant) -> bool {
        let private = self.activity().map_or(0, |activity| activity.private_bytes(now));
        self.socket.unacknowledged().is_some_and(|unacknowledged| {
            // In the order of writing: if there are more of them than were written of late,
            // the first is older.
            unacknowledged.silence >= limits::GHOST_WAIT
                && unacknowledged.bytes > broadcasts + private
        })
    }

    /// Whether the peer has finished sending.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the socket takes no more for now.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// What it has sent of late, if anything.
    pub fn activity(&self) -> Option<&Activity> {
        self.activity.as_deref()
    }

    /// The same, to be counted on.
    pub fn activity_mut(&mut self) -> &mut Activity {
        self.activity.get_or_insert_default()
    }

    /// Whether the limits per address and per client do not apply to it.
    pub fn is_exempt(&self) -> bool {
        self.exempt
    }

    /// Reads once into `scratch`, after what was kept, at most `bytes_max` bytes. Returns
    /// how many bytes of `scratch` are input now; [`Connection::keep`] must follow.
    /// `further`: reads on although what was kept has not been decoded.
    pub fn fill(
        &mut self,
        scratch: &mut [u8],
        bytes_max: usize,
        further: bool,
        now: Instant,
    ) -> (usize, Filled) {
        let kept = self.unread.as_ref().map_or(0, |unread| {
            scratch[..unread.bytes.len()].copy_from_slice(&unread.bytes);
            unread.bytes.len()
        });
        let enough = if further { kept >= limits::READ_BYTES_MAX } else { self.undecoded };
        if !self.readable || self.ended || enough || bytes_max == 0 {
            return (kept, Filled::Ready);
        }
        let end = scratch.len().min(kept + bytes_max);
        let asked = end - kept;
        match retry(|| self.socket.read(&mut scratch[kept..end])) {
            Ok(0) => {
                self.ended = true;
                (kept, Filled::Ready)
            }
            Ok(bytes) => {
                // A short read has taken all there was, and a further event will tell of
                // more; but the end of the stream may have been told of already.
                self.readable = bytes == asked || self.hung_up;
                if let Some(unread) = &mut self.unread {
                    unread.arrived_at = now;
                }
                (kept + bytes, Filled::Ready)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                (kept, Filled::Ready)
            }
            Err(_) => (kept, Filled::Lost),
        }
    }

    /// The next frame at the start of `input`, and how many bytes are done with.
    pub fn decode<'a>(
        &mut self,
        input: &'a [u8],
        now: Instant,
        frame_bytes_max: usize,
        completeness: impl Fn(&[u8]) -> Completeness,
        own_head: OwnHead<'_>,
    ) -> (usize, Decoded<'a>) {
        let arrival = Arrival {
            more: self.readable && !self.ended,
            silent: self.silent_at().is_some_and(|at| at <= now),
            ended: self.ended,
        };
        let scanned = self.unread.as_ref().map_or(0, |unread| unread.scanned);
        let decoded =
            self.decoder.decode(input, scanned, arrival, frame_bytes_max, completeness, own_head);
        if decoded.0 > 0
            && let Some(unread) = &mut self.unread
        {
            unread.scanned = 0;
        }
        decoded
    }

    /// Keeps what was not consumed. `undecoded`: it may hold whole frames.
    pub fn keep(&mut self, rest: &[u8], undecoded: bool, now: Instant) {
        self.undecoded = undecoded && !rest.is_empty();
        if rest.is_empty() {
            self.unread = None;
            return;
        }
        let scanned = if undecoded { 0 } else { rest.len() };
        match &mut self.unread {
            Some(unread) => {
                unread.bytes = Zeroizing::new(rest.to_vec());
                unread.scanned = scanned;
            }
            None => {
                let bytes = Zeroizing::new(rest.to_vec());
                self.unread = Some(Box::new(Unread { bytes, scanned, arrived_at: now }));
            }
        }
    }

    /// When what was kept has been followed by enough silence.
    pub fn silent_at(&self) -> Option<Instant> {
        self.unread.as_ref().map(|unread| unread.arrived_at + limits::BURST_SILENCE)
    }

    /// Writes what its own queue holds, as far as it goes. Nothing when it has none.
    ///
    /// # Errors
    /// What the socket says; the connection is lost.
    pub fn flush(&mut self, broadcasts: &Broadcasts, now: Instant) -> io::Result<Flushed> {
        if self.blocked {
            return Ok(Flushed::Blocked);
        }
        let Some(outbox) = &mut self.outbox else { return Ok(Flushed::Drained) };
        let flushed = outbox.flush(&mut self.socket, broadcasts, now)?;
        self.blocked = flushed == Flushed::Blocked;
        if self.framing() == Framing::Undecided
            && let Some(unread) = &mut self.unread
        {
            // A greeting that the socket took late must not be followed closely either.
            unread.arrived_at = now;
        }
        Ok(flushed)
    }

    /// Hands all of `bytes` to the socket in one write; says how many it took.
    ///
    /// # Errors
    /// What the socket says; the connection is lost.
    pub fn write_all_at_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match retry(|| self.socket.write(bytes)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// The format it hears.
    pub fn format(&self) -> Format {
        Format::of(self.framing())
    }

    /// Begins to close it: nothing further is heard of it, its last words are written.
    /// Returns until when.
    pub fn begin_closing(&mut self, now: Instant) -> Option<Instant> {
        if self.phase != Phase::Open {
            return None;
        }
        self.phase = Phase::Closing;
        self.unread = None;
        self.undecoded = false;
        let until = now + limits::CLOSE_FLUSH_WAIT;
        self.ending = Some(Box::new(Ending { until, discarded_bytes: 0 }));
        Some(until)
    }

    /// Its last words are written: shuts the write side, and waits for the peer to have
    /// read them. Returns until when.
    pub fn begin_lingering(&mut self, now: Instant) -> Option<Instant> {
        if self.phase != Phase::Closing {
            return None;
        }
        if self.ended || self.socket.shut_down_write().is_err() {
            self.phase = Phase::Finished;
            return None;
        }
        self.phase = Phase::Lingering;
        let until = now + limits::LINGER_WAIT;
        if let Some(ending) = &mut self.ending {
            ending.until = until;
        }
        Some(until)
    }

    /// Throws away what a closed peer still sends. Finished when it has ended, too.
    pub fn discard(&mut self, scratch: &mut [u8]) {
        let asked = scratch.len().min(limits::READ_BYTES_MAX);
        match retry(|| self.socket.read(&mut scratch[..asked])) {
            Ok(bytes @ 1..) => {
                let discarded = self.ending.as_mut().map_or(usize::MAX, |ending| {
                    ending.discarded_bytes += bytes;
                    ending.discarded_bytes
                });
                if discarded > limits::LINGER_BYTES_MAX {
                    self.phase = Phase::Finished;
                }
                self.readable = bytes == asked || self.hung_up;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            Ok(0) | Err(_) => self.phase = Phase::Finished,
        }
    }

    /// Whether its time to close is over.
    pub fn closing_is_over(&self, now: Instant) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.until <= now)
    }

    /// It is gone, or to be gone at once.
    pub fn finish(&mut self) {
        self.phase = Phase::Finished;
    }
}

/// A system call that a signal interrupts is made again.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
