//! Bytes to frames: lines, bursts, and the decision which of the two a connection speaks
//! (`wire.md`, section 1).
//!
//! Knows bytes and the hints a protocol lends it: which frames are complete in themselves,
//! and the head that only this session's own frames begin with. Knows no socket, no clock
//! (silence is an argument) and not what a frame means.
//!
//! Invariants: what it consumes is either handed out or was to be ignored; nothing it
//! keeps back is longer than one frame; the same bytes give the same frames however lines
//! are split into reads.

use std::ops::Range;

/// How the bytes of a connection are cut into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Nothing has told yet.
    Undecided,
    /// A frame is what arrived at once. Replies are unterminated.
    Bursts {
        /// A line feed in a later read still moves the connection to lines.
        provisional: bool,
    },
    /// A frame ends at a line feed. Replies end with one.
    Lines,
    /// No frames: every read is passed on as it is.
    Raw,
}

impl Framing {
    /// Whether replies to this connection are unterminated.
    pub fn is_bursts(self) -> bool {
        matches!(self, Self::Bursts { .. })
    }
}

/// Whether bytes without a line feed are a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// Not a frame, however long the silence.
    Partial,
    /// A frame if nothing follows for a while.
    AfterSilence,
    /// A frame of a reference client, beyond doubt.
    Whole,
}

/// What only the frames of one session begin with, as in
/// `[ACTIVE]:name:user_name:password:`.
#[derive(Debug, Clone, Copy)]
pub struct OwnHead<'a> {
    /// The whole head. Empty when the session has none yet.
    pub bytes: &'a [u8],
    /// How much of it, from the start, marks the beginning of a frame inside a read. What
    /// lies behind may be secret, so a frame that has the mark but not the rest is cut
    /// off too, and left to the protocol to refuse.
    pub mark: usize,
    /// Longest part of it, from the start, that may be said if it turns out to be text.
    pub sayable: usize,
    /// Whether a further field, up to a colon, stands between the head and the text.
    pub field_follows: bool,
    /// What a text begins with that is a command. Where a read is cut must make neither a
    /// message of what was meant for one person or for nobody, nor a command of the middle
    /// of a message.
    pub command: Option<u8>,
}

impl OwnHead<'_> {
    /// Of a session that has no head yet.
    pub const NONE: Self =
        OwnHead { bytes: &[], mark: 0, sayable: 0, field_follows: false, command: None };

    fn marks(&self) -> &[u8] {
        &self.bytes[..self.mark]
    }

    /// Length of the longest end of `text` that could be the beginning of the head.
    fn begun_at_end_of(&self, text: &[u8]) -> usize {
        let most = text.len().min(self.bytes.len().saturating_sub(1));
        (1..=most).rev().find(|&n| text.ends_with(&self.bytes[..n])).unwrap_or(0)
    }

    /// Whether `input` goes on with the head of which `told` bytes were told before.
    fn goes_on(&self, told: u8, input: &[u8]) -> bool {
        let told = usize::from(told);
        let rest = self.bytes.get(told..).unwrap_or_default();
        let marks = self.marks().get(told..).unwrap_or_default();
        if rest.is_empty() {
            return false;
        }
        let line = input.split(|&byte| byte == b'\n').next().unwrap_or_default();
        line.starts_with(marks) || (!line.is_empty() && rest.starts_with(line))
    }

    /// Whether `text` is a command, whatever of it is not seen.
    fn is_command(&self, text: &[u8]) -> bool {
        let seen = text.iter().find(|byte| !byte.is_ascii_control());
        self.command.is_some_and(|command| seen == Some(&command))
    }

    /// Where the text of a frame that begins with the head starts, if it is there yet.
    fn text_start(&self, frame: &[u8]) -> Option<usize> {
        if !self.field_follows {
            return Some(self.bytes.len());
        }
        let field = memchr::memchr(b':', frame.get(self.bytes.len()..)?)?;
        Some(self.bytes.len() + field + 1)
    }
}

/// How reading stands when the decoder is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// More bytes may be waiting to be read.
    pub more: bool,
    /// Nothing has arrived for `limits::BURST_SILENCE`.
    pub silent: bool,
    /// The peer has finished sending.
    pub ended: bool,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than a frame may be.
    TooLong,
    /// Not UTF-8.
    NotUtf8,
}

/// What the decoder found at the start of its input.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A frame of text, without its line ending.
    Text(&'a str),
    /// Text without the session's own head, which goes on with what was in the frame before.
    Rest {
        /// The text.
        text: &'a str,
        /// That was a command.
        of_command: bool,
    },
    /// Bytes to be passed on.
    Bytes(&'a [u8]),
    /// Something that cannot be accepted.
    Fault(FrameError),
    /// Nothing yet.
    Wait {
        /// Whether to ask again after `limits::BURST_SILENCE` without a byte.
        silence_matters: bool,
    },
}

/// The state of one connection's framing: a few bytes, whatever arrives.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    framing: Framing,
    /// The rest of a line that was too long is thrown away up to its line feed.
    skipping: bool,
    /// How much of the own head, from the start, was told as text after a silence. Should
    /// the rest of it follow after all, that must not be told too: it holds a password.
    told: u8,
    /// Whether the last frame with a head was a command; `None`: there was none. Who never
    /// sends a head means what it sends as it is.
    last: Option<LastFrame>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastFrame {
    Message,
    Command,
}

impl Decoder {
    /// Of a connection that starts in `framing`.
    pub fn new(framing: Framing) -> Self {
        Self { framing, skipping: false, told: 0, last: None }
    }

    /// How frames are cut now.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Looks for the next frame at the start of `input`: what was not consumed before,
    /// and what was read since. Returns how many bytes are done with, and what was found.
    /// `scanned` says how many bytes at the start are known to hold no line feed.
    pub fn decode<'a>(
        &mut self,
        input: &'a [u8],
        scanned: usize,
        arrival: Arrival,
        frame_bytes_max: usize,
        completeness: impl Fn(&[u8]) -> Completeness,
        own_head: OwnHead<'_>,
    ) -> (usize, Decoded<'a>) {
        const NOTHING: Decoded<'static> = Decoded::Wait { silence_matters: false };
        if input.is_empty() {
            return (0, NOTHING);
        }
        match self.framing {
            Framing::Raw => return (input.len(), Decoded::Bytes(input)),
            Framing::Lines => return self.line(input, scanned, arrival, frame_bytes_max),
            Framing::Bursts { provisional: false } => {}
            Framing::Undecided | Framing::Bursts { provisional: true } => {
                if memchr::memchr(b'\n', &input[scanned.min(input.len())..]).is_some() {
                    self.framing = Framing::Lines;
                    // A line that goes on with a head holds a password.
                    self.skipping = self.told > 0 && own_head.goes_on(self.told, input);
                    return self.line(input, scanned, arrival, frame_bytes_max);
                }
            }
        }
        if self.framing != Framing::Undecided {
            return self.burst(input, arrival, frame_bytes_max, own_head);
        }
        if input.len() > frame_bytes_max {
            self.framing = Framing::Lines;
            return self.line(input, input.len(), arrival, frame_bytes_max);
        }
        let complete = match completeness(input) {
            _ if unfinished_character(input) > 0 && !arrival.ended => Completeness::Partial,
            complete => complete,
        };
        match complete {
            Completeness::Whole => self.framing = Framing::Bursts { provisional: false },
            // At the end of the stream, too: what is answered sooner follows a greeting so
            // closely that one read may take both.
            Completeness::AfterSilence if arrival.silent && !arrival.more => {
                self.framing = Framing::Bursts { provisional: true };
            }
            Completeness::AfterSilence => return (0, Decoded::Wait { silence_matters: true }),
            // `printf ... | nc`: a line whose sender did not care for the line feed.
            Completeness::Partial if arrival.ended => self.framing = Framing::Lines,
            Completeness::Partial => return (0, NOTHING),
        }
        (input.len(), text(input))
    }

    fn line<'a>(
        &mut self,
        input: &'a [u8],
        scanned: usize,
        arrival: Arrival,
        frame_bytes_max: usize,
    ) -> (usize, Decoded<'a>) {
        let mut start = 0;
        let mut scanned = scanned.min(input.len());
        while let Some(found) = memchr::memchr(b'\n', &input[scanned..]) {
            let end = scanned + found;
            let line = &input[start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (start, scanned) = (end + 1, end + 1);
            if std::mem::take(&mut self.skipping) || line.is_empty() {
                continue;
            }
            if line.len() > frame_bytes_max {
                return (start, Decoded::Fault(FrameError::TooLong));
            }
            return (start, text(line));
        }
        let rest = &input[start..];
        if self.skipping {
            return (input.len(), Decoded::Wait { silence_matters: false });
        }
        // A carriage return at the very end may yet turn out to belong to the line ending.
        let known = if arrival.ended { rest } else { rest.strip_suffix(b"\r").unwrap_or(rest) };
        if known.len() > frame_bytes_max {
            self.skipping = true;
            return (input.len(), Decoded::Fault(FrameError::TooLong));
        }
        if arrival.ended && !rest.is_empty() {
            return (input.len(), text(rest));
        }
        (start, Decoded::Wait { silence_matters: false })
    }

    /// The next frame within bursts, seeing to it that a head of which the beginning was
    /// told is still known when the rest of it comes late.
    fn burst<'a>(
        &mut self,
        input: &'a [u8],
        arrival: Arrival,
        frame_bytes_max: usize,
        head: OwnHead<'_>,
    ) -> (usize, Decoded<'a>) {
        if self.told == 0 || !head.goes_on(self.told, input) {
            let (used, decoded, told) = burst(input, arrival, frame_bytes_max, head);
            if used > 0 {
                self.told = told;
            }
            return (used, self.place(decoded, head));
        }
        let told = usize::from(self.told);
        let rest = &head.bytes[told..];
        let sayable = told + input.len() <= head.sayable;
        let skipped = if input.len() < rest.len() && rest.starts_with(input) {
            match arrival.ended || (arrival.silent && !arrival.more) {
                true if sayable => {
                    self.told += input.len() as u8;
                    return (input.len(), text(input));
                }
                _ if !arrival.ended => return (0, Decoded::Wait { silence_matters: sayable }),
                // Part of a password, and nothing else: nobody's text.
                _ => input.len(),
            }
        } else if let Some(behind) = input.strip_prefix(rest) {
            let field = if head.field_follows { memchr::memchr(b':', behind) } else { None };
            match field {
                Some(field) => rest.len() + field + 1,
                None if !head.field_follows => rest.len(),
                None if arrival.ended || input.len() > frame_bytes_max => input.len(),
                None => return (0, Decoded::Wait { silence_matters: false }),
            }
        } else {
            // Another's password, or a slip: not said either, up to the next frame.
            memchr::memmem::find(input, head.marks()).unwrap_or(input.len())
        };
        self.told = 0;
        if skipped == input.len() {
            return (skipped, Decoded::Wait { silence_matters: false });
        }
        let (used, decoded) = self.burst(&input[skipped..], arrival, frame_bytes_max, head);
        (skipped + used, decoded)
    }
}

impl Decoder {
    /// Tells a text that goes on with the frame before from one of its own.
    fn place<'a>(&mut self, decoded: Decoded<'a>, head: OwnHead<'_>) -> Decoded<'a> {
        let Decoded::Text(text) = decoded else { return decoded };
        if head.command.is_none() {
            return decoded;
        }
        if text.as_bytes().starts_with(head.marks()) {
            let start = head.text_start(text.as_bytes()).unwrap_or(text.len());
            let is_command = text.as_bytes().get(start..).is_some_and(|t| head.is_command(t));
            self.last = Some(if is_command { LastFrame::Command } else { LastFrame::Message });
            return decoded;
        }
        match self.last {
            None => decoded,
            Some(last) => Decoded::Rest { text, of_command: last == LastFrame::Command },
        }
    }
}

/// The next frame within bursts, and how much of the head, from its start, ends the text.
///
/// A read that ends in what could be the beginning of a further head, or in part of a
/// character, is not cut there but waits as a whole: for the rest of the head, or for the
/// silence that tells that it was text. So nobody's message is torn because it happens to
/// end in `[`, or in the first letter of its sender's nickname.
fn burst<'a>(
    input: &'a [u8],
    arrival: Arrival,
    frame_bytes_max: usize,
    head: OwnHead<'_>,
) -> (usize, Decoded<'a>, u8) {
    const REST: Decoded<'static> = Decoded::Wait { silence_matters: false };
    const SILENCE: Decoded<'static> = Decoded::Wait { silence_matters: true };

    let begins_with_mark = head.mark > 0 && input.starts_with(head.marks());
    let searched_from = if begins_with_mark { head.mark } else { 0 };
    let next_head = (head.mark > 0)
        .then(|| memchr::memmem::find(&input[searched_from..], head.marks()))
        .flatten()
        .map(|found| searched_from + found);
    if let Some(next_head) = next_head {
        if next_head > frame_bytes_max {
            return (next_head, Decoded::Fault(FrameError::TooLong), 0);
        }
        return (next_head, text(&input[..next_head]), 0);
    }
    if input.len() > frame_bytes_max {
        return (input.len(), Decoded::Fault(FrameError::TooLong), 0);
    }
    if arrival.ended {
        // The beginning of a head that never came is nobody's text.
        let begun = head.begun_at_end_of(input);
        let cut = if begun > head.sayable && begun < input.len() { begun } else { 0 };
        return (input.len(), text(&input[..input.len() - cut]), 0);
    }
    if input.len() < head.bytes.len() && head.bytes.starts_with(input) {
        return match arrival.silent && !arrival.more && input.len() <= head.sayable {
            true => (input.len(), text(input), input.len() as u8),
            false if input.len() <= head.sayable => (0, SILENCE, 0),
            false => (0, REST, 0),
        };
    }
    let begins_with_head = !head.bytes.is_empty() && input.starts_with(head.bytes);
    let text_start = if begins_with_head { head.text_start(input) } else { Some(0) };
    let Some(text_start) = text_start.filter(|&start| start < input.len()) else {
        return (0, REST, 0);
    };
    // A command is over when nothing follows: what is cut off it is not to be said.
    if arrival.more || (head.is_command(&input[text_start..]) && !arrival.silent) {
        return (0, SILENCE, 0);
    }
    let begun = head.begun_at_end_of(&input[text_start..]);
    let unfinished = unfinished_character(input);
    if begun == 0 && unfinished == 0 {
        return (input.len(), text(input), 0);
    }
    if !arrival.silent {
        return (0, SILENCE, 0);
    }
    let kept = if begun > head.sayable { begun } else { 0 }.max(unfinished);
    let end = input.len() - kept;
    let told = if begun > head.sayable { 0 } else { begun.saturating_sub(unfinished) };
    if end <= text_start { (0, REST, 0) } else { (end, text(&input[..end]), told as u8) }
}

fn text(frame: &[u8]) -> Decoded<'_> {
    match std::str::from_utf8(frame) {
        Ok(frame) => Decoded::Text(frame),
        Err(_) => Decoded::Fault(FrameError::NotUtf8),
    }
}

/// How many bytes at the end, at most three, are the beginning of a character.
fn unfinished_character(bytes: &[u8]) -> usize {
    let tail: Range<usize> = bytes.len().saturating_sub(4)..bytes.len();
    let Some(lead) = tail.rev().find(|&at| bytes[at] & 0xc0 != 0x80) else { return 0 };
    let length = match bytes[lead] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let there = bytes.len() - lead;
    if there < length { there } else { 0 }
}
