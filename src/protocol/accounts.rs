//! `accounts`: sign up, log in, chat (`wire.md`, section 2).
//!
//! Knows the shape of `[NEW]`, `[ACTIVE]` and `:REMOVE:` frames and of what is heard. Knows
//! no socket, no clock, no account but the session's own head.

use std::sync::Arc;

use jiff::Timestamp;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::commands::{self, PASSWORD};
use super::framing::{Completeness, Framing, OwnHead};
use super::text::{self, Field};
use super::{ANNOUNCED, Event, Refusal, Request};
use crate::accounts::Credentials;
use crate::accounts::records::Said;

/// A sign-up is stored.
pub const ACCOUNT_CREATED: &[u8] = b"Account Created";
/// A log-in is accepted.
pub const LOGGED_IN: &[u8] = b"True";
/// A log-in is refused.
pub const LOG_IN_REFUSED: &[u8] = b"False";
/// The server is shutting down.
pub const EXIT_SERVER: &[u8] = b"exit_server";
/// What leaves the room when it is said.
pub const EXIT: &str = "exit()";

const NEW: &str = "[NEW]";
const ACTIVE: &str = "[ACTIVE]";
const ACTIVE_FIELD: &str = "[ACTIVE]:";
const REMOVE: &str = ":REMOVE:";

/// Whether `bytes` without a line feed are a frame of a reference client.
pub(super) fn completeness(bytes: &[u8]) -> Completeness {
    if bytes == REMOVE.as_bytes() {
        return Completeness::Whole;
    }
    if !bytes.starts_with(b"[NEW]:") {
        return Completeness::Partial;
    }
    let mut fields = bytes.splitn(6, |&byte| byte == b':').skip(5);
    match fields.next() {
        None | Some([]) => Completeness::Partial,
        Some(socket) if socket.starts_with(b"<socket.socket ") && socket.ends_with(b">") => {
            Completeness::Whole
        }
        Some(socket) if socket.starts_with(b"<") && !socket.ends_with(b">") => {
            Completeness::Partial
        }
        Some(_) => Completeness::AfterSilence,
    }
}

/// What the `[ACTIVE]` frames of a session begin with.
pub(super) fn own_head(credentials: &Credentials) -> Box<str> {
    let Credentials { name, user_name, password } = credentials;
    // The exact size: growing would leave a copy of the password behind, not wiped.
    let size = ACTIVE_FIELD.len() + name.len() + user_name.len() + password.len() + 3;
    let mut head = String::with_capacity(size);
    for field in [ACTIVE, name, user_name, password.as_str()] {
        head.push_str(field);
        head.push(':');
    }
    head.into_boxed_str()
}

/// The user name in a head.
pub(super) fn user_name_in(head: &str) -> Option<&str> {
    head.strip_prefix(ACTIVE_FIELD)?.split(':').nth(1)
}

/// Where the name stands in a head.
pub(super) const NAME_AT: usize = ACTIVE_FIELD.len();

/// How framing uses the head made by [`own_head`].
pub(super) fn head_of(head: &[u8]) -> OwnHead<'_> {
    // The head ends in `password:`; a password has no colon.
    let before_password = head[..head.len() - 1].iter().rposition(|&byte| byte == b':');
    OwnHead {
        bytes: head,
        mark: before_password.map_or(head.len(), |colon| colon + 1),
        sayable: ACTIVE_FIELD.len(),
        field_follows: true,
        command: Some(b'/'),
    }
}

/// What `frame` asks for. `head` is the session's own, once it has logged in.
pub(super) fn parse(frame: &str, framing: Framing, head: Option<&[u8]>) -> Request {
    if frame == REMOVE {
        return Request::Drop;
    }
    match head {
        None => parse_before_log_in(frame, framing),
        Some(head) => parse_after_log_in(frame, head),
    }
}

fn parse_before_log_in(frame: &str, framing: Framing) -> Request {
    if let Some(rest) = frame.strip_prefix("[NEW]:signup:") {
        return Request::SignUp(credentials(rest, framing));
    }
    if let Some(rest) = frame.strip_prefix("[NEW]:login:") {
        return Request::LogIn(credentials(rest, framing).ok());
    }
    if starts_as(frame, NEW) {
        return Request::Refuse(Refusal::MalformedNew);
    }
    Request::Refuse(Refusal::NotLoggedIn)
}

/// Parses `name:user_name:password:client_socket`, the last of which only lines may omit.
fn credentials(fields: &str, framing: Framing) -> Result<Credentials, Refusal> {
    let mut rest = fields.split(':');
    let (Some(name), Some(user_name), Some(password)) = (rest.next(), rest.next(), rest.next())
    else {
        return Err(Refusal::MalformedNew);
    };
    match (rest.next(), rest.next()) {
        (Some(_), None) => {}
        (None, None) if framing == Framing::Lines => {}
        _ => return Err(Refusal::MalformedNew),
    }
    for (field, value) in
        [(Field::Name, name), (Field::UserName, user_name), (Field::Password, password)]
    {
        text::check(field, value).map_err(Refusal::Text)?;
    }
    Ok(Credentials {
        name: name.to_owned(),
        user_name: user_name.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    })
}

fn parse_after_log_in(frame: &str, head: &[u8]) -> Request {
    if frame.starts_with(ACTIVE_FIELD) {
        return match frame.as_bytes().split_at_checked(head.len()) {
            Some((claimed, _)) if bool::from(claimed.ct_eq(head)) => {
                // A head ends in a colon, so this is a boundary between characters.
                match frame[head.len()..].split_once(':') {
                    // A head inside the socket field: two frames, the first without text.
                    // What follows may be a password.
                    Some((socket, _)) if socket.contains(ACTIVE) => {
                        Request::Refuse(Refusal::MalformedActive)
                    }
                    Some((_, message)) => say(message),
                    None => Request::Refuse(Refusal::MalformedActive),
                }
            }
            _ => Request::Refuse(Refusal::NotLoggedIn),
        };
    }
    if frame.starts_with("[NEW]:") {
        return Request::Refuse(Refusal::AlreadyLoggedIn);
    }
    say(frame)
}

/// What text asks for that goes on with a frame before: it is said, since the rest of a long
/// message is, and is no command, whatever it begins with. The rest of a command is not said.
pub(super) fn parse_rest(text: &str, of_command: bool) -> Request {
    let clean = text::clean(text);
    if of_command {
        Request::Refuse(Refusal::RestOfCommand)
    } else if may_hold_password(&clean) {
        Request::Refuse(Refusal::HoldsCredentials)
    } else if clean.trim().is_empty() {
        Request::Ignore
    } else {
        Request::Say(clean.into_owned())
    }
}

fn say(message: &str) -> Request {
    let clean = text::clean(message);
    if clean.trim() == EXIT {
        return Request::Leave;
    }
    let text = match clean.strip_prefix('/') {
        Some(rest) if rest.starts_with('/') => rest,
        Some(rest) => return commands::parse(rest),
        None => &clean,
    };
    if [message, text].into_iter().any(may_hold_password) {
        return Request::Refuse(Refusal::HoldsCredentials);
    }
    if text.trim().is_empty() { Request::Ignore } else { Request::Say(text.to_owned()) }
}

/// Whether `text` looks as if it may hold a password: then it is never said to anyone.
/// So does what would change one, had it not a space or another slash in front.
pub(super) fn may_hold_password(text: &str) -> bool {
    starts_as(text, NEW) || starts_as(text, ACTIVE) || starts_as(text, PASSWORD)
}

/// Whether `text` starts with `tag`, leading spaces, invisible characters and letter case
/// aside.
fn starts_as(text: &str, tag: &str) -> bool {
    let visible = text.chars().filter(|&c| !text::is_invisible(c));
    let mut visible = visible.skip_while(|c| c.is_whitespace());
    tag.chars().all(|c| visible.next().is_some_and(|v| v.eq_ignore_ascii_case(&c)))
}

/// Appends what the others hear of `event`.
pub(super) fn encode(event: &Event, out: &mut Vec<u8>) {
    let parts: [&[u8]; 4] = match event {
        Event::Joined(name) => [b"[", name.as_bytes(), b" - connected to the server!]", b""],
        Event::Left(name) => [b"[", name.as_bytes(), b" - disconnected from the server!]", b""],
        Event::Said { name, text } => [text.as_bytes(), b" - (", name.as_bytes(), b")"],
        Event::Announced(text) => [ANNOUNCED, text.as_bytes(), b"", b""],
        Event::Passed(bytes) => [bytes, b"", b"", b""],
    };
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// What somebody hears alone. Like what the server itself says, it ends otherwise than what
/// is said to the room, so that nobody can make one pass for the other.
pub(super) fn encode_private(name: &str, text: &str) -> String {
    format!("{text} - ({name}) [private]")
}

/// What somebody does, as a message.
pub(super) fn action(name: &str, text: &str) -> String {
    format!("* {name} {text}")
}

/// What was said before, a line each.
pub(super) fn encode_history(history: &[Arc<Said>]) -> String {
    if history.is_empty() {
        return "[nothing was said yet]".to_owned();
    }
    let line = |said: &Arc<Said>| {
        let Said { at, name, text, .. } = &**said;
        let at = Timestamp::from_second(*at).unwrap_or_default();
        format!("{text} - ({name}) [history {} UTC]", at.strftime("%Y-%m-%d %H:%M"))
    };
    history.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// How many bytes [`encode_history`] makes of `said`, its line feed included.
pub(super) fn history_line_bytes(said: &Said) -> usize {
    said.text.len() + said.name.len() + " - () [history 0000-00-00 00:00 UTC]\n".len()
}

/// Who is here: `names` of them, `total` in all. A name has no parentheses.
pub(super) fn encode_who(names: &[Box<str>], total: usize) -> String {
    let mut text = format!("[{total} here:");
    for name in names {
        text.push_str(&format!(" ({name})"));
    }
    match total - names.len().min(total) {
        0 => text.push(']'),
        more => text.push_str(&format!(" ... and {more} more]")),
    }
    text
}
