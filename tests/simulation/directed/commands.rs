//! Commands, private words, what was said before, passwords.

use super::*;
use crate::client::Act;

/// In a world that keeps all and replays so much.
fn world(replayed: usize) -> World {
    world_where(|settings| {
        settings.room.history.messages > 100
            && settings.room.history.bytes > 1 << 20
            && settings.room.history_replayed == replayed
            && settings.room.frame_bytes_max == 8_192
            && settings.queue_hard_bytes > 100_000
            && settings.queue_total_bytes > 1 << 20
    })
}

/// Somebody of the `n`th account who is in the room.
fn member(world: &mut World, n: usize) -> usize {
    let id = somebody_exempt(world, n);
    log_in(world, id, "\n");
    world.conns[id].pipe.borrow_mut().heard.clear();
    id
}

#[test]
fn a_private_word_is_for_the_longest_name_alone() {
    let mut world = world(20);
    let sender = member(&mut world, 1);
    let [short, long] = [member(&mut world, 2), member(&mut world, 5)];
    world.conns[sender].name = "nobody".into();
    let observed = heard(&world, 0).len();
    // Its own name is the beginning of another's.
    send(&mut world, short, "/msg NAME1 b p1.hi\n/msg \"name1\" b p2.hi\n/msg name1 c p3.hi\n");
    assert_eq!(heard(&world, long), "p1.hi - (name2) [private]\n");
    let both = "b p2.hi - (name2) [private]\nc p3.hi - (name2) [private]\n";
    assert_eq!(
        heard(&world, sender),
        format!("[name2 - connected to the server!]\n[name1 b - connected to the server!]\n{both}")
    );
    assert_eq!(heard(&world, short), "[name1 b - connected to the server!]\n");
    assert_eq!(heard(&world, 0).len(), observed, "the room heard of it");
    send(&mut world, short, "/history\n");
    assert!(heard(&world, short).ends_with("[nothing was said yet]\n"));
    assert!(world.records.is_empty(), "it was written down");
}

#[test]
fn a_private_word_stands_where_it_was_said() {
    let mut world = world(20);
    let sender = member(&mut world, 1);
    let addressee = member(&mut world, 2);
    send(&mut world, sender, "one\n/msg name2 p1.two\nthree\n");
    let order = "one - (name1)\np1.two - (name1) [private]\nthree - (name1)\n";
    assert_eq!(heard(&world, addressee), order);
}

#[test]
fn what_was_said_is_replayed_in_lines_and_not_in_bursts() {
    let mut world = world(2);
    let sender = member(&mut world, 1);
    send(&mut world, sender, "one\ntwo\n/me waves\n");
    let lines = somebody_exempt(&mut world, 2);
    log_in(&mut world, lines, "\n");
    let told = heard(&world, lines);
    let texts: Vec<&str> = told.lines().map(|line| &line[..line.len().min(12)]).collect();
    assert_eq!(texts, ["True", "two - (name1", "* name1 wave"], "{told}");
    assert!(told.ends_with(" UTC]\n"), "{told}");
    let bursts = somebody_of(&mut world, Kind::Gentle, 3);
    log_in(&mut world, bursts, ":<socket.socket >");
    assert_eq!(heard(&world, bursts), "True", "a reference client would mistake it");
    assert_eq!(world.records.len(), 3);
}

#[test]
fn while_a_password_is_changed_what_follows_waits() {
    let mut world = world(0);
    let sender = member(&mut world, 1);
    let addressee = member(&mut world, 2);
    let conn = &mut world.conns[sender];
    let (current, new) = (conn.password.clone(), "^^^^^~".to_owned());
    let line = format!("one\n/password {current}:{new}\ntwo\n/msg name2 p1.hi\n");
    conn.script.push(Act::Password { current, new });
    conn.pipe.borrow_mut().to_server.extend(line.into_bytes());
    conn.pipe.borrow_mut().armed = true;
    while world.poll() {}
    assert_eq!(heard(&world, addressee), "one - (name1)\n");
    world.settle(10_000);
    assert_eq!(
        heard(&world, addressee),
        "one - (name1)\ntwo - (name1)\np1.hi - (name1) [private]\n"
    );
    assert!(heard(&world, sender).contains("[your password is changed"), "not told");
    for (password, answer) in [(identity(1).2, "False\n"), ("^^^^^~".into(), "True\n")] {
        send(&mut world, sender, "/exit\n");
        let again = somebody_exempt(&mut world, 1);
        world.conns[again].password.clone_from(&password);
        send(&mut world, again, &format!("[NEW]:login:name1:user1:{password}\n"));
        assert_eq!(heard(&world, again), answer, "{password}");
    }
}

#[test]
fn who_does_not_read_is_not_heard_and_loses_nothing() {
    let mut world = world(0);
    let asker = member(&mut world, 1);
    world.conns[asker].pipe.borrow_mut().capacity = 1_000;
    let helps = 2_000;
    let pipe = std::rc::Rc::clone(&world.conns[asker].pipe);
    pipe.borrow_mut().to_server.extend("/help\n".repeat(helps).into_bytes());
    pipe.borrow_mut().armed = true;
    while world.poll() {}
    let soft = world.settings.queue_soft_bytes;
    let queued = world.server.census().queued_bytes;
    assert!(queued > soft && queued < soft + 1_000, "{queued} of {soft}");
    // It reads again, a little at a time.
    for _ in 0..10_000 {
        pipe.borrow_mut().take(usize::MAX);
        if !world.poll() && pipe.borrow().untaken == 0 {
            break;
        }
    }
    let help = format!("{}\n", chinwag::protocol::commands::HELP);
    assert_eq!(heard(&world, asker), help.repeat(helps));
    assert!(pipe.borrow().to_server.is_empty());
}

#[test]
fn a_server_that_starts_again_goes_on() {
    let mut world = world(20);
    let sender = member(&mut world, 1);
    send(&mut world, sender, "one\ntwo\n");
    let history = world.records.iter().map(|(said, ..)| (**said).clone()).collect();
    let last = world.records[1].0.number;
    let mut again = world_where(|settings| settings.room.history.messages > 100);
    let kept = chinwag::accounts::records::Kept { history, sanctions: Vec::new() };
    again.server.restore(kept);
    let sender = member(&mut again, 1);
    send(&mut again, sender, "/history 2\nthree\n");
    let told = heard(&again, sender);
    assert!(told.starts_with("one - (name1) [history ") && told.contains("\ntwo - ("), "{told}");
    assert_eq!(again.records.last().unwrap().0.number, last + 1);
}
