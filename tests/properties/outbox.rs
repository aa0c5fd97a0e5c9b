//! The outbox against a naive model: what was queued, in order, each byte exactly once.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use chinwag::protocol::{Event, Protocol};
use chinwag::server::broadcasts::{Broadcasts, Format};
use chinwag::server::outbox::{Flushed, Outbox};
use proptest::prelude::*;

use super::config;

#[derive(Debug, Clone)]
enum Step {
    /// The room says something; the flag: this peer said it.
    Broadcast(String, bool),
    /// This peer alone is told something.
    Reply(String),
    Enter,
    Depart,
    /// Silence of so many milliseconds.
    Quiet(u64),
    /// This peer's own flush.
    Flush,
    /// The end of a turn.
    Turn,
    /// Milliseconds pass.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let text = || {
        prop_oneof![
            4 => "[a-z]{1,12}",
            1 => "[a-z\u{eb}\u{1f600}]{1,20}",
            1 => (900..2_500_usize).prop_map(|length| "x".repeat(length)),
            1 => (300..900_usize).prop_map(|length| "\u{1f600}\u{e9}".repeat(length)),
        ]
    };
    prop_oneof![
        6 => (text(), prop::bool::weighted(0.2)).prop_map(|(text, own)| Step::Broadcast(text, own)),
        2 => text().prop_map(Step::Reply),
        1 => Just(Step::Enter),
        1 => Just(Step::Depart),
        1 => (1..200_u64).prop_map(Step::Quiet),
        3 => Just(Step::Flush),
        4 => Just(Step::Turn),
        3 => prop_oneof![0..5_u64, 5..100_u64].prop_map(Step::Pass),
    ]
}

/// A socket that follows a script: so many bytes at most, nothing at all, or a signal.
struct Socket<'a> {
    script: &'a mut dyn Iterator<Item = u16>,
    writes: Vec<(Vec<u8>, usize)>,
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self.script.next() {
            None => bytes.len(),
            Some(0..=9) => return Err(io::ErrorKind::WouldBlock.into()),
            Some(10..=14) => return Err(io::ErrorKind::Interrupted.into()),
            Some(most @ 15..=29) => bytes.len().min(usize::from(most) - 14),
            Some(most) => bytes.len().min(usize::from(most)),
        };
        self.writes.push((bytes.to_vec(), taken));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the peer must be sent, and how far it was.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    at: usize,
    /// Where in `bytes` silence is due, and how much of it.
    quiets: Vec<(usize, Duration)>,
    last_write: Option<Instant>,
    last_ascii: bool,
}

impl Model {
    fn push(&mut self, format: Format, text: &str) {
        match format {
            Format::Lines => self.bytes.extend([text.as_bytes(), b"\n"].concat()),
            Format::Bursts => self.bytes.extend([b"\n", text.as_bytes()].concat()),
        }
    }

    fn since_last(&self, now: Instant) -> Option<Duration> {
        self.last_write.map(|last| now - last)
    }

    /// Checks one write against what is due.
    fn written(&mut self, format: Format, offered: &[u8], taken: usize, now: Instant) {
        let since = self.since_last(now);
        if format == Format::Bursts {
            assert!(offered.len() <= 1_000, "{} bytes in one write", offered.len());
            let closely = since.is_some_and(|since| since < Duration::from_millis(50));
            if !closely && self.bytes[self.at] == b'\n' {
                self.at += 1;
            }
            let ascii = offered.is_ascii();
            if let Some(since) = since.filter(|_| !(ascii && self.last_ascii)) {
                assert!(since >= Duration::from_millis(20), "no pause");
            }
            self.last_ascii = ascii;
            let next = self.bytes.get(self.at + offered.len());
            assert!(next.is_none_or(|byte| byte & 0xc0 != 0x80), "cut inside a character");
        }
        for &(place, quiet) in &self.quiets {
            let inside = self.at <= place && place < self.at + offered.len();
            if format == Format::Bursts && inside && place > 0 {
                // The line feed that was left out stands before the place.
                assert!(place <= self.at, "wrote across silence");
                assert!(since.is_none_or(|since| since >= quiet), "broke the silence");
            }
        }
        let due = self.bytes.get(self.at..self.at + offered.len());
        assert_eq!(due, Some(offered), "offered something else");
        self.at += taken;
        self.last_write = Some(now);
    }
}

fn run(format: Format, steps: Vec<Step>, script: Vec<u16>) {
    let mut script = script.into_iter();
    let mut now = Instant::now();
    let mut broadcasts = Broadcasts::new(Protocol::Relay);
    let (mut outbox, mut model) = (Outbox::of_stranger(format), Model::default());
    let mut inside = false;
    for step in steps.into_iter().chain([Step::Turn]) {
        match step {
            Step::Broadcast(text, own) => {
                // The relay adds nothing to bytes in lines; the terminator is part of them.
                let terminated =
                    if format == Format::Lines { format!("{text}\n") } else { text.clone() };
                let event = Event::Passed(terminated.into_bytes());
                let place = broadcasts.push(&event, true, true, now);
                if own {
                    outbox.leave_out(&place);
                } else if inside {
                    model.push(format, &text);
                }
            }
            Step::Reply(text) => {
                let mut bytes = text.clone().into_bytes();
                match format {
                    Format::Lines => bytes.push(b'\n'),
                    Format::Bursts => bytes.insert(0, b'\n'),
                }
                outbox.push(bytes, &broadcasts);
                model.push(format, &text);
            }
            Step::Enter if !inside => {
                outbox.enter(&broadcasts);
                inside = true;
            }
            Step::Depart if inside => {
                outbox.depart(&broadcasts);
                inside = false;
            }
            Step::Quiet(quiet) if format == Format::Bursts => {
                let quiet = Duration::from_millis(quiet);
                outbox.push_quiet(quiet, &broadcasts);
                model.quiets.push((model.bytes.len(), quiet));
            }
            Step::Enter | Step::Depart | Step::Quiet(_) => {}
            Step::Pass(millis) => now += Duration::from_millis(millis),
            Step::Flush | Step::Turn => {
                let turn = matches!(step, Step::Turn);
                if turn {
                    outbox.catch_up(&broadcasts);
                }
                flush(&mut outbox, &mut model, &broadcasts, &mut script, format, now);
                if turn {
                    outbox.settle(&mut broadcasts);
                    broadcasts.clear();
                }
            }
        }
    }
    // In the end, nothing but time and space are needed.
    let mut nothing = std::iter::empty();
    for _ in 0..10_000 {
        if flush(&mut outbox, &mut model, &broadcasts, &mut nothing, format, now) {
            break;
        }
        now += Duration::from_millis(20);
    }
    assert_eq!(model.at, model.bytes.len(), "something was never written");
    assert_eq!(outbox.queued_bytes(), 0, "bytes counted that are not there");
}

fn flush(
    outbox: &mut Outbox,
    model: &mut Model,
    broadcasts: &Broadcasts,
    script: &mut dyn Iterator<Item = u16>,
    format: Format,
    now: Instant,
) -> bool {
    let mut socket = Socket { script, writes: Vec::new() };
    let flushed = outbox.flush(&mut socket, broadcasts, now).unwrap();
    for (offered, taken) in socket.writes {
        model.written(format, &offered, taken, now);
    }
    if let Flushed::Quiet(until) = flushed {
        assert!(until > now, "a wait that is over");
    }
    flushed == Flushed::Drained
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn lines_are_written_in_order_exactly_once(
        steps in prop::collection::vec(step(), 0..60),
        script in prop::collection::vec(0..120_u16, 0..120),
    ) {
        run(Format::Lines, steps, script);
    }

    #[test]
    fn bursts_are_written_with_manners(
        steps in prop::collection::vec(step(), 0..60),
        script in prop::collection::vec(0..1_200_u16, 0..120),
    ) {
        run(Format::Bursts, steps, script);
    }
}
