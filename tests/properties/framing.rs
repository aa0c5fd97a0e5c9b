//! Bytes to frames: the same result however they are split and merged.

use chinwag::accounts::Credentials;
use chinwag::protocol::framing::{
    Arrival, Completeness, Decoded, Decoder, FrameError, Framing, OwnHead,
};
use chinwag::protocol::{Protocol, Request, Speaker};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::config;

const MAX: usize = 64;
const SOCKET: &str = "<socket.socket fd=3, family=2, type=1, proto=0, laddr=('1.1.1.1', 1)>";
/// Nothing but the passwords of these tests is made of these.
const SECRET: &str = "~^~%~^";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Out {
    Text(String),
    Fault(FrameError),
}

/// One connection's reading side: what `Connection` and the turn do, without a socket.
struct Reader {
    decoder: Decoder,
    protocol: Protocol,
    speaker: Option<Speaker>,
    max: usize,
    kept: Vec<u8>,
    scanned: usize,
    out: Vec<Out>,
}

impl Reader {
    fn new(protocol: Protocol, max: usize) -> Self {
        let decoder = Decoder::new(Framing::Undecided);
        Self { decoder, protocol, speaker: None, max, kept: vec![], scanned: 0, out: vec![] }
    }

    fn in_room(protocol: Protocol) -> Self {
        let mut reader = Self::new(protocol, 8_192);
        reader.decoder = Decoder::new(Framing::Bursts { provisional: false });
        reader.speaker = Some(match protocol {
            Protocol::Accounts => Speaker::with_account(&credentials()),
            _ => Speaker::with_nickname("lior"),
        });
        reader
    }

    fn read(&mut self, bytes: &[u8], silent: bool, ended: bool) {
        self.kept.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let head = self.protocol.own_head(self.speaker.as_ref());
            let arrival = Arrival { more: false, silent, ended };
            let (used, decoded) = self.decoder.decode(
                &self.kept[at..],
                self.scanned,
                arrival,
                self.max,
                |bytes| self.protocol.completeness(bytes),
                head,
            );
            assert!(used <= self.kept.len() - at, "consumed more than there was");
            if used > 0 {
                self.scanned = 0;
            }
            match decoded {
                Decoded::Wait { .. } => {
                    at += used;
                    break;
                }
                Decoded::Text(text) | Decoded::Rest { text, .. } => {
                    let consumed = &self.kept[at..at + used];
                    let within = consumed.windows(text.len().max(1)).any(|w| w == text.as_bytes());
                    assert!(text.is_empty() || within, "text that was not consumed");
                    self.out.push(Out::Text(text.to_owned()));
                }
                Decoded::Fault(fault) => self.out.push(Out::Fault(fault)),
                Decoded::Bytes(bytes) => panic!("raw bytes {bytes:?}"),
            }
            assert!(used > 0, "a frame of nothing, for ever");
            at += used;
        }
        self.kept.drain(..at);
        self.scanned = self.kept.len();
        assert!(self.kept.len() <= self.max + 1, "kept more than a frame and its CR");
    }

    fn texts(&self) -> String {
        self.out
            .iter()
            .map(|out| match out {
                Out::Text(text) => text.as_str(),
                Out::Fault(fault) => panic!("{fault:?}"),
            })
            .collect()
    }

    /// What the room would be told to say.
    fn said(&self) -> Vec<String> {
        let framing = self.decoder.framing();
        let request = |out: &Out| match out {
            Out::Text(text) => {
                self.protocol.parse(&Decoded::Text(text), framing, self.speaker.as_ref())
            }
            Out::Fault(_) => Request::Ignore,
        };
        let said = |request| match request {
            Request::Say(text) => Some(text),
            _ => None,
        };
        self.out.iter().map(request).filter_map(said).collect()
    }
}

fn credentials() -> Credentials {
    Credentials {
        name: "lior".into(),
        user_name: "user".into(),
        password: Zeroizing::new(SECRET.into()),
    }
}

fn active(text: &str) -> String {
    format!("[ACTIVE]:lior:user:{SECRET}:{SOCKET}:{text}")
}

fn framed(protocol: Protocol, pieces: &[&[u8]], ended: bool) -> Vec<Out> {
    let mut reader = Reader::new(protocol, MAX);
    for piece in pieces {
        reader.read(piece, false, false);
    }
    if ended {
        reader.read(b"", false, true);
    }
    reader.out
}

/// Lines, by the book: nothing but splitting.
fn by_the_book(stream: &[u8]) -> Vec<Out> {
    let mut lines: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
    let last = lines.pop().unwrap();
    let frame = |line: &[u8]| match std::str::from_utf8(line) {
        _ if line.len() > MAX => Out::Fault(FrameError::TooLong),
        Ok(line) => Out::Text(line.to_owned()),
        Err(_) => Out::Fault(FrameError::NotUtf8),
    };
    let mut out: Vec<Out> = lines
        .iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(frame)
        .collect();
    if !last.is_empty() {
        out.push(frame(last));
    }
    out
}

/// `stream` in pieces that end at `cuts`.
fn cut<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

const SAMPLES: [&[u8]; 8] = [
    b"hello\n",
    b"[NEW]:login:lior:user:secret\r\nhi: there\n[ACTIVE]:lior:user:secret::again\nexit()\n",
    b"nick\n\n\r\none\ntwo\r\r\nthree",
    "zo\u{eb} \u{1f600}\n\u{6f22}\u{5b57}\n".as_bytes(),
    b"\xff\xfe\nafter\n",
    b"0123456789012345678901234567890123456789012345678901234567890123\nlongest\n",
    b"01234567890123456789012345678901234567890123456789012345678901234\nlonger\n",
    b"01234567890123456789012345678901234567890123456789012345678901230123456789\r\nrest",
];

#[test]
fn every_split_of_every_sample_gives_the_same_lines() {
    for protocol in [Protocol::Accounts, Protocol::Nickname, Protocol::Uppercase] {
        for sample in SAMPLES {
            let whole = by_the_book(sample);
            assert_eq!(framed(protocol, &[sample], true), whole);
            for at in 0..=sample.len() {
                assert_eq!(framed(protocol, &[&sample[..at], &sample[at..]], true), whole);
            }
            let single: Vec<&[u8]> = sample.chunks(1).collect();
            assert_eq!(framed(protocol, &single, true), whole);
        }
    }
}

#[test]
fn a_reference_log_in_is_one_frame_however_it_is_split() {
    let frame = format!("[NEW]:login:lior:user:{SECRET}:{SOCKET}");
    let bytes = frame.as_bytes();
    let mut splits: Vec<Vec<&[u8]>> =
        (0..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]).collect();
    splits.push(bytes.chunks(1).collect());
    for split in splits {
        let mut reader = Reader::new(Protocol::Accounts, 8_192);
        for piece in split {
            reader.read(piece, false, false);
            // Silence is no frame while the socket field has not ended.
            reader.read(b"", true, false);
        }
        assert_eq!(reader.out, [Out::Text(frame.clone())]);
        assert_eq!(reader.decoder.framing(), Framing::Bursts { provisional: false });
    }
}

#[test]
fn glued_burst_frames_are_parted() {
    let texts = ["one", "tw[o", "[ACTIVE", "four \u{1f600}"];
    let glued: String = texts.map(active).concat();
    let mut reader = Reader::in_room(Protocol::Accounts);
    reader.read(glued.as_bytes(), false, false);
    assert_eq!(reader.out, texts.map(|text| Out::Text(active(text))));

    let mut reader = Reader::in_room(Protocol::Nickname);
    reader.read(b"lior: one, saidlior: twolior: ", false, false);
    reader.read(b"three", false, false);
    assert_eq!(reader.said(), ["lior: one, said", "lior: two", "lior: three"]);
}

#[test]
fn a_head_may_arrive_in_two_pieces() {
    let frame = active("hello");
    for at in 0..frame.len() - "hello".len() {
        let mut reader = Reader::in_room(Protocol::Accounts);
        reader.read(&frame.as_bytes()[..at], false, false);
        reader.read(&frame.as_bytes()[at..], false, false);
        assert_eq!(reader.said(), ["hello"], "split at {at}");
    }
}

#[test]
fn silence_within_a_head_says_no_password() {
    for first in ["", "before"] {
        let stream = format!("{}{}", if first.is_empty() { "" } else { first }, active("after"));
        for at in 0..=stream.len() {
            for again in at..=stream.len() {
                let mut reader = Reader::in_room(Protocol::Accounts);
                for piece in [&stream[..at], &stream[at..again], &stream[again..]] {
                    reader.read(piece.as_bytes(), false, false);
                    reader.read(b"", true, false);
                }
                let said = reader.said().concat();
                assert!(!said.contains(['~', '^', '%']), "cut at {at} and {again}: {said}");
            }
        }
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-z:\\[\\]() ]{0,40}".prop_map(String::into_bytes),
        2 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => "\\PC{0,8}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..4),
        1 => Just(vec![b'x'; MAX + 2]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn burst_stream() -> impl Strategy<Value = (String, Vec<String>)> {
    let text = "[a-z\u{eb}\u{1f600}\\[A]{1,30}[a-z]";
    prop::collection::vec(text, 1..6)
        .prop_map(|texts| (texts.iter().map(|text| active(text)).collect(), texts))
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn lines_are_the_same_however_they_are_split(
        stream in stream(),
        cuts in prop::collection::vec(any::<usize>(), 0..24),
    ) {
        let mut stream = stream;
        // Without a line feed there is a frame's length of doubt (`wire.md`, 1.5).
        stream.insert(0, b'\n');
        let pieces = cut(&stream, &cuts);
        prop_assert_eq!(framed(Protocol::Nickname, &pieces, true), by_the_book(&stream));
        prop_assert_eq!(framed(Protocol::Accounts, &pieces, true), by_the_book(&stream));
    }

    #[test]
    fn bursts_lose_nothing_and_tell_no_password(
        (stream, texts) in burst_stream(),
        cuts in prop::collection::vec((any::<usize>(), any::<bool>()), 0..12),
    ) {
        let places: Vec<usize> = cuts.iter().map(|cut| cut.0).collect();
        let mut reader = Reader::in_room(Protocol::Accounts);
        for (index, piece) in cut(stream.as_bytes(), &places).into_iter().enumerate() {
            reader.read(piece, false, false);
            if cuts.get(index).is_some_and(|cut| cut.1) {
                reader.read(b"", true, false);
            }
        }
        reader.read(b"", false, true);
        let said = reader.said().concat();
        prop_assert!(!said.contains(['~', '^', '%']), "{}", said);
        let _ = reader.texts();
        // Silence may have told part of a head that came late; all texts are there.
        let silent = cuts.iter().any(|cut| cut.1);
        if !silent {
            prop_assert_eq!(said, texts.concat());
        }
    }

    #[test]
    fn a_decoder_never_panics_and_conserves_bytes(
        stream in prop::collection::vec(any::<u8>(), 0..300),
        heads in any::<bool>(),
        start in 0..4_u8,
        cuts in prop::collection::vec((any::<usize>(), any::<bool>()), 0..8),
        max in 1..80_usize,
    ) {
        let mut decoder = Decoder::new(match start {
            0 => Framing::Undecided,
            1 => Framing::Bursts { provisional: true },
            2 => Framing::Bursts { provisional: false },
            _ => Framing::Lines,
        });
        let speaker = Speaker::with_account(&credentials());
        let head = if heads { Protocol::Accounts.own_head(Some(&speaker)) } else { OwnHead::NONE };
        let places: Vec<usize> = cuts.iter().map(|cut| cut.0).collect();
        let mut kept = Vec::new();
        for (index, piece) in cut(&stream, &places).into_iter().enumerate() {
            kept.extend_from_slice(piece);
            let silent = cuts.get(index).is_some_and(|cut| cut.1);
            let arrival = Arrival { more: false, silent, ended: index == cuts.len() };
            for round in 0.. {
                prop_assert!(round <= 310, "no end");
                let (used, decoded) = decoder
                    .decode(&kept, 0, arrival, max, |_| Completeness::AfterSilence, head);
                prop_assert!(used <= kept.len());
                let waits = matches!(decoded, Decoded::Wait { .. });
                prop_assert!(waits || used > 0);
                kept.drain(..used);
                if waits {
                    break;
                }
            }
            prop_assert!(kept.len() <= max + 1, "kept {} of {max}", kept.len());
        }
    }
}
