//! What is still to be written to one peer: references into shared bytes, and positions.
//!
//! Knows bytes, their order, and the manners towards burst clients (`wire.md`, section 1,
//! "Towards a burst client"). Knows no socket beyond `Write`, and no room. Only a
//! connection with something of its own has an outbox: one that lags, has just spoken, has
//! just been answered, or hears bursts. Everybody else is sent the broadcasts as they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::broadcasts::{Broadcasts, Format, Place};
use crate::limits;

/// A piece of what is to be written, in order.
#[derive(Debug)]
enum Segment {
    /// Bytes for this peer alone, from a position on.
    Own(Vec<u8>, usize),
    /// Part of broadcasts that were flushed to others before.
    Shared(Rc<[u8]>, Range<usize>),
    /// Part of the broadcasts at hand.
    Current(Format, Range<usize>),
    /// Silence for this long after what was written before.
    Quiet(Duration),
}

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is with the kernel.
    Drained,
    /// The socket takes no more for now.
    Blocked,
    /// A burst client is to hear nothing until then.
    Quiet(Instant),
}

/// A queue keeps a shared buffer alive only for at least one byte in so many.
const SHARE_MIN: usize = 4;

/// The queue of one peer.
#[derive(Debug)]
pub struct Outbox {
    segments: VecDeque<Segment>,
    /// How many of them, at the end but for some of the peer's own, are `Current`.
    current_segments: usize,
    /// Bytes in `segments`.
    queued_bytes: usize,
    /// Of them, those that the server counts among its own.
    pub accounted_bytes: usize,
    format: Format,
    /// From where in the broadcasts at hand this peer still has to hear; `None` when it is
    /// not in the room.
    hears_from: Option<usize>,
    last_write: Option<Instant>,
    last_was_ascii: bool,
    /// Since when the queue has been over its soft limit.
    pub over_soft_since: Option<Instant>,
    /// When the peer last took a byte.
    pub progress_at: Option<Instant>,
    /// Where the server keeps this connection in its list of those with an outbox.
    pub index: usize,
}

impl Outbox {
    /// Of a peer that does not hear the room.
    pub fn of_stranger(format: Format) -> Self {
        Self {
            segments: VecDeque::new(),
            current_segments: 0,
            queued_bytes: 0,
            accounted_bytes: 0,
            format,
            hears_from: None,
            last_write: None,
            last_was_ascii: true,
            over_soft_since: None,
            progress_at: None,
            index: usize::MAX,
        }
    }

    /// Of a member in lines that has yet to hear the broadcasts at hand from `position` on.
    pub fn of_member(position: usize) -> Self {
        Self { hears_from: Some(position), ..Self::of_stranger(Format::Lines) }
    }

    /// Bytes that wait to be written, those of the broadcasts at hand excepted.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether the peer hears the room in `format`.
    pub fn is_member_in(&self, format: Format) -> bool {
        self.format == format && self.hears_from.is_some()
    }

    /// Whether the peer is as well off without an outbox: nothing waits, it hears no bursts,
    /// and of the broadcasts at hand it misses all, as those without do, or none when they
    /// are about to be cleared.
    pub fn can_be_dropped(&self, about_to_be_cleared: bool) -> bool {
        self.segments.is_empty()
            && (about_to_be_cleared || self.hears_from.is_none_or(|from| from == 0))
            && !self.is_member_in(Format::Bursts)
    }

    /// A member in lines has been sent the broadcasts at hand up to `position`.
    pub fn has_heard(&mut self, position: usize, now: Instant) {
        self.hears_from = Some(position);
        self.progress_at = Some(now);
    }

    /// From here on the peer hears the room.
    pub fn enter(&mut self, broadcasts: &Broadcasts) {
        self.hears_from = Some(broadcasts.bytes(self.format).len());
    }

    /// From here on it no longer does; what was said before is still for it.
    pub fn depart(&mut self, broadcasts: &Broadcasts) {
        self.catch_up(broadcasts);
        self.hears_from = None;
    }

    /// From here on it hears `format`.
    pub fn change_format(&mut self, format: Format, broadcasts: &Broadcasts) {
        if format != self.format {
            self.catch_up(broadcasts);
            if self.format == Format::Bursts && self.queued_bytes > 0 {
                // What still waits is unterminated, and a line would run on from it.
                self.push(b"\n".to_vec(), broadcasts);
            }
            self.format = format;
            if self.hears_from.is_some() {
                self.enter(broadcasts);
            }
        }
    }

    /// Queues bytes for this peer alone, after all that was said before.
    pub fn push(&mut self, bytes: Vec<u8>, broadcasts: &Broadcasts) {
        self.catch_up(broadcasts);
        self.queued_bytes += bytes.len();
        match self.segments.back_mut() {
            // Many small replies to one that does not read must not cost many times their
            // size.
            Some(Segment::Own(last, _)) if last.len() < limits::OWN_SEGMENT_BYTES => {
                last.extend_from_slice(&bytes);
            }
            _ => self.segments.push_back(Segment::Own(bytes, 0)),
        }
    }

    /// Queues silence, for burst clients.
    pub fn push_quiet(&mut self, quiet: Duration, broadcasts: &Broadcasts) {
        self.catch_up(broadcasts);
        self.segments.push_back(Segment::Quiet(quiet));
    }

    /// Leaves a broadcast out: the peer's own.
    pub fn leave_out(&mut self, place: &Place) {
        let Some(from) = self.hears_from else { return };
        let Range { start, end } = place.within(self.format);
        self.push_current(from..start);
        self.hears_from = Some(end);
    }

    /// Queues what the peer has yet to hear of the broadcasts at hand.
    pub fn catch_up(&mut self, broadcasts: &Broadcasts) {
        let Some(from) = self.hears_from else { return };
        let end = broadcasts.bytes(self.format).len();
        self.push_current(from..end);
        self.hears_from = Some(end);
    }

    fn push_current(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.queued_bytes += range.len();
            self.current_segments += 1;
            self.segments.push_back(Segment::Current(self.format, range));
        }
    }

    /// Makes what is left independent of the broadcasts at hand, which are about to be
    /// cleared.
    pub fn settle(&mut self, broadcasts: &mut Broadcasts) {
        // What was settled before lies in front of them.
        for segment in self.segments.iter_mut().rev() {
            if self.current_segments == 0 {
                break;
            }
            if let Segment::Current(format, range) = segment {
                self.current_segments -= 1;
                *segment = if range.len() * SHARE_MIN < broadcasts.bytes(*format).len() {
                    // A few bytes must not keep the whole buffer alive.
                    Segment::Own(broadcasts.bytes(*format)[range.clone()].to_vec(), 0)
                } else {
                    Segment::Shared(broadcasts.frozen(*format), range.clone())
                };
            }
        }
        if self.hears_from.is_some() {
            self.hears_from = Some(0);
        }
    }

    /// Writes until nothing is left, the socket takes no more, or silence is due.
    ///
    /// # Errors
    /// What the socket says; the connection is lost.
    pub fn flush(
        &mut self,
        socket: &mut impl Write,
        broadcasts: &Broadcasts,
        now: Instant,
    ) -> io::Result<Flushed> {
        loop {
            let written = match (self.segments.front(), self.format) {
                (None, _) => {
                    // Nobody needs a queue that has once been long.
                    self.segments.shrink_to(4);
                    return Ok(Flushed::Drained);
                }
                (Some(Segment::Quiet(quiet)), _) => match self.quiet_until(*quiet, now) {
                    Some(until) => return Ok(Flushed::Quiet(until)),
                    None => {
                        self.segments.pop_front();
                        continue;
                    }
                },
                (Some(_), Format::Lines) => self.write_gathered(socket, broadcasts),
                (Some(_), Format::Bursts) => match self.next_piece(broadcasts, now) {
                    Ok(piece) => piece.write(socket),
                    Err(until) => return Ok(Flushed::Quiet(until)),
                },
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.progress_at = Some(now);
                    self.last_write = Some(now);
                    self.advance(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write_gathered(
        &self,
        socket: &mut impl Write,
        broadcasts: &Broadcasts,
    ) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); limits::WRITE_SLICES_MAX];
        let mut count = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            let Some(bytes) = bytes_of(segment, broadcasts) else { break };
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        match count {
            1 => socket.write(&slices[0]),
            _ => socket.write_vectored(&slices[..count]),
        }
    }

    fn quiet_until(&self, quiet: Duration, now: Instant) -> Option<Instant> {
        self.last_write.map(|last| last + quiet).filter(|&until| until > now)
    }

    /// The next write to a burst client, or when there may be one.
    fn next_piece(&mut self, broadcasts: &Broadcasts, now: Instant) -> Result<Piece, Instant> {
        let mut piece = Piece { buffer: [0; _], start: 0, end: 0 };
        for segment in &self.segments {
            let Some(bytes) = bytes_of(segment, broadcasts) else { break };
            let taken = bytes.len().min(piece.buffer.len() - piece.end);
            piece.buffer[piece.end..piece.end + taken].copy_from_slice(&bytes[..taken]);
            piece.end += taken;
        }
        // The line feed before a message is for those that follow another closely.
        let closely = self.quiet_until(limits::BURST_MERGE_WINDOW, now).is_some();
        piece.start = usize::from(!closely && piece.buffer[0] == b'\n');
        piece.cut();
        let ascii = piece.bytes().is_ascii();
        if !(ascii && self.last_was_ascii)
            && let Some(until) = self.quiet_until(limits::BURST_PIECE_PAUSE, now)
        {
            return Err(until);
        }
        self.last_was_ascii = ascii;
        Ok(piece)
    }

    /// Drops `bytes` that were written from the front.
    fn advance(&mut self, mut bytes: usize) {
        self.queued_bytes -= bytes;
        while bytes > 0 {
            let Some(front) = self.segments.front_mut() else { return };
            let left = match front {
                Segment::Own(own, position) => {
                    let taken = bytes.min(own.len() - *position);
                    *position += taken;
                    bytes -= taken;
                    own.len() - *position
                }
                Segment::Shared(_, range) | Segment::Current(_, range) => {
                    let taken = bytes.min(range.len());
                    range.start += taken;
                    bytes -= taken;
                    range.len()
                }
                Segment::Quiet(_) => return,
            };
            if left == 0
                && let Some(Segment::Current(..)) = self.segments.pop_front()
            {
                self.current_segments -= 1;
            }
        }
    }

    /// What `queued_bytes` must equal.
    #[cfg(debug_assertions)]
    pub fn recount(&self) -> usize {
        let length = |segment: &Segment| match segment {
            Segment::Own(bytes, position) => bytes.len() - position,
            Segment::Shared(_, range) | Segment::Current(_, range) => range.len(),
            Segment::Quiet(_) => 0,
        };
        self.segments.iter().map(length).sum()
    }
}

/// One write to a burst client: what is left of a buffer after its ends are cut off.
struct Piece {
    // Room for a line feed that is not sent, and for one that tells that a message ends.
    buffer: [u8; limits::BURST_WRITE_BYTES_MAX + 2],
    start: usize,
    end: usize,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Cuts at the most bytes of one write: between messages if it can be, else between
    /// characters.
    fn cut(&mut self) {
        let most = self.start + limits::BURST_WRITE_BYTES_MAX;
        if self.end <= most {
            return;
        }
        let after_first = self.start + 1..=most;
        let is_message_end = |&at: &usize| self.buffer[at] == b'\n';
        let is_character_start = |&at: &usize| self.buffer[at] & 0xc0 != 0x80;
        let message_end = after_first.clone().rev().find(is_message_end);
        let cut = message_end.or_else(|| after_first.rev().find(is_character_start));
        self.end = cut.unwrap_or(most);
    }

    /// How many bytes of the queue are done with: those written, and a line feed left out.
    fn write(&self, socket: &mut impl Write) -> io::Result<usize> {
        match socket.write(self.bytes())? {
            0 => Ok(0),
            written => Ok(self.start + written),
        }
    }
}

fn bytes_of<'a>(segment: &'a Segment, broadcasts: &'a Broadcasts) -> Option<&'a [u8]> {
    match segment {
        Segment::Own(bytes, position) => Some(&bytes[*position..]),
        Segment::Shared(bytes, range) => Some(&bytes[range.clone()]),
        Segment::Current(format, range) => Some(&broadcasts.bytes(*format)[range.clone()]),
        Segment::Quiet(_) => None,
    }
}
