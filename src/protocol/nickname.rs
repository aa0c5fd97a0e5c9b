//! `nickname`: a nickname, a welcome, everyone hears everything (`wire.md`, section 3).
//!
//! Knows the shape of what is said and heard. Knows no socket, no clock, and not whose
//! nickname is taken.

use super::framing::OwnHead;
use super::text::{self, Field};
use super::{ANNOUNCED, Event, Refusal, Request};

/// Said on connect: a prompt for netcat, a keyword for the reference client.
pub const GREETING: &[u8] = b"NICK";
/// Said to the newcomer.
pub const WELCOME: &[u8] = b"Welcome to this chatroom!";

/// How notices end.
const JOINED: &str = " join the chat room";
const LEFT: &str = " Left chat room";
const NOTICES: [&str; 2] = [JOINED, LEFT];

/// What the reference client puts in front of what is said.
pub(super) fn own_head(name: &str) -> Box<str> {
    format!("{name}: ").into()
}

/// How framing uses the head made by [`own_head`]. Nothing in it is secret.
pub(super) fn head_of(head: &[u8]) -> OwnHead<'_> {
    OwnHead {
        bytes: head,
        mark: head.len(),
        sayable: head.len(),
        field_follows: false,
        command: None,
    }
}

/// What `frame` asks for. `name` is the session's own, once it has one.
pub(super) fn parse(frame: &str, name: Option<&str>) -> Request {
    let Some(name) = name else { return take_name(frame) };
    let clean = text::clean(frame);
    if clean.trim().is_empty() {
        return Request::Ignore;
    }
    let own = match clean.strip_prefix(name) {
        Some(rest) if rest.starts_with(':') => true,
        Some(rest) => rest.starts_with(' ') && !could_mislead(&clean, rest),
        None => false,
    };
    Request::Say(if own { clean.into_owned() } else { format!("{name}: {clean}") })
}

/// Whether `text`, a nickname and a `rest` that begins with a space, reads like something
/// else: `bob Left` must not be able to say `bob Left chat room`, nor `ana` to speak as
/// `ana maria`, nor anybody to say a word of the server's. What is not seen, and what looks
/// alike, makes no difference.
fn could_mislead(text: &str, rest: &str) -> bool {
    let look = |text: &str| text::look(text).trim().to_owned();
    let (whole, rest) = (look(text), look(rest));
    let welcome = String::from_utf8_lossy(WELCOME);
    rest.is_empty()
        || rest.contains(':')
        || whole == look(&welcome)
        || whole.starts_with(&look(&String::from_utf8_lossy(ANNOUNCED)))
        || NOTICES.iter().any(|notice| whole.ends_with(&look(notice)))
}

fn take_name(frame: &str) -> Request {
    // One of the source documents sends `nickname: `.
    let name = frame.trim_end_matches(' ');
    let name = name.strip_suffix(':').unwrap_or(name);
    Request::TakeName(match text::check(Field::Name, name) {
        Ok(()) => Ok(name.to_owned()),
        Err(error) => Err(Refusal::Text(error)),
    })
}

/// Appends what everyone hears of `event`.
pub(super) fn encode(event: &Event, out: &mut Vec<u8>) {
    let parts: [&[u8]; 2] = match event {
        Event::Joined(name) => [name.as_bytes(), JOINED.as_bytes()],
        Event::Left(name) => [name.as_bytes(), LEFT.as_bytes()],
        Event::Said { text, .. } => [text.as_bytes(), b""],
        Event::Announced(text) => [ANNOUNCED, text.as_bytes()],
        Event::Passed(bytes) => [bytes, b""],
    };
    for part in parts {
        out.extend_from_slice(part);
    }
}
