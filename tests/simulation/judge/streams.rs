//! What a client heard: a slice of the room's order without what it said itself, and
//! between it what was for it alone.

use std::borrow::Cow;

use chinwag::protocol::Protocol;

use super::order::{Heard, Order, complete_lines, is_own};
use super::{complete, heard_all};
use crate::client::{Act, Conn, Kind};
use crate::net::Written;
use crate::world::World;

/// What was heard for oneself alone, between two places of the room's order.
#[derive(Debug, Clone)]
pub struct Own<'a> {
    pub text: Cow<'a, str>,
    /// All before this place was decided before.
    pub after: usize,
    /// What is at this place was decided after it.
    pub before: usize,
}

/// What `conn` has to hear of its session, each with its place.
fn due<'a>(world: &World, conn: &Conn, order: &Order<'a>, from: usize, to: usize) -> Due<'a> {
    let echoes = world.protocol == Protocol::Nickname;
    let own = |event: &Heard<'_>| match event {
        Heard::Said(name, _) | Heard::Joined(name) => *name == conn.name && !echoes,
        Heard::Left(_) | Heard::Announced(_) => false,
    };
    let places = (from..to).filter(|&at| !own(&order.events[at]));
    let (places, lines) = places.map(|at| (at, order.lines[at])).unzip();
    Due { places, lines, from: from + 1, to, heard: 0, owns: Vec::new() }
}

/// The room's order for one client, as far as it has heard it.
struct Due<'a> {
    places: Vec<usize>,
    lines: Vec<&'a str>,
    from: usize,
    to: usize,
    heard: usize,
    owns: Vec<Own<'a>>,
}

impl<'a> Due<'a> {
    fn next(&self) -> Option<&'a str> {
        self.lines.get(self.heard).copied()
    }

    fn own(&mut self, text: Cow<'a, str>) {
        let last = self.heard.checked_sub(1).and_then(|at| self.places.get(at));
        let after = last.map_or(self.from, |at| at + 1);
        let before = self.places.get(self.heard).copied().unwrap_or(self.to);
        self.owns.push(Own { text, after, before: before.max(after) });
    }
}

/// Checks what `conn` heard from `from` to `to`, and returns what was for it alone since it
/// was let in. `None`: its stream does not tell.
pub fn recipient<'a>(
    world: &'a World,
    conn: &Conn,
    order: &Order<'a>,
    from: usize,
    to: usize,
) -> Option<Vec<Own<'a>>> {
    let mut due = due(world, conn, order, from, to);
    let pipe = conn.pipe.borrow();
    match conn.kind {
        Kind::Gentle | Kind::Bursts => {
            in_bursts(world.protocol, conn, &pipe.writes, &mut due, order);
            let all = due.heard == due.lines.len();
            assert!(!heard_all(world, conn) || all, "{} misses something: {conn:?}", conn.id);
            Some(due.owns)
        }
        Kind::Mixed => {
            mixed(world, conn, &pipe.heard, &due, order);
            None
        }
        Kind::Lines | Kind::Observer => {
            let heard = String::from_utf8_lossy(&pipe.heard).into_owned();
            let mut inside = false;
            for line in complete_lines(world.protocol, &heard) {
                if !is_own(world.protocol, line) {
                    let right = due.next() == Some(line);
                    assert!(right, "{} heard {line:?} instead of {:?}", conn.id, due.next());
                    due.heard += 1;
                } else if inside {
                    due.own(Cow::Owned(line.to_owned()));
                }
                inside |= line == "True" || line == "Welcome to this chatroom!";
            }
            let all = due.heard == due.lines.len();
            assert!(!heard_all(world, conn) || all, "{} misses {:?}", conn.id, due.next());
            Some(due.owns)
        }
    }
}

/// The stream of a client whose line feeds depend on when it moved to lines.
fn mixed(world: &World, conn: &Conn, heard: &[u8], due: &Due<'_>, order: &Order<'_>) {
    let flat: Vec<u8> = heard.iter().copied().filter(|&byte| byte != b'\n').collect();
    // It may be cut off inside a character.
    let mut heard = String::from_utf8_lossy(&flat).trim_end_matches('\u{fffd}').to_owned();
    // An error may also be cut off by the end.
    let told = |text: &str| {
        text.contains("[ERROR]") || (1..7).any(|cut| text.ends_with(&"[ERROR]"[..cut]))
    };
    if told(&heard) {
        return;
    }
    let senders = if heard.contains("[private]") { &world.conns[..] } else { &[] };
    for sender in senders {
        for act in &sender.script {
            let Act::Tell { rest, marker } = act else { continue };
            // Whatever name it was that stood before the text.
            let at = rest.find(&format!("{marker}.")).unwrap_or_default();
            let words = rest[..at].match_indices(' ').map(|(space, _)| space + 1);
            let texts = words.map(|at| format!("{} - ({}) [private]", &rest[at..], sender.name));
            if let Some(text) = texts.into_iter().find(|text| heard.contains(text.as_str())) {
                heard = heard.replacen(&text, "", 1);
            }
        }
    }
    if heard.contains(" - (") && world.conns.iter().any(|c| cut_private(c, &heard)) {
        return;
    }
    let heard = heard.strip_suffix("exit_server").unwrap_or(&heard);
    let welcome = match world.protocol {
        Protocol::Nickname => "NICKWelcome to this chatroom!",
        _ => "True",
    };
    let replay = order.history(due.from - 1, world.settings.room.history_replayed).concat();
    let whole = complete(world, conn);
    let right = ["", &replay].into_iter().any(|replay| {
        let due = [welcome, replay].concat() + &due.lines.concat();
        if whole { heard == due } else { due.starts_with(heard) }
    });
    let lines = due.lines.concat();
    assert!(right, "{} heard {heard:?} instead of {replay:?} and {lines:?}", conn.id);
}

/// Whether `heard` ends in the beginning of something that `sender` told somebody.
fn cut_private(sender: &Conn, heard: &str) -> bool {
    sender.script.iter().any(|act| match act {
        Act::Tell { marker, .. } => heard.contains(&format!("{marker}.")),
        _ => false,
    })
}

/// The stream of a burst client, write by write: no message is lost, none comes twice, and
/// the manners are kept.
fn in_bursts(
    protocol: Protocol,
    conn: &Conn,
    writes: &[Written],
    due: &mut Due<'_>,
    order: &Order<'_>,
) {
    // What is left of the message at hand, and whether its line feed was written.
    let (mut left, mut parted): (Vec<u8>, bool) = (Vec::new(), false);
    let mut logged_in = protocol == Protocol::Nickname;
    let mut just_let_in = false;
    let mut last = None;
    // Whether the message at hand is the room's, or this client's own.
    let mut at_hand = None;
    for Written { at: time, offered, taken } in writes {
        let who = (conn.id, time);
        let since = last.replace(*time).map(|last| (*time - last).as_millis());
        assert!(offered.len() <= 1_000, "{who:?}: one write is too long");
        let closely = since.is_some_and(|since| since < 50);
        assert!(!(just_let_in && closely), "{who:?}: no silence after True");
        let mut at = 0;
        while at < *taken {
            if left.is_empty() {
                if !parted {
                    let line_feed = offered[at] == b'\n';
                    assert_eq!(line_feed, closely || at > 0, "{who:?}: line feed: {conn:?}");
                    at += usize::from(line_feed);
                    parted = at == *taken;
                    if parted {
                        break;
                    }
                }
                parted = false;
                let start = first_line(&offered[at..]);
                left = match due.next() {
                    Some(line) if is_start(start, line.as_bytes()) => {
                        due.heard += 1;
                        at_hand = Some(true);
                        line.as_bytes().to_vec()
                    }
                    next => {
                        let own = own_message(protocol, conn, start, logged_in, order);
                        let own = own.unwrap_or_else(|| {
                            let start = String::from_utf8_lossy(start);
                            panic!("{who:?} heard {start:?} instead of {next:?}")
                        });
                        if own == b"exit_server" {
                            let soon = since.is_some_and(|since| since < 150);
                            assert!(!soon, "{who:?}: too soon");
                            return;
                        }
                        at_hand = None;
                        own
                    }
                };
                just_let_in = !logged_in && left == b"True";
                let word = [&b"Welcome to this chatroom!"[..], b"NICK"].contains(&&left[..]);
                if at_hand.is_none() && logged_in && !word {
                    at_hand = Some(false);
                    due.own(Cow::Owned(String::from_utf8_lossy(&left).into_owned()));
                }
                logged_in |= just_let_in;
            }
            let length = left.len().min(taken - at);
            let heard = &offered[at..at + length];
            let right = left[..length] == *heard;
            assert!(right, "{who:?} heard {:?}", String::from_utf8_lossy(heard));
            left.drain(..length);
            at += length;
        }
        just_let_in &= left.is_empty() && offered.ends_with(b"True");
    }
    // What was not heard to its end does not count.
    match at_hand.filter(|_| !left.is_empty()) {
        Some(true) => due.heard -= 1,
        Some(false) => drop(due.owns.pop()),
        None => {}
    }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == b'\n').next().unwrap_or_default()
}

/// Whether `start`, all of a message that was offered in one write, begins `line`: whole,
/// or as much of it as one write may have.
fn is_start(start: &[u8], line: &[u8]) -> bool {
    line == start || (start.len() > 900 && line.starts_with(start))
}

fn is_own_text(protocol: Protocol, message: &[u8]) -> bool {
    std::str::from_utf8(message).is_ok_and(|message| is_own(protocol, message))
}

/// The message for this client alone that begins as `start`.
fn own_message(
    protocol: Protocol,
    conn: &Conn,
    start: &[u8],
    logged_in: bool,
    order: &Order<'_>,
) -> Option<Vec<u8>> {
    let greeting = [&b"NICK"[..], b"exit_server", b"Welcome to this chatroom!"].contains(&start);
    let welcome = !logged_in && start == b"True";
    if welcome || greeting || is_own_text(protocol, start) {
        return Some(start.to_vec());
    }
    if start.len() <= 900 {
        return None;
    }
    let private = |text: &&String| text.as_bytes().starts_with(start);
    let private = order.private.iter().find(private).map(String::as_bytes);
    assert!(protocol == Protocol::Accounts, "{} heard something else", conn.id);
    private.or_else(|| order.history_line(start)).map(<[u8]>::to_vec)
}
