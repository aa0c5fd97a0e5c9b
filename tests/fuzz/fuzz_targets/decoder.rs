//! The decoder in both framings: bytes, split anywhere, with silence anywhere.
//!
//! The first byte chooses protocol, framing and whether there is a session; then each
//! length byte says how long the next read is and whether silence follows it.

#![no_main]

use chinwag::accounts::Credentials;
use chinwag::protocol::framing::{Arrival, Decoded, Decoder, Framing};
use chinwag::protocol::{Protocol, Request, Speaker};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 256;
const SECRET: &str = "~^~%~^~";

fuzz_target!(|data: &[u8]| {
    let Some((&choice, mut rest)) = data.split_first() else { return };
    let protocol = [Protocol::Accounts, Protocol::Nickname][usize::from(choice & 1)];
    let first = [
        Framing::Undecided,
        Framing::Lines,
        Framing::Bursts { provisional: true },
        Framing::Bursts { provisional: false },
    ][usize::from(choice >> 1 & 3)];
    let speaker = match protocol {
        Protocol::Accounts => Speaker::with_account(&Credentials {
            name: "lior".into(),
            user_name: "user".into(),
            password: String::from(SECRET).into(),
        }),
        _ => Speaker::with_nickname("lior"),
    };
    let speaker = (choice & 8 != 0).then_some(&speaker);
    let mut decoder = Decoder::new(first);
    let (mut kept, mut scanned) = (Vec::new(), 0);
    while let Some((&length, bytes)) = rest.split_first() {
        let silent = length & 0x80 != 0;
        let read = bytes.len().min(usize::from(length & 0x7f));
        kept.extend_from_slice(&bytes[..read]);
        rest = &bytes[read..];
        let arrival = Arrival { more: false, silent, ended: rest.is_empty() };
        loop {
            let head = protocol.own_head(speaker);
            let complete = |bytes: &[u8]| protocol.completeness(bytes);
            let (used, decoded) = decoder.decode(&kept, scanned, arrival, MAX, complete, head);
            assert!(used <= kept.len());
            let waits = matches!(decoded, Decoded::Wait { .. });
            assert!(waits || used > 0);
            if !waits {
                let request = protocol.parse(&decoded, decoder.framing(), speaker);
                if let Request::Say(said) = request {
                    assert!(!said.chars().any(char::is_control));
                    assert!(speaker.is_some());
                }
            }
            kept.drain(..used);
            scanned = 0;
            if waits {
                break;
            }
        }
        scanned = kept.len();
        assert!(kept.len() <= MAX + 1, "kept {}", kept.len());
    }
});
