//! The judge: a naive model of the room. Strings in, what everyone must have heard out.
//!
//! Knows nothing of the server but what the clients sent and heard. The observer, who
//! never lags and never speaks, has heard the room's order; everyone else's stream must be
//! a gap-free slice of it, and what each sender said must be in it once and in order.

mod conversation;
mod order;
mod plain;
mod streams;

use chinwag::protocol::Protocol;

use crate::client::{Conn, Kind, Leaving, SECRET_CHARS};
use crate::world::World;
use conversation::{Conversation, Deliveries, private_words};
use order::{Heard, Order, complete_lines, is_own};
use plain::{relay, uppercase};
use streams::{Own, recipient};

/// What was judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// Private words that were heard.
    pub told: u64,
    /// Lines heard by one alone.
    pub answers: u64,
}

pub fn judge(world: &World) -> Judged {
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
        Protocol::Accounts | Protocol::Nickname => return room(world),
    }
    Judged::default()
}

fn room(world: &World) -> Judged {
    let stream = world.conns[0].pipe.borrow().heard.clone();
    let stream = String::from_utf8(stream).expect("UTF-8");
    for never in ["BEFORE", "AFTER", "FORGED", "COMMAND", "BROKEN"] {
        assert!(!stream.contains(never), "somebody said what must not be said: {never}");
    }
    let order = Order::of(world, &stream);
    order.records(world);
    let announced = order.events.iter().filter_map(|event| match event {
        Heard::Announced(text) => Some(*text),
        _ => None,
    });
    assert!(announced.eq(world.announced.iter().map(String::as_str)), "the operator said more");
    for (name, of_name) in &order.spans {
        let entered = world.sessions.get(*name).map_or(0, Vec::len);
        let unseen = world.conns.iter().filter(|c| c.name == *name && c.session.is_none()).count();
        let seen = world.protocol == Protocol::Accounts || unseen == 0;
        assert!(!seen || entered == of_name.len(), "{name}: {entered} log-ins, {of_name:?}");
        let left = of_name.last().is_some_and(|span| span.1.is_some());
        assert!(left || world.server.is_shutting_down(), "{name} never left");
    }
    let mut deliveries = Deliveries::new();
    let owns = observer(world, &order, &stream);
    private_words(world, &world.conns[0], &order, &owns, &mut deliveries);
    let mut sessions: Vec<(&Conn, Vec<Own<'_>>, usize, usize)> = Vec::new();
    for conn in &world.conns[1..] {
        let session = match (conn.session, world.protocol) {
            (None, Protocol::Nickname) if !conn.contested => Some(0),
            (session, _) => session,
        };
        let of_name = order.spans.get(conn.name.as_str());
        // Who came and went within one turn was announced, but not seen to be let in: of
        // several that wanted one nickname nobody knows then whose session was whose.
        let entered = world.sessions.get(&conn.name).map_or(0, Vec::len);
        if conn.contested && of_name.is_some_and(|of_name| of_name.len() != entered) {
            continue;
        }
        let Some(&(from, to)) = session.and_then(|n| of_name.and_then(|s| s.get(n))) else {
            assert!(conn.session.is_none(), "{} entered and was not announced", conn.id);
            stranger(world, conn);
            continue;
        };
        let to = to.unwrap_or(order.events.len());
        let leaves = left(conn) || conn.leaving != Leaving::No;
        let kept = leaves || may_be_lost(world, conn) || conn.kind == Kind::Mixed;
        assert!(kept, "{} was thrown out without a reason", conn.id);
        sender(world, conn, &order.events[from..to]);
        if let Some(owns) = recipient(world, conn, &order, from, to) {
            private_words(world, conn, &order, &owns, &mut deliveries);
            sessions.push((conn, owns, from, to));
        }
    }
    let answers = sessions.iter().map(|(_, owns, ..)| owns.len() as u64).sum();
    let judged = Judged { told: deliveries.len() as u64, answers };
    for (conn, owns, from, to) in sessions {
        let (order, deliveries, owns) = (&order, &deliveries, &owns[..]);
        Conversation { world, conn, order, deliveries, owns, from, to }.judge();
    }
    judged
}

/// What the observer heard alone: what was said before it came, and what it was told.
fn observer<'a>(world: &World, order: &Order<'_>, stream: &'a str) -> Vec<Own<'a>> {
    let (mut place, mut owns) = (0, Vec::new());
    let mut replay = order.history(0, world.settings.room.history_replayed).iter();
    for line in complete_lines(world.protocol, stream) {
        if !is_own(world.protocol, line) {
            place += 1;
        } else if line.ends_with(" UTC]") {
            assert_eq!(replay.next().map(String::as_str), Some(line), "replayed at the start");
        } else {
            owns.push(Own { text: line.into(), after: place, before: place });
        }
    }
    assert_eq!(replay.next(), None, "not replayed at the start");
    owns
}

/// What `conn` said is what it sent: all of it if it left of its own will, once, in order,
/// but for what it said while it was muted.
fn sender(world: &World, conn: &Conn, events: &[Heard<'_>]) {
    let said: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Heard::Said(name, text) if *name == conn.name => Some(*text),
            _ => None,
        })
        .collect();
    let name = conn.name.to_ascii_lowercase();
    let muted = world.mutes.iter().any(|(_, names)| names.contains(&name));
    let whole = complete(world, conn);
    let sent = conn.to_say();
    let right = if conn.kind == Kind::Bursts {
        // Cut anywhere, and parts of a head may have been told: none of it is lower case.
        let head = |c: &char| !(c.is_ascii_uppercase() || "[]: ".contains(*c));
        let letters = |texts: String| texts.chars().filter(head).collect::<String>();
        let (said, sent) = (letters(said.concat()), letters(sent.concat()));
        match (muted, whole) {
            (true, _) => is_subsequence(said.chars(), sent.chars()),
            (_, true) => said == sent,
            (_, false) => sent.starts_with(&said),
        }
    } else {
        match (muted, whole) {
            (true, _) => is_subsequence(said.iter(), sent.iter()),
            (_, true) => said == sent,
            (_, false) => sent.starts_with(&said),
        }
    };
    assert!(
        right,
        "{} {:?} {:?} {:?} said {said:?}, all: {whole}, and sent {sent:?}",
        conn.id,
        conn.session,
        conn.name,
        conn.pipe.borrow().ended_at
    );
}

fn is_subsequence<T: PartialEq>(
    mut part: impl Iterator<Item = T>,
    mut whole: impl Iterator<Item = T>,
) -> bool {
    part.all(|item| whole.any(|other| other == item))
}

/// Whether `conn` must have heard all that was said until it left, and why.
fn heard_all(world: &World, conn: &Conn) -> bool {
    match conn.expelled {
        Some(_) => !is_slow(world, conn),
        None => complete(world, conn),
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
    let removed = conn.account.is_some_and(|account| world.removed.contains(&account));
    removed || conn.expelled.is_some() || is_slow(world, conn)
}

/// Whether `conn` may have been lost, or too slow for its queue.
fn is_slow(world: &World, conn: &Conn) -> bool {
    let pipe = conn.pipe.borrow();
    // Pauses alone may fill a small queue.
    let small = world.settings.queue_hard_bytes.min(world.settings.queue_total_bytes) < 100_000;
    pipe.reset || pipe.lagged || (small && conn.kind.in_bursts())
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
