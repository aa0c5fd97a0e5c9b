//! Single scenes in the simulator's world, for what chance does not check.

mod commands;
mod operator;

use std::time::Duration;

use chinwag::protocol::Protocol;

use crate::client::Kind;
use crate::world::{World, identity};

/// The first world of `accounts` with settings like these.
fn world_where(fits: impl Fn(&chinwag::server::settings::Settings) -> bool) -> World {
    let mut worlds = (1..10_000).map(|seed| World::of(Protocol::Accounts, seed));
    worlds.find(|world| fits(&world.settings)).expect("such a world")
}

/// A client of the `n`th account that sends nothing yet.
fn somebody(world: &mut World, kind: Kind, n: usize, exempt: bool) -> usize {
    loop {
        world.connect(kind);
        let conn = world.conns.last_mut().unwrap();
        conn.unsent.clear();
        conn.pipe.borrow_mut().capacity = usize::MAX;
        (conn.name, conn.user_name, conn.password) = identity(n);
        conn.sign_up = false;
        let (id, fits) = (conn.id, conn.exempt == exempt);
        world.settle(10_000);
        if fits {
            return id;
        }
    }
}

fn send(world: &mut World, id: usize, bytes: &str) {
    world.conns[id].unsent.push_back(bytes.into());
    world.settle(10_000);
}

fn log_in(world: &mut World, id: usize, end: &str) {
    let conn = &world.conns[id];
    let new = format!("[NEW]:login:{}:{}:{}{end}", conn.name, conn.user_name, conn.password);
    send(world, id, &new);
    // Silence may have to tell that this was all.
    for _ in 0..4 {
        world.pass(Duration::from_millis(51));
        world.settle(10_000);
    }
    assert!(world.conns[id].session.is_some(), "not let in");
}

fn heard(world: &World, id: usize) -> String {
    String::from_utf8(world.conns[id].pipe.borrow().heard.clone()).unwrap()
}

#[test]
fn a_late_line_feed_moves_a_client_to_lines() {
    let mut world = World::of(Protocol::Accounts, 1);
    let late = somebody(&mut world, Kind::Lines, 1, true);
    log_in(&mut world, late, ":x");
    assert_eq!(heard(&world, late), "True", "taken for a burst client");
    let other = somebody(&mut world, Kind::Lines, 2, true);
    log_in(&mut world, other, "\n");
    assert_eq!(heard(&world, late), "True[name2 - connected to the server!]");
    send(&mut world, late, "\n");
    send(&mut world, other, "one\n");
    send(&mut world, other, "two\n");
    let heard = heard(&world, late);
    assert!(heard.ends_with("one - (name2)\ntwo - (name2)\n"), "{heard:?}");
}

#[test]
fn twenty_messages_at_once_then_ten_a_second() {
    let mut world = World::of(Protocol::Accounts, 2);
    let sender = somebody(&mut world, Kind::Lines, 1, false);
    log_in(&mut world, sender, "\n");
    // The log-in was a message too, and has been forgiven since.
    world.pass(Duration::from_secs(3));
    let conn = &world.conns[sender];
    conn.pipe.borrow_mut().to_server.extend("hey\n".repeat(40).into_bytes());
    conn.pipe.borrow_mut().armed = true;
    let mut counts = Vec::new();
    for wait in [0, 90, 20, 90, 800, 2_000] {
        world.pass(Duration::from_millis(wait));
        while world.poll() {}
        counts.push(heard(&world, 0).matches("hey - (name1)").count());
    }
    assert_eq!(counts, [20, 20, 21, 22, 30, 40]);
}

#[test]
fn a_name_is_free_as_soon_as_its_bearer_has_left() {
    let mut world = World::of(Protocol::Accounts, 3);
    for _ in 0..3 {
        let id = somebody(&mut world, Kind::Lines, 1, true);
        log_in(&mut world, id, "\n");
        send(&mut world, id, "exit()\n");
    }
    let notices = heard(&world, 0);
    assert_eq!(notices.matches("[name1 - connected to the server!]\n").count(), 3);
    assert_eq!(notices.matches("[name1 - disconnected from the server!]\n").count(), 3);
}

#[test]
fn out_of_descriptors_and_full_the_loop_sleeps() {
    let small = |seed| Some(World::of(Protocol::Accounts, seed));
    let mut world = (1..1_000)
        .filter_map(small)
        .find(|world| world.settings.connections_max < 8 && world.settings.room.per_address > 8)
        .unwrap();
    let members: Vec<usize> = (1..world.settings.connections_max)
        .map(|n| {
            let id = somebody_exempt(&mut world, n);
            if n > 1 {
                log_in(&mut world, id, "\n");
            }
            id
        })
        .collect();
    // One has yet to log in, so a newcomer might have its place, were there a descriptor.
    let open = world.net.borrow().open;
    world.net.borrow_mut().descriptors = open;
    world.connect(Kind::Lines);
    while world.poll() {}
    let conn = &world.conns[members[0]];
    let new = format!("[NEW]:login:{}:{}:{}\n", conn.name, conn.user_name, conn.password);
    let pipe = std::rc::Rc::clone(&conn.pipe);
    pipe.borrow_mut().to_server.extend(new.into_bytes());
    pipe.borrow_mut().armed = true;
    for _ in 0..10 {
        while world.poll() {}
        let mut rng = super::rng::Rng::new(1);
        world.worker.work(&mut rng, false);
    }
    assert!(world.conns[members[0]].session.is_some(), "not let in");
    world.pass(Duration::from_secs(5));
    for _ in 0..100 {
        if !world.poll() {
            return;
        }
    }
    panic!("turns without end");
}

/// One of the operator's machine.
fn somebody_exempt(world: &mut World, n: usize) -> usize {
    somebody_of(world, Kind::Lines, n)
}

fn somebody_of(world: &mut World, kind: Kind, n: usize) -> usize {
    let id = world.conns.len();
    world.always_exempt = true;
    let found = somebody(world, kind, n, true);
    assert_eq!(found, id, "the first is");
    found
}

#[test]
fn what_is_too_much_for_a_turn_is_read_in_the_next() {
    let mut world = World::of(Protocol::Accounts, 4);
    let sender = somebody(&mut world, Kind::Lines, 1, true);
    log_in(&mut world, sender, "\n");
    send(&mut world, sender, &"hey\n".repeat(900));
    while world.poll() {}
    assert_eq!(heard(&world, 0).matches("hey - (name1)").count(), 900);
}

#[test]
fn what_fills_a_whole_read_is_read_on() {
    let mut world = World::of(Protocol::Relay, 1);
    let sender = somebody_exempt(&mut world, 1);
    let bytes = 200_000;
    let conn = &world.conns[sender];
    conn.pipe.borrow_mut().to_server.extend(vec![b'x'; bytes]);
    conn.pipe.borrow_mut().armed = true;
    while world.poll() {}
    assert_eq!(heard(&world, 0).len(), bytes);
}
