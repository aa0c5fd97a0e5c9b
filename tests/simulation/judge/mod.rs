//! The judge: a naive model of the room. Strings in, what everyone must have heard out.
//!
//! Knows nothing of the server but what the clients sent and heard. The observer, who
//! never lags and never speaks, has heard the room's order; everyone else's stream must be
//! a gap-free slice of it, and what each sender said must be in it once and in order.

use std::collections::HashMap;

use chinwag::protocol::Protocol;

use crate::client::{Conn, Kind, Leaving, SECRET_CHARS};
use crate::net::Written;
use crate::world::World;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard<'a> {
    Joined(&'a str),
    Left(&'a str),
    Said(&'a str, &'a str),
}

/// From joining to leaving, as places in the room's order.
type Spans<'a> = HashMap<&'a str, Vec<(usize, Option<usize>)>>;

pub fn judge(world: &World) {
    // What a relay passes on has no secrets.
    for conn in world.conns.iter().filter(|_| world.protocol != Protocol::Relay) {
        let stream = conn.pipe.borrow().heard.clone();
        let stream = String::from_utf8_lossy(&stream);
        let leak = stream.lines().find(|line| line.contains(SECRET_CHARS));
        assert!(leak.is_none(), "a secret reached {}: {leak:?}", conn.id);
    }
    match world.protocol {
        Protocol::Relay => relay(world),
        Protocol::Uppercase => uppercase(world),
        Protocol::Accounts | Protocol::Nickname => room(world),
    }
}

fn parse(protocol: Protocol, line: &str) -> Heard<'_> {
    let (joined, left) = match protocol {
        Protocol::Accounts => (" - connected to the server!]", " - disconnected from the server!]"),
        _ => (" join the chat room", " Left chat room"),
    };
    let named = |name: &'_ str| !name.contains(':');
    let open = if protocol == Protocol::Accounts { "[" } else { "" };
    let bare = line.strip_prefix(open);
    if let Some(name) = bare.and_then(|line| line.strip_suffix(joined)).filter(|n| named(n)) {
        return Heard::Joined(&line[open.len()..open.len() + name.len()]);
    }
    if let Some(name) = bare.and_then(|line| line.strip_suffix(left)).filter(|n| named(n)) {
        return Heard::Left(&line[open.len()..open.len() + name.len()]);
    }
    if protocol == Protocol::Accounts {
        let said = line.strip_suffix(')').and_then(|line| line.rsplit_once(" - ("));
        let (text, name) = said.unwrap_or_else(|| panic!("what is this? {line:?}"));
        return Heard::Said(name, text);
    }
    // The beginning of a head, told after a silence, may lack the space.
    let said = line.split_once(':').unwrap_or_else(|| panic!("who says {line:?}?"));
    Heard::Said(said.0, said.1.strip_prefix(' ').unwrap_or(said.1))
}

fn room(world: &World) {
    let stream = world.conns[0].pipe.borrow().heard.clone();
    let stream = String::from_utf8(stream).expect("UTF-8");
    let order = room_lines(world.protocol, &stream);
    let order = &order[usize::from(world.protocol == Protocol::Nickname)..];
    for never in ["BEFORE", "AFTER", "FORGED", "COMMAND", "BROKEN"] {
        assert!(!stream.contains(never), "somebody said what must not be said: {never}");
    }
    let events: Vec<Heard<'_>> = order.iter().map(|line| parse(world.protocol, line)).collect();
    let mut spans: Spans<'_> = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Heard::Joined(name) => {
                let of_name = spans.entry(name).or_default();
                assert!(of_name.last().is_none_or(|s| s.1.is_some()), "{name} came twice");
                of_name.push((at, None));
            }
            Heard::Left(name) => {
                let last = spans.get_mut(name).and_then(|of_name| of_name.last_mut());
                let last = last.unwrap_or_else(|| panic!("{name} left and was never there"));
                assert!(last.1.is_none(), "{name} left twice");
                last.1 = Some(at);
            }
            Heard::Said(name, text) => {
                let inside = spans.get(name).and_then(|n| n.last()).is_some_and(|s| s.1.is_none());
                assert!(inside, "{name} is not in the room and says {text:?}");
            }
        }
    }
    for (name, of_name) in &spans {
        let entered = world.sessions.get(*name).map_or(0, Vec::len);
        let unseen = world.conns.iter().filter(|c| c.name == *name && c.session.is_none()).count();
        let seen = world.protocol == Protocol::Accounts || unseen == 0;
        assert!(!seen || entered == of_name.len(), "{name}: {entered} log-ins, {of_name:?}");
        let left = of_name.last().is_some_and(|span| span.1.is_some());
        assert!(left || world.server.is_shutting_down(), "{name} never left");
    }
    for conn in &world.conns[1..] {
        let session = match (conn.session, world.protocol) {
            (None, Protocol::Nickname) if !conn.contested => Some(0),
            (session, _) => session,
        };
        let of_name = spans.get(conn.name.as_str());
        // Who came and went within one turn was announced, but not seen to be let in: of
        // several that wanted one nickname nobody knows then whose session was whose.
        let entered = world.sessions.get(&conn.name).map_or(0, Vec::len);
        if conn.contested && of_name.is_some_and(|of_name| of_name.len() != entered) {
            continue;
        }
        let span = session.and_then(|n| of_name.and_then(|s| s.get(n)));
        match span {
            Some(&(from, to)) => {
                let to = to.unwrap_or(events.len());
                let leaves = left(conn) || conn.leaving != Leaving::No;
                let kept = leaves || may_be_lost(world, conn) || conn.kind == Kind::Mixed;
                assert!(kept, "{} was thrown out without a reason", conn.id);
                sender(world, conn, &events[from..to]);
                recipient(world, conn, &order[from..to], &events[from..to]);
            }
            _ => {
                assert!(conn.session.is_none(), "{} entered and was not announced", conn.id);
                stranger(world, conn);
            }
        }
    }
}

/// What the room says in `stream`: without what was for this client alone.
fn room_lines(protocol: Protocol, stream: &str) -> Vec<&str> {
    let mut lines = stream.split_inclusive('\n');
    let mut room = Vec::new();
    for line in &mut lines {
        let Some(line) = line.strip_suffix('\n') else { break };
        let line = match protocol {
            Protocol::Nickname => line.strip_prefix("NICK").unwrap_or(line),
            _ => line,
        };
        let own = ["True", "False", "exit_server", "Welcome to this chatroom!"].contains(&line);
        if !own && !line.starts_with("[ERROR] ") {
            room.push(line);
        }
    }
    room
}

/// What `conn` said is what it sent: all of it if it left of its own will, once, in order.
fn sender(world: &World, conn: &Conn, events: &[Heard<'_>]) {
    let said: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Heard::Said(name, text) if *name == conn.name => Some(*text),
            _ => None,
        })
        .collect();
    let whole = complete(world, conn);
    if conn.kind == Kind::Bursts {
        // Cut anywhere, and parts of a head may have been told: none of it is lower case.
        let head = |c: &char| !(c.is_ascii_uppercase() || "[]: ".contains(*c));
        let letters = |texts: String| texts.chars().filter(head).collect::<String>();
        let (said, sent) = (letters(said.concat()), letters(conn.expected.concat()));
        let right = if whole { said == sent } else { sent.starts_with(&said) };
        assert!(
            right,
            "{:?} of {} ({:?}) in bursts sent {sent:?} and said {said:?}",
            conn.session,
            conn.name,
            world.sessions.get(&conn.name)
        );
    } else {
        let sent: Vec<&str> = conn.expected.iter().map(String::as_str).collect();
        let right = if whole { said == sent } else { sent.starts_with(&said) };
        assert!(
            right,
            "{} {:?} {} {:?} {:?} said {said:?}, all: {whole}, and sent {sent:?}",
            conn.id,
            conn.session,
            conn.name,
            String::from_utf8_lossy(&conn.pipe.borrow().heard),
            conn.pipe.borrow().ended_at
        );
    }
}

/// Whether nothing that `conn` sent may be missing, nor anything it was to hear.
fn complete(world: &World, conn: &Conn) -> bool {
    let pipe = conn.pipe.borrow();
    let sent = conn.unsent.is_empty() && pipe.to_server.is_empty();
    left(conn) && sent && !may_be_lost(world, conn)
}

fn left(conn: &Conn) -> bool {
    conn.stayed || conn.leaving == Leaving::Asked || conn.pipe.borrow().ended_at.is_some()
}

/// Whether the server had a reason to end the session of `conn`.
fn may_be_lost(world: &World, conn: &Conn) -> bool {
    let pipe = conn.pipe.borrow();
    let removed = conn.account.is_some_and(|account| world.removed.contains(&account));
    // Pauses alone may fill a small queue.
    let small = world.settings.queue_hard_bytes.min(world.settings.queue_total_bytes) < 100_000;
    pipe.reset || pipe.lagged || removed || (small && conn.kind.in_bursts())
}

/// What `conn` heard is a slice of the room's order, without what it said itself.
fn recipient(world: &World, conn: &Conn, order: &[&str], events: &[Heard<'_>]) {
    let echoes = world.protocol == Protocol::Nickname;
    let own = |event: &Heard<'_>| match event {
        Heard::Said(name, _) | Heard::Joined(name) => *name == conn.name && !echoes,
        Heard::Left(_) => false,
    };
    let due: Vec<&str> =
        order.iter().zip(events).filter(|(_, event)| !own(event)).map(|(line, _)| *line).collect();
    let pipe = conn.pipe.borrow();
    let whole = complete(world, conn);
    let at_least = if whole { due.len() } else { 0 };
    match conn.kind {
        Kind::Gentle | Kind::Bursts => in_bursts(world.protocol, conn, &pipe.writes, &due, whole),
        Kind::Mixed => {
            // Its line feeds depend on when it moved to lines.
            let flat = pipe.heard.iter().copied().filter(|&byte| byte != b'\n');
            let heard: Vec<u8> = flat.collect();
            // An error may also be cut off by the end.
            let private = heard.windows(7).any(|bytes| bytes == b"[ERROR]")
                || (1..7).any(|cut| heard.ends_with(&b"[ERROR]"[..cut]));
            let heard = heard.strip_suffix(b"exit_server").unwrap_or(&heard);
            let welcome = match world.protocol {
                Protocol::Nickname => "NICKWelcome to this chatroom!",
                _ => "True",
            };
            let due = [&[welcome][..], &due].concat().concat();
            let right =
                if whole { heard == due.as_bytes() } else { due.as_bytes().starts_with(heard) };
            let heard = String::from_utf8_lossy(heard);
            assert!(private || right, "{} heard {heard:?} instead of {due:?}", conn.id);
        }
        Kind::Lines | Kind::Observer => {
            let heard = String::from_utf8_lossy(&pipe.heard).into_owned();
            let heard = room_lines(world.protocol, &heard);
            let right = due.starts_with(&heard) && heard.len() >= at_least;
            assert!(right, "{} heard {heard:?} instead of {due:?}, all: {whole}", conn.id);
        }
    }
}

/// The stream of a burst client, write by write: no message is lost, none comes twice, and
/// the manners are kept.
fn in_bursts(protocol: Protocol, conn: &Conn, writes: &[Written], due: &[&str], whole: bool) {
    let mut due = due.iter();
    // What is left of the message at hand, and whether its line feed was written.
    let (mut left, mut parted): (&[u8], bool) = (b"", false);
    let mut logged_in = protocol == Protocol::Nickname;
    let mut just_let_in = false;
    let mut last = None;
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
                    if line_feed != (closely || at > 0) {
                        for w in writes.iter().filter(|w| w.at.abs_diff(*time).as_millis() < 200) {
                            eprintln!(
                                "{:?} {} {:?}",
                                w.at,
                                w.taken,
                                String::from_utf8_lossy(&w.offered)
                            );
                        }
                        eprintln!("{conn:?}");
                    }
                    assert_eq!(line_feed, closely || at > 0, "{who:?}: line feed");
                    at += usize::from(line_feed);
                    parted = at == *taken;
                    if parted {
                        break;
                    }
                }
                parted = false;
                left = match private_message(&offered[at..], logged_in) {
                    Some(b"exit_server") => {
                        assert!(since.is_none_or(|since| since >= 150), "{who:?}: too soon");
                        return;
                    }
                    Some(own) => own,
                    None => due.next().unwrap_or_else(|| panic!("{who:?}: more")).as_bytes(),
                };
                just_let_in = !logged_in && left == b"True";
                logged_in |= just_let_in;
            }
            let length = left.len().min(taken - at);
            let heard = &offered[at..at + length];
            let right = left[..length] == *heard;
            assert!(right, "{who:?} heard {:?}", String::from_utf8_lossy(heard));
            (left, at) = (&left[length..], at + length);
        }
        just_let_in &= left.is_empty() && offered.ends_with(b"True");
    }
    let missing = left.len() + due.map(|due| due.len()).sum::<usize>();
    assert!(!whole || missing == 0, "{} misses {missing} bytes: {conn:?}", conn.id);
}

/// A message for this client alone at the start of `bytes`.
fn private_message(bytes: &[u8], logged_in: bool) -> Option<&[u8]> {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let welcome = !logged_in && line == b"True";
    let greeting =
        line == b"NICK" || line == b"exit_server" || line == b"Welcome to this chatroom!";
    (welcome || greeting || line.starts_with(b"[ERROR] ")).then_some(line)
}

/// Whoever was never let in heard nothing of the room.
fn stranger(world: &World, conn: &Conn) {
    let heard = String::from_utf8_lossy(&conn.pipe.borrow().heard).into_owned();
    if world.protocol == Protocol::Nickname && conn.contested {
        return;
    }
    let mut heard = heard.replace("NICK", "");
    while let Some(rest) = heard.strip_prefix("[ERROR] ") {
        heard = rest.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned());
    }
    let allowed = ["", "NICK", "False", "False\n", "Account Created", "Account Created\n"];
    let torn = conn.pipe.borrow().lagged;
    if torn && "[ERROR] ".starts_with(&heard) {
        return;
    }
    let fine = allowed.iter().any(|a| *a == heard || (torn && a.starts_with(&heard)));
    assert!(fine, "never logged in and heard {heard:?}: {conn:?}");
    if heard.starts_with("Account") && !torn {
        assert!(conn.sign_up && world.worker.has_had(&conn.user_name), "not stored");
    }
}

fn relay(world: &World) {
    let passed = &world.net.borrow().passed;
    for conn in &world.conns {
        let Some(&from) = world.came_at.get(&conn.id) else { continue };
        let pipe = conn.pipe.borrow();
        let to = pipe.ended_at.unwrap_or(passed.len());
        let due: Vec<u8> = passed[from..to]
            .iter()
            .filter(|(id, _)| *id != conn.id)
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect();
        assert!(due.starts_with(&pipe.heard), "{} heard something else", conn.id);
        let whole = pipe.ended_at.is_some() && !pipe.reset && !pipe.lagged;
        assert!(!whole || pipe.heard.len() == due.len(), "{} misses something", conn.id);
    }
}

fn uppercase(world: &World) {
    for conn in &world.conns[1..] {
        let mut due = conn.expected.concat();
        if !conn.kind.in_bursts() {
            due.push('\n');
        }
        let pipe = conn.pipe.borrow();
        let heard = String::from_utf8_lossy(&pipe.heard).into_owned();
        assert!(due.starts_with(&heard) || pipe.lagged, "{} heard {heard:?}", conn.id);
        let whole = conn.sent > 0 && !pipe.reset && !pipe.lagged && pipe.closed;
        let refused = conn.client.is_none() || heard.is_empty();
        assert!(!whole || refused || heard == due, "{} heard {heard:?}", conn.id);
    }
}
