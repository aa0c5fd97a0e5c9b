//! The operator's hand, and cables that are pulled.

use super::*;

fn member(world: &mut World, n: usize) -> usize {
    let id = somebody_exempt(world, n);
    log_in(world, id, "\n");
    world.conns[id].pipe.borrow_mut().heard.clear();
    id
}

fn world() -> World {
    world_where(|settings| settings.queue_hard_bytes > 100_000 && settings.connections_max > 10)
}

#[test]
fn who_is_muted_is_heard_by_nobody_until_it_is_over() {
    let mut world = world();
    let muted = member(&mut world, 1);
    let other = member(&mut world, 2);
    assert!(world.order("mute name1 10m").0);
    send(&mut world, muted, "one\n/me waves\n/msg name2 p1.hi\n/who\n");
    assert_eq!(heard(&world, other), "");
    let told = heard(&world, muted);
    assert_eq!(told.matches("[ERROR] the operator has muted you for another 10m\n").count(), 3);
    assert!(told.contains(" here: "), "it may listen and look");
    world.pass(Duration::from_secs(600));
    send(&mut world, muted, "two\n");
    assert_eq!(heard(&world, other), "two - (name1)\n");
}

#[test]
fn who_is_kicked_is_told_and_gone_at_once() {
    let mut world = world();
    let [other, kicked] = [member(&mut world, 2), member(&mut world, 1)];
    world.conns[other].pipe.borrow_mut().heard.clear();
    assert!(world.order("kick name1").0);
    let client = world.conns[kicked].client.unwrap();
    assert!(!world.server.is_in_room(client));
    send(&mut world, kicked, "am I here?\n");
    assert_eq!(heard(&world, kicked), "[ERROR] the operator has removed you from the room\n");
    assert_eq!(heard(&world, other), "[name1 - disconnected from the server!]\n");
    member(&mut world, 1);
}

#[test]
fn who_is_banned_stays_out_until_it_is_over() {
    let mut world = world();
    let banned = member(&mut world, 1);
    assert!(world.order("ban NAME1 10m").0);
    world.settle(10_000);
    assert_eq!(heard(&world, banned), "[ERROR] the operator has banned you\n");
    assert!(world.conns[banned].pipe.borrow().write_shut, "its connection goes on");
    let again = somebody_exempt(&mut world, 1);
    let (name, user, password) = identity(1);
    world.conns[again].barred = true;
    send(&mut world, again, &format!("[NEW]:login:{name}:{user}:{password}\n"));
    assert_eq!(heard(&world, again), "False\n");
    world.pass(Duration::from_secs(600));
    member(&mut world, 1);
}

#[test]
fn a_ban_ends_no_session_but_those_it_means() {
    let mut world = world();
    assert!(world.order("ban name1 1s").0);
    world.pass(Duration::from_secs(2));
    world.settle(10_000);
    world.poll();
    let id = somebody_exempt(&mut world, 1);
    log_in(&mut world, id, "\n");
    // The clock on the wall is set back, and the ban is in force again.
    world.server.set_wall_clock(world.wall_told - 60);
    assert!(world.order("ban nobody").0);
    assert!(world.server.is_in_room(world.conns[id].client.unwrap()), "who was not meant");
}

#[test]
fn the_room_closes_when_the_operator_said() {
    let mut world = world();
    let member = member(&mut world, 1);
    assert!(world.order("shutdown 30s").0);
    world.settle(10_000);
    world.pass(Duration::from_secs(29));
    while world.poll() {}
    assert!(!world.server.is_shutting_down());
    world.pass(Duration::from_secs(1));
    while world.poll() {}
    assert!(world.server.is_shutting_down());
    assert_eq!(heard(&world, member), "[SERVER] the room closes in 30s\nexit_server\n");
}

#[test]
fn who_comes_back_takes_its_place_when_the_cable_was_pulled_ten_seconds_ago() {
    let mut world = world();
    let [other, old] = [member(&mut world, 2), member(&mut world, 1)];
    world.pass(Duration::from_secs(3_600));
    world.settle(10_000);
    let time = world.net.borrow().time;
    world.conns[old].pipe.borrow_mut().die(time);
    world.conns[other].pipe.borrow_mut().heard.clear();
    let say = |world: &World, id: usize, line: &str| {
        let mut pipe = world.conns[id].pipe.borrow_mut();
        pipe.to_server.extend(line.bytes());
        pipe.armed = true;
    };
    let (name, user, password) = identity(1);
    let new = format!("[NEW]:login:{name}:{user}:{password}\n");
    let mut rng = crate::rng::Rng::new(1);
    let mut log_in = |world: &mut World| {
        world.always_exempt = true;
        world.connect(Kind::Lines);
        let conn = world.conns.last_mut().unwrap();
        (conn.name, conn.user_name, conn.password) = (name.clone(), user.clone(), password.clone());
        conn.unsent.clear();
        conn.pipe.borrow_mut().capacity = usize::MAX;
        let id = conn.id;
        while world.poll() {}
        say(world, id, &new);
        while world.poll() {}
        world.worker.work(&mut rng, false);
        while world.poll() {}
        world.pass(Duration::from_millis(20));
        while world.poll() {}
        heard(world, id)
    };
    say(&world, other, "are you there?\n/msg name1 hello?\n");
    while world.poll() {}
    for wait in [0, 5, 4] {
        world.pass(Duration::from_secs(wait));
        assert_eq!(log_in(&mut world), "False\n", "it may come back");
    }
    world.pass(Duration::from_secs(4));
    assert!(log_in(&mut world).starts_with("True\n"), "ten seconds are over");
    let notices = "[name1 - disconnected from the server!]\n[name1 - connected to the server!]\n";
    assert_eq!(heard(&world, other), notices);
    assert!(world.conns[old].pipe.borrow().closed);
    assert_eq!(world.ghosts, 1);
}
