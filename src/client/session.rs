//! What is said before the chat: sign-up, log-in, nickname, the message to upper-case.
//!
//! Knows frames and answers (lines framing). Knows no socket: it works on anything that
//! reads and writes, and whoever lends the stream sees to it that waits end.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::error::ClientError;
use super::heard::Lines;
use crate::limits;
use crate::protocol::Protocol;
use crate::protocol::text;

/// The greeting of `nickname`, which no line feed follows.
const NICK: &[u8] = b"NICK";
/// How the server begins a reason.
const ERROR: &str = "[ERROR]";

/// Creates an account. The server closes afterwards.
///
/// # Errors
/// `SignUpRefused` with the server's reason, or no proper answer.
pub(super) fn sign_up(
    stream: &mut (impl Read + Write),
    who: &Credentials,
) -> Result<(), ClientError> {
    let answer = ask(stream, &mut Lines::default(), &new_frame("signup", who))?;
    if answer == "Account Created" {
        return Ok(());
    }
    match reason(&answer) {
        Some(why) => Err(ClientError::SignUpRefused(why)),
        None => Err(ClientError::ForeignAnswer(Protocol::Accounts)),
    }
}

/// Logs in. What follows the answer stays in `heard`: it belongs to the chat.
///
/// # Errors
/// `LogInRefused`, or no proper answer.
pub(super) fn log_in(
    stream: &mut (impl Read + Write),
    heard: &mut Lines,
    who: &Credentials,
) -> Result<(), ClientError> {
    match ask(stream, heard, &new_frame("login", who))?.as_str() {
        "True" => Ok(()),
        "False" => Err(ClientError::LogInRefused(None)),
        answer => match reason(answer) {
            Some(why) => Err(ClientError::LogInRefused(Some(why))),
            None => Err(ClientError::ForeignAnswer(Protocol::Accounts)),
        },
    }
}

/// Waits until the server asks for a nickname.
///
/// # Errors
/// It asks nothing, or something else.
pub(super) fn greeting(stream: &mut impl Read, heard: &mut Lines) -> Result<(), ClientError> {
    while heard.pending().len() < NICK.len() && NICK.starts_with(heard.pending()) {
        more(stream, heard, Protocol::Nickname)?;
    }
    if !heard.pending().starts_with(NICK) {
        return Err(ClientError::ForeignAnswer(Protocol::Nickname));
    }
    heard.skip(NICK.len());
    Ok(())
}

/// Gives the nickname the server asked for. What it answers stays in `heard` when it is the
/// welcome. After a refusal the server asks again: `greeting` comes next.
///
/// # Errors
/// `NicknameRefused` with the server's reason, or no proper answer.
pub(super) fn nickname(
    stream: &mut (impl Read + Write),
    heard: &mut Lines,
    name: &str,
) -> Result<(), ClientError> {
    let protocol = Protocol::Nickname;
    let frame = format!("{name}\n");
    stream.write_all(frame.as_bytes()).map_err(|error| failed(&error, protocol))?;
    let refused = loop {
        if let Some(line) = heard.peek() {
            break reason(&String::from_utf8_lossy(line));
        }
        if heard.pending().len() > limits::HEARD_LINE_BYTES_MAX {
            return Err(ClientError::ForeignAnswer(protocol));
        }
        more(stream, heard, protocol)?;
    };
    match refused {
        Some(why) => {
            heard.next();
            Err(ClientError::NicknameRefused(why))
        }
        None => Ok(()),
    }
}

/// Sends one message and returns what comes back, to the end of the stream.
///
/// # Errors
/// `MessageRefused` with the server's reason, or no answer.
pub(super) fn upper_case(
    stream: &mut (impl Read + Write),
    message: &[u8],
) -> Result<Vec<u8>, ClientError> {
    let protocol = Protocol::Uppercase;
    stream.write_all(message).map_err(|error| failed(&error, protocol))?;
    let mut answer = Vec::new();
    // One line, upper-cased: two bytes of a letter may become six.
    let most = 3 * limits::SAID_LINE_BYTES_MAX as u64;
    stream.take(most).read_to_end(&mut answer).map_err(|error| failed(&error, protocol))?;
    if answer.is_empty() {
        return Err(ClientError::ClosedEarly(protocol));
    }
    let text = String::from_utf8_lossy(&answer);
    // A message may begin like a reason.
    let own = String::from_utf8_lossy(message).to_uppercase().starts_with(ERROR);
    match reason(text.trim_end()) {
        Some(why) if !own => Err(ClientError::MessageRefused(why)),
        _ => Ok(answer),
    }
}

/// `[NEW]:kind:name:user_name:password:` and a line feed; the socket field may be left out
/// in lines.
fn new_frame(kind: &str, who: &Credentials) -> Zeroizing<Vec<u8>> {
    let parts = ["[NEW]:", kind, ":", &who.name, ":", &who.user_name, ":", &who.password, ":\n"];
    // Of the right size from the start: a growing buffer would leave copies behind.
    let length = parts.iter().map(|part| part.len()).sum();
    let mut frame = Zeroizing::new(Vec::with_capacity(length));
    for part in parts {
        frame.extend_from_slice(part.as_bytes());
    }
    frame
}

/// Sends a `[NEW]` frame and waits for the line that answers it.
fn ask(
    stream: &mut (impl Read + Write),
    heard: &mut Lines,
    frame: &[u8],
) -> Result<String, ClientError> {
    let protocol = Protocol::Accounts;
    stream.write_all(frame).map_err(|error| failed(&error, protocol))?;
    loop {
        // A server of `nickname` greets without a line feed, then waits.
        if heard.pending().starts_with(NICK) || heard.pending().len() > limits::HEARD_LINE_BYTES_MAX
        {
            return Err(ClientError::ForeignAnswer(protocol));
        }
        if let Some(line) = heard.next() {
            let line = String::from_utf8_lossy(&line.bytes);
            return Ok(line.trim_end_matches('\r').to_owned());
        }
        more(stream, heard, protocol)?;
    }
}

/// Reads once. The end of the stream is an error here: an answer is still missing.
fn more(stream: &mut impl Read, heard: &mut Lines, protocol: Protocol) -> Result<(), ClientError> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ClientError::ClosedEarly(protocol)),
            Ok(count) => {
                heard.push(&buffer[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(&error, protocol)),
        }
    }
}

fn failed(error: &io::Error, protocol: Protocol) -> ClientError {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ClientError::NoAnswer(protocol),
        _ => ClientError::ClosedEarly(protocol),
    }
}

/// The reason in an `[ERROR]` line, fit for a terminal.
fn reason(line: &str) -> Option<String> {
    line.strip_prefix(ERROR).map(|why| text::clean(why.trim()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that answers byte by byte, whatever it is told, and keeps what it was told.
    struct Peer {
        answers: &'static [u8],
        told: Vec<u8>,
    }

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.answers.len().min(1).min(buffer.len());
            let (now, later) = self.answers.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.answers = later;
            Ok(count)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.push(bytes[0]);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn peer(answers: &'static [u8]) -> Peer {
        Peer { answers, told: Vec::new() }
    }

    fn who() -> Credentials {
        Credentials {
            name: "lior".to_owned(),
            user_name: "user".to_owned(),
            password: Zeroizing::new("canary".to_owned()),
        }
    }

    #[test]
    fn a_sign_up() {
        let mut server = peer(b"Account Created\n");
        sign_up(&mut server, &who()).expect("created");
        assert_eq!(server.told, b"[NEW]:signup:lior:user:canary:\n");
    }

    #[test]
    fn a_refused_sign_up_brings_the_reason() {
        let error = sign_up(&mut peer(b"[ERROR] taken\x1b[2J\n"), &who()).expect_err("refused");
        assert!(matches!(error, ClientError::SignUpRefused(why) if why == "taken"));
    }

    #[test]
    fn a_log_in_leaves_what_follows_to_the_chat() {
        let mut server = peer(b"True\n[dana - connected to the server!]\n");
        let mut heard = Lines::default();
        log_in(&mut server, &mut heard, &who()).expect("in");
        assert_eq!(server.told, b"[NEW]:login:lior:user:canary:\n");
        assert_eq!(heard.pending(), b"", "read byte by byte, the rest is still out");
        assert_eq!(server.answers, b"[dana - connected to the server!]\n");
    }

    #[test]
    fn a_log_in_keeps_what_came_with_the_answer() {
        let mut heard = Lines::default();
        heard.push(b"True\nfirst - (dana)\nsec");
        log_in(&mut peer(b""), &mut heard, &who()).expect("in");
        assert_eq!(heard.pending(), b"first - (dana)\nsec");
    }

    #[test]
    fn answers_that_are_no_log_in() {
        type Is = fn(&ClientError) -> bool;
        let cases: [(&[u8], Is); 6] = [
            (b"False\n", |e| matches!(e, ClientError::LogInRefused(None))),
            (
                b"[ERROR] why\n",
                |e| matches!(e, ClientError::LogInRefused(Some(why)) if why == "why"),
            ),
            (b"NICK", |e| matches!(e, ClientError::ForeignAnswer(_))),
            (b"[NEW]:LOGIN:LIOR:USER:CANARY:\n", |e| matches!(e, ClientError::ForeignAnswer(_))),
            (b"", |e| matches!(e, ClientError::ClosedEarly(_))),
            (b"Tru", |e| matches!(e, ClientError::ClosedEarly(_))),
        ];
        for (answer, is) in cases {
            let error = log_in(&mut peer(answer), &mut Lines::default(), &who()).expect_err("no");
            assert!(is(&error), "{answer:?}: {error:?}");
            assert!(!format!("{error} {error:?}").to_lowercase().contains("canary"));
        }
    }

    #[test]
    fn a_nickname_after_a_refusal() {
        let mut server = peer(b"NICK[ERROR] taken\nNICKWelcome to this chatroom!\nlior join");
        let mut heard = Lines::default();
        greeting(&mut server, &mut heard).expect("asked");
        let error = nickname(&mut server, &mut heard, "dana").expect_err("refused");
        assert!(matches!(error, ClientError::NicknameRefused(why) if why == "taken"));
        greeting(&mut server, &mut heard).expect("asked again");
        nickname(&mut server, &mut heard, "lior").expect("in");
        assert_eq!(server.told, b"dana\nlior\n");
        assert_eq!(heard.peek(), Some(&b"Welcome to this chatroom!"[..]));
    }

    #[test]
    fn a_greeting_that_is_none() {
        for (answer, closed) in [(&b"NI"[..], true), (b"NIL", false), (b"True\n", false)] {
            let error = greeting(&mut peer(answer), &mut Lines::default()).expect_err("none");
            assert_eq!(matches!(error, ClientError::ClosedEarly(_)), closed, "{answer:?}");
        }
    }

    #[test]
    fn upper_case_and_its_refusal() {
        assert_eq!(upper_case(&mut peer(b"HI\n"), b"hi\n").expect("answer"), b"HI\n");
        let error = upper_case(&mut peer(b"[ERROR] too long\n"), b"hi\n").expect_err("refused");
        assert!(matches!(error, ClientError::MessageRefused(why) if why == "too long"));
        assert_eq!(
            upper_case(&mut peer(b"[ERROR] X\n"), b"[error] x\n").expect("answer"),
            b"[ERROR] X\n"
        );
        assert!(upper_case(&mut peer(b""), b"hi\n").is_err());
    }
}
