//! Accounts of a real server: durable, used once at a time, freed, removed, refused.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod process_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use chinwag::accounts::HashCost;
use process_support::{
    CHEAP, DEADLINE, PASSWORD, Peer, Room, accounts, chinwag, chinwag_under, chinwag_unprivileged,
    complaint, directory, fill, joined, left, new, rounds, run, said, skipped,
};
use rusqlite::Connection;
use rustix::process::Signal;

/// Signs up on a connection of its own; what the server answers.
#[track_caller]
fn sign_up(room: &Room, number: usize) -> Option<String> {
    let mut peer = Peer::connect(room);
    peer.say(&new("signup", number, PASSWORD));
    let answer = peer.line();
    peer.ends();
    answer
}

/// The user names in the database.
fn listed(data: &Path) -> BTreeSet<String> {
    let output = accounts(data, &["list"], "");
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    table.lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn an_acknowledged_sign_up_survives_kill_9() {
    let (_directory, data) = directory();
    let count = rounds(50, 200);
    for number in 0..count {
        let mut room = Room::at(&data, &[]);
        let mut peer = Peer::connect(&room);
        peer.say(&new("signup", number, PASSWORD));
        peer.hears("Account Created");
        room.kill();
        // Its log was not checkpointed: the next to open it recovers it.
        if number % 10 == 9 {
            drop(Room::at(&data, &[]).member(number));
        }
    }
    assert_eq!(listed(&data).len(), count);
}

#[test]
fn kill_9_amid_concurrent_sign_ups_loses_nothing_acknowledged() {
    const AT_ONCE: usize = 6;
    let (_directory, data) = directory();
    let mut promised = BTreeSet::new();
    for round in 0..rounds(6, 200) {
        let mut room = Room::at(&data, &[]);
        let numbers = round * AT_ONCE..(round + 1) * AT_ONCE;
        let mut peers: Vec<_> = numbers
            .map(|number| {
                let mut peer = Peer::connect(&room);
                peer.say(&new("signup", number, PASSWORD));
                (number, peer)
            })
            .collect();
        // Killed while some have their answer and others do not.
        let (first, rest) = peers.split_at_mut(round % AT_ONCE);
        for (_, peer) in first.iter_mut() {
            peer.hears("Account Created");
        }
        room.kill();
        promised.extend(first.iter().map(|(number, _)| format!("user{number}")));
        // What had left the server counts, whether or not it was waited for.
        for (number, peer) in rest {
            match peer.line().as_deref() {
                Some("Account Created") => drop(promised.insert(format!("user{number}"))),
                None => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let there = listed(&data);
    assert!(promised.is_subset(&there), "lost: {:?}", promised.difference(&there));
    // Whoever is there is there whole.
    let room = Room::at(&data, &[]);
    for user in &there {
        drop(room.member(user.strip_prefix("user").unwrap().parse().unwrap()));
    }
}

#[test]
fn of_two_log_ins_at_once_exactly_one_wins() {
    let room = Room::with_accounts(2, &[]);
    let mut witness = room.member(0);
    for _ in 0..rounds(10, 100) {
        let mut rivals: Vec<_> = (0..2).map(|_| Peer::connect(&room)).collect();
        for rival in &mut rivals {
            rival.say(&new("login", 1, PASSWORD));
        }
        let answers: Vec<_> = rivals.iter_mut().map(|rival| rival.line().unwrap()).collect();
        let (winners, losers): (Vec<_>, Vec<_>) =
            rivals.into_iter().zip(&answers).partition(|(_, answer)| *answer == "True");
        assert_eq!((winners.len(), losers.len()), (1, 1), "{answers:?}");
        for (mut loser, answer) in losers {
            assert_eq!(answer, "False");
            loser.ends();
        }
        drop(winners);
        witness.hears(&joined(1));
        witness.hears(&left(1));
    }
}

#[test]
fn an_account_in_use_is_free_after_fin_reset_and_exit() {
    let room = Room::with_accounts(2, &[]);
    let mut witness = room.member(0);
    let leave: [fn(Peer); 4] = [
        drop,
        Peer::reset,
        |mut peer| {
            peer.say("exit()");
            peer.ends();
        },
        |mut peer| {
            peer.half_close();
            peer.ends();
        },
    ];
    for leave in leave {
        let member = room.member(1);
        witness.hears(&joined(1));
        let mut second = Peer::connect(&room);
        second.say(&new("login", 1, PASSWORD));
        second.hears("False");
        second.ends();
        let begun = Instant::now();
        leave(member);
        witness.hears(&left(1));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        drop(room.member(1));
        witness.hears(&joined(1));
        witness.hears(&left(1));
    }
}

#[test]
fn who_leaves_while_somebody_speaks_is_closed_at_once() {
    let room = Room::with_accounts(3, &[]);
    let mut members = room.members(3);
    // Both in one turn of the server.
    room.signal(Signal::STOP);
    members[1].say("exit()");
    members[0].say("as I was saying");
    room.signal(Signal::CONT);
    let begun = Instant::now();
    // In which order they were is the server's choice.
    members[1].ends_at_last();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    members[2].hears_at_last(&said("as I was saying", 0));
    members[0].hears(&left(1));
}

#[test]
fn a_log_in_that_died_before_its_verdict_is_not_announced_and_leaves_the_account_free() {
    let (_directory, data) = directory();
    fill(&data, 0..1, CHEAP);
    // Verifying takes long enough for the connection to die meanwhile.
    fill(&data, 1..2, HashCost { memory_kib: 65_536, passes: 6, lanes: 1 });
    let room = Room::at(&data, &["-v"]);
    let mut witness = room.member(0);
    let mut doomed = Peer::connect(&room);
    doomed.say(&new("login", 1, PASSWORD));
    doomed.reset();
    room.log.has("the connection was lost");
    drop(room.member(1));
    // Once: the dead one was never there.
    witness.hears(&joined(1));
    witness.hears(&left(1));
    let log = room.shut_down();
    assert_eq!(log.matches("[ CONNECTED    ] - name1").count(), 1, "{log}");
}

#[test]
fn a_removed_account_loses_its_session_within_a_second() {
    let room = Room::with_accounts(2, &[]);
    let mut members = room.members(2);
    let output = room.accounts(&["remove", "user1"], "");
    assert!(output.status.success(), "{output:?}");
    let removed = Instant::now();
    members[1].ends();
    assert!(removed.elapsed() < Duration::from_secs(1), "{:?}", removed.elapsed());
    members[0].hears(&left(1));
    let mut again = Peer::connect(&room);
    again.say(&new("login", 1, PASSWORD));
    again.hears("False");
    assert_eq!(sign_up(&room, 1).as_deref(), Some("Account Created"), "its names are free");
}

#[test]
fn a_new_password_counts_from_the_next_log_in() {
    let room = Room::with_accounts(2, &[]);
    let mut members = room.members(2);
    let output = room.accounts(&["reset-password", "user1"], "another\n");
    assert!(output.status.success(), "{output:?}");
    // The session knows the password it began with.
    members[1].say("[ACTIVE]:name1:user1:secret::still here");
    members[0].hears(&said("still here", 1));
    members[1].say("exit()");
    members[0].hears(&left(1));
    for (password, answer) in [(PASSWORD, "False"), ("another", "True")] {
        let mut peer = Peer::connect(&room);
        peer.say(&new("login", 1, password));
        peer.hears(answer);
    }
}

/// A server that must refuse to start on `data`.
fn refused(data: &Path) -> Output {
    let options = ["serve", "--bind", "localhost", "--port", "0", "--data"];
    run(chinwag().args(options).arg(data))
}

#[test]
fn a_second_server_on_the_same_accounts_is_told_so() {
    let room = Room::with_accounts(1, &[]);
    let complaint = complaint(&refused(&room.data), 1);
    assert!(complaint.contains("another chinwag serves"), "{complaint}");
    room.still_serves(0);
}

/// Every file in the directory of `data`, the lock aside.
fn snapshot(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(data.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_none_or(|e| e != "lock"));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_database_that_is_damaged_newer_or_foreign_is_refused_untouched() {
    let damaged: fn(&Path) = |data| {
        fill(data, 0..40, CHEAP);
        let mut bytes = fs::read(data).unwrap();
        bytes[4_096..].fill(0x5a);
        fs::write(data, bytes).unwrap();
    };
    let newer: fn(&Path) = |data| {
        fill(data, 0..1, CHEAP);
        Connection::open(data).unwrap().pragma_update(None, "user_version", 99).unwrap();
    };
    let foreign: fn(&Path) = |data| {
        Connection::open(data).unwrap().execute_batch("CREATE TABLE diary (day)").unwrap();
    };
    let text: fn(&Path) = |data| fs::write(data, "dear diary, ".repeat(1_000)).unwrap();
    for (make, why) in [
        (damaged, "damaged"),
        (newer, "later chinwag"),
        (foreign, "another program"),
        (text, "not a database"),
    ] {
        let (_directory, data) = directory();
        make(&data);
        let before = snapshot(&data);
        let complaint = complaint(&refused(&data), 1);
        assert!(complaint.contains(why), "{complaint}");
        assert!(snapshot(&data) == before, "{why}: a file has changed");
    }
}

#[test]
fn accounts_in_memory_end_with_their_server() {
    let (directory, _) = directory();
    let mut command = chinwag();
    command.current_dir(directory.path()).env("HOME", directory.path());
    command.env("XDG_DATA_HOME", directory.path());
    let room = Room::launch(command, Path::new(":memory:"), &[]);
    assert_eq!(sign_up(&room, 0).as_deref(), Some("Account Created"));
    room.still_serves(0);
    room.shut_down();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing on disk");
    let room = Room::at(Path::new(":memory:"), &[]);
    let mut peer = Peer::connect(&room);
    peer.say(&new("login", 0, PASSWORD));
    peer.hears("False");
}

const NOT_STORED: &str = "[ERROR] the account could not be stored; try again later";

/// Sign-ups are refused with a clear error, and the chat goes on.
#[track_caller]
fn assert_chat_without_sign_ups(room: &Room, members: &mut [Peer], number: usize) {
    // There may be room for a few.
    let refused = (number..number + 40).map(|number| sign_up(room, number));
    let refused = refused.map(Option::unwrap).find(|answer| answer != "Account Created");
    assert_eq!(refused.as_deref(), Some(NOT_STORED));
    // To a reference client any byte would mean success.
    let mut burst = Peer::connect(room);
    let refused = new("signup", number + 99, PASSWORD) + ":<socket.socket laddr=('a', 1)>";
    burst.send(refused.as_bytes());
    assert_eq!(burst.rest(), "");
    members[0].say("still here");
    members[1].hears(&said("still here", 0));
    room.still_serves(2);
    for member in members {
        member.hears(&joined(2));
        member.hears(&left(2));
    }
}

#[test]
fn a_full_disk_refuses_sign_ups_and_nothing_else_until_there_is_room() {
    let (directory, outside) = directory();
    fill(&outside, 0..3, CHEAP);
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // A file system that nobody else sees, and that goes with the server.
    let script = format!(
        "mount -t tmpfs -o size=1m chinwag-test {0} && cp {1} {0} && exec \"$@\"",
        disk.display(),
        outside.display()
    );
    let runner = ["unshare", "-m", "sh", "-c", &script, "sh"];
    let works = std::process::Command::new(runner[0]).args(&runner[1..]).arg("true").output();
    if !works.is_ok_and(|output| output.status.success()) {
        return skipped("root alone may mount a small file system");
    }
    let room = Room::launch(chinwag_under(&runner), &disk.join("accounts.db"), &[]);
    let mut members = room.members(2);
    let seen_by_server = format!("/proc/{}/root{}/ballast", room.child.id(), disk.display());
    let mut ballast = fs::File::create(&seen_by_server).unwrap();
    while ballast.write_all(&[0; 512]).is_ok() {}
    assert_chat_without_sign_ups(&room, &mut members, 100);
    fs::remove_file(&seen_by_server).unwrap();
    drop(ballast);
    assert_eq!(sign_up(&room, 3).as_deref(), Some("Account Created"), "without a restart");
    room.still_serves(3);
    // Trouble is told once, and its end.
    let log = room.log.find(|log| log.contains("can be written for").then(|| log.to_owned()));
    assert_eq!(log.matches("cannot be written for").count(), 1, "{log}");
}

#[test]
fn a_read_only_database_refuses_sign_ups_and_nothing_else_until_it_is_not() {
    let Some(program) = chinwag_unprivileged() else {
        return skipped("file modes do not bind root, and there is no setpriv");
    };
    let (_directory, data) = directory();
    fill(&data, 0..3, CHEAP);
    let set_mode = |mode| fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o400);
    let room = Room::launch(program, &data, &[]);
    let mut members = room.members(2);
    assert_chat_without_sign_ups(&room, &mut members, 100);
    set_mode(0o600);
    assert_eq!(sign_up(&room, 3).as_deref(), Some("Account Created"), "without a restart");
}

#[test]
fn a_read_only_database_of_an_older_chinwag_serves_and_is_brought_up_to_date_later() {
    let Some(program) = chinwag_unprivileged() else {
        return skipped("file modes do not bind root, and there is no setpriv");
    };
    let (_directory, data) = directory();
    fill(&data, 0..3, CHEAP);
    let older = Connection::open(&data).unwrap();
    let sql = "DROP TABLE history; DROP TABLE sanction; PRAGMA user_version = 1";
    older.execute_batch(sql).unwrap();
    drop(older);
    let set_mode = |mode| fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o400);
    let before = fs::read(&data).unwrap();
    let room = Room::launch(program, &data, &[]);
    room.log.has("nothing said is kept");
    let mut members = room.members(2);
    assert_chat_without_sign_ups(&room, &mut members, 100);
    assert!(fs::read(&data).unwrap() == before);
    set_mode(0o600);
    assert_eq!(sign_up(&room, 3).as_deref(), Some("Account Created"), "without a restart");
    room.still_serves(3);
    room.shut_down();
    let version: i64 = Connection::open(&data)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 2);
    Room::at(&data, &[]).still_serves(3);
}

#[test]
fn a_database_is_its_owners_alone() {
    let (_directory, data) = directory();
    let mut room = Room::at(&data, &[]);
    assert_eq!(sign_up(&room, 0).as_deref(), Some("Account Created"));
    for entry in fs::read_dir(data.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
    room.signal(Signal::TERM);
    let begun = Instant::now();
    assert_eq!(room.ends().code(), Some(0));
    assert!(begun.elapsed() < DEADLINE);
}
