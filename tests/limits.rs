//! The rows of the table of limits, on a real server: frames, log-in, connections,
//! messages, attempts. `--exempt none` where the operator's own machine is exempt.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod process_support;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use process_support::{
    CHEAP, PASSWORD, Peer, Room, directory, fill, joined, left, long, new, said, skipped,
};
use rusqlite::Connection;

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SECOND: Duration = Duration::from_secs(1);

/// Longer than what must come at once takes on a loaded machine, shorter than any penalty.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn frame_8192_bytes() {
    let room = Room::with_accounts(3, &[]);
    let mut members = room.members(2);
    let longest = "x".repeat(8_192);
    members[0].say(&longest);
    members[1].hears(&said(&longest, 0));
    members[0].say(&format!("{longest}x"));
    members[0].hears("[ERROR] a message has at most 8192 bytes");
    members[0].send(b"not \xff text\n");
    members[0].hears("[ERROR] a message is UTF-8 text");
    members[0].say("the room goes on");
    members[1].hears(&said("the room goes on", 0));
    // Who speaks in bursts is told, and closed.
    let mut burst = Peer::connect(&room);
    burst.send((new("login", 2, PASSWORD) + ":<socket.socket fd=3>").as_bytes());
    members[1].hears(&joined(2));
    burst.send(format!("[ACTIVE]:name2:user2:{PASSWORD}::{}", "x".repeat(9_000)).as_bytes());
    burst.hears_somewhere("[ERROR] a message has at most 8192 bytes");
    burst.half_close();
    burst.rest();
    let heard = members[1].hears_at_last(&left(2));
    assert!(heard.iter().all(|line| !line.contains("xxx")), "{heard:?}");
}

#[test]
fn frame_of_another_length_by_option() {
    let room = Room::with_accounts(2, &["--max-frame", "2000"]);
    let mut members = room.members(2);
    members[0].say(&"x".repeat(2_001));
    members[0].hears("[ERROR] a message has at most 2000 bytes");
    members[0].say(&"x".repeat(2_000));
    members[1].hears(&said(&"x".repeat(2_000), 0));
}

#[test]
fn write_to_a_burst_client_1000_bytes_between_characters() {
    let room = Room::with_accounts(2, &[]);
    let mut speaker = room.member(0);
    // An odd one first, lest every cut falls between characters by chance.
    let text = format!("x{}", "\u{e4}\u{20ac}".repeat(500));
    // A loaded machine may merge what the server has parted; a wrong cut is always wrong.
    let clean = (0..5).any(|_| {
        let mut burst = Peer::connect(&room);
        burst.send((new("login", 1, PASSWORD) + ":<socket.socket fd=3>").as_bytes());
        speaker.hears(&joined(1));
        burst.hears_somewhere("True");
        speaker.say(&text);
        let (mut heard, mut clean) = (String::new(), true);
        while heard.len() < text.len() + " - (name0)".len() && clean {
            let bytes = burst.read_once(1_024);
            clean = bytes.len() <= 1_000;
            match String::from_utf8(bytes) {
                Ok(piece) => heard.push_str(&piece),
                Err(_) => clean = false,
            }
        }
        drop(burst);
        speaker.hears(&left(1));
        clean && heard == said(&text, 0)
    });
    assert!(clean);
}

#[test]
fn time_to_log_in() {
    let room = Room::with_accounts(1, &["--login-timeout", "1"]);
    let mut member = room.member(0);
    // The wait for the verdict does not count: the database keeps this one waiting longer.
    let database = Connection::open(&room.data).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut patient = Peer::connect(&room);
    let begun = Instant::now();
    patient.say(&new("signup", 1, PASSWORD));
    let mut silent = Peer::connect(&room);
    let mut line = Peer::connect(&room);
    line.say("hello?");
    line.hears("[ERROR] not logged in");
    let mut burst = Peer::connect(&room);
    burst.send(b"hello?");
    // Whoever speaks lines is told why.
    line.hears("[ERROR] no log-in within 1 seconds");
    line.ends();
    assert!(begun.elapsed() >= SECOND, "{:?}", begun.elapsed());
    assert_eq!(burst.rest(), "");
    assert_eq!(silent.rest(), "");
    assert!(begun.elapsed() < SECOND + SOON, "{:?}", begun.elapsed());
    database.execute_batch("ROLLBACK").unwrap();
    patient.hears("Account Created");
    // Whoever is in the room stays.
    member.say("/still here");
    member.hears("[ERROR] no such command; /help lists them, // at the start says a slash");
}

#[test]
fn dead_peer_is_asked_for_after_60_s() {
    let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else {
        return skipped("the kernel's timers are not told here");
    };
    drop(table);
    let room = Room::with_accounts(1, &[]);
    let peer = room.member(0);
    let ends = [room.port, peer.stream.local_addr().unwrap().port()];
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ours = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let port = |address: &str| u16::from_str_radix(address.split(':').next_back().unwrap(), 16);
    let server = ours
        .into_iter()
        .find(|columns| [columns[1], columns[2]].map(|address| port(address).unwrap()) == ends);
    // The timer that runs is that of the next question, in hundredths of a second.
    let (kind, when) = server.unwrap()[5].split_once(':').unwrap();
    assert_eq!(kind, "02", "keepalive");
    let when = u64::from_str_radix(when, 16).unwrap();
    assert!((5_000..=6_000).contains(&when), "{when}");
}

#[test]
fn connections_full_the_oldest_stranger_makes_room() {
    let room = Room::with_accounts(4, &["--max-connections", "3", "-v"]);
    let mut member = room.member(0);
    let mut oldest = Peer::connect(&room);
    oldest.say("hello?");
    oldest.hears("[ERROR] not logged in");
    let mut second = Peer::connect(&room);
    second.say("hello?");
    second.hears("[ERROR] not logged in");
    let mut newcomer = room.member(1);
    oldest.ends();
    room.log.has("made room for a newcomer");
    member.hears(&joined(1));
    second.log_in(2);
    member.hears(&joined(2));
    newcomer.hears(&joined(2));
    // Full of members: the next one waits in the backlog until one leaves.
    let mut waiting = Peer::connect(&room);
    waiting.say(&new("login", 3, PASSWORD));
    assert_eq!(waiting.line_within(SECOND), None, "there is no place");
    newcomer.say("exit()");
    newcomer.ends();
    waiting.hears("True");
    member.hears(&left(1));
    member.hears(&joined(3));
}

#[test]
fn connections_per_address_64() {
    let room = Room::with_accounts(1, &["--exempt", "none"]);
    let mut allowed: Vec<_> = (0..64).map(|_| Peer::connect(&room)).collect();
    let mut one_too_many = Peer::connect(&room);
    one_too_many.ends();
    let mut elsewhere = Peer::connect_from(&room, ELSEWHERE);
    elsewhere.log_in(0);
    for peer in &mut allowed {
        peer.say("hello?");
        peer.hears("[ERROR] not logged in");
    }
    // The place of one who leaves is free again.
    let mut leaver = allowed.pop().unwrap();
    leaver.say(":REMOVE:");
    leaver.ends();
    drop(leaver);
    let until = Instant::now() + SOON;
    loop {
        let mut next = Peer::connect(&room);
        // It may have been closed already.
        let _ = next.stream.write_all(b"hello?\n");
        if next.line().as_deref() == Some("[ERROR] not logged in") {
            break;
        }
        assert!(Instant::now() < until, "the place stays taken");
    }
}

#[test]
fn exempt_addresses_have_no_limits_of_their_own() {
    let room = Room::with_accounts(2, &["--max-per-address", "2", "--message-burst", "1"]);
    let mut crowd: Vec<_> = (0..80).map(|_| Peer::connect(&room)).collect();
    for peer in &mut crowd {
        peer.say("hello?");
        peer.hears("[ERROR] not logged in");
    }
    let mut members = room.members(2);
    let begun = Instant::now();
    for number in 0..500 {
        members[0].say(&number.to_string());
    }
    for number in 0..500 {
        members[1].hears(&said(&number.to_string(), 0));
    }
    // Rationed, it would have taken nearly a minute.
    assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
    for _ in 0..8 {
        let mut wrong = Peer::connect(&room);
        wrong.say(&new("login", 0, "wrong"));
        assert_eq!(wrong.line_within(SOON), Some(Some("False".to_owned())));
    }
    // But another network is not.
    let room = Room::with_accounts(0, &["--max-per-address", "2", "--exempt", "127.0.0.1/32"]);
    let _first_two = [(); 2].map(|()| Peer::connect_from(&room, ELSEWHERE));
    Peer::connect_from(&room, ELSEWHERE).ends();
    let _three = [(); 3].map(|()| {
        let mut peer = Peer::connect(&room);
        peer.say("hello?");
        peer.hears("[ERROR] not logged in");
        peer
    });
}

#[test]
fn messages_per_client_20_at_once_then_10_a_second_and_none_dropped() {
    let room = Room::with_accounts(3, &["--exempt", "none"]);
    let mut members = room.members(3);
    let begun = Instant::now();
    let lines: String = (0..60).map(|number| format!("message {number}\n")).collect();
    members[0].send(lines.as_bytes());
    for number in 0..19 {
        members[1].hears(&said(&format!("message {number}"), 0));
    }
    let at_once = begun.elapsed();
    // Half as many at once would have taken 900 ms.
    assert!(at_once < Duration::from_millis(800), "{at_once:?}");
    // Others do not wait meanwhile.
    members[2].say("and me?");
    members[1].hears_at_last(&said("and me?", 2));
    assert!(begun.elapsed() < at_once + SOON, "{:?}", begun.elapsed());
    members[0].say("the last");
    let heard = members[2].hears_at_last(&said("the last", 0));
    let took = begun.elapsed();
    let expected: Vec<_> = (0..60).map(|n| said(&format!("message {n}"), 0)).collect();
    assert_eq!(heard, expected, "all of them, in order");
    // The log-in was the first of the 20; 42 messages at 10 a second.
    assert!(took > Duration::from_millis(4_000), "{took:?}");
    assert!(took < Duration::from_millis(4_200) + SOON, "{took:?}");
}

/// A wrong log-in of the account `number`, sent and not yet answered.
fn guess(room: &Room, from: Ipv4Addr, number: usize) -> Peer {
    let mut peer = Peer::connect_from(room, from);
    peer.say(&new("login", number, "wrong"));
    peer
}

#[test]
fn log_in_failures_of_one_address_and_user_name_5_then_1_every_12_s() {
    let room = Room::with_accounts(2, &["--exempt", "none"]);
    for _ in 0..5 {
        guess(&room, Ipv4Addr::LOCALHOST, 0).hears("False");
    }
    let begun = Instant::now();
    let mut sixth = guess(&room, Ipv4Addr::LOCALHOST, 0);
    // Nor does the right password tell more.
    let mut right = Peer::connect(&room);
    right.say(&new("login", 0, PASSWORD));
    // Neither the owner elsewhere nor another account here is locked out.
    let mut owner = Peer::connect_from(&room, ELSEWHERE);
    owner.log_in(0);
    owner.say("exit()");
    owner.ends();
    drop(room.member(1));
    assert_eq!(sixth.line_within(SOON), None);
    assert_eq!(right.line_within(Duration::from_millis(10)), None);
    // It is never told a lie, it waits.
    sixth.hears("False");
    assert!(begun.elapsed() > 10 * SECOND, "{:?}", begun.elapsed());
    if long() {
        right.hears("True");
        assert!(begun.elapsed() > 22 * SECOND, "{:?}", begun.elapsed());
    }
}

#[test]
fn log_in_failures_of_one_address_60_then_1_a_second() {
    let room = Room::with_accounts(15, &["--exempt", "none"]);
    let begun = Instant::now();
    for attempt in 0..60 {
        guess(&room, Ipv4Addr::LOCALHOST, attempt / 5).hears("False");
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let mut further: Vec<_> =
        (0..5).map(|n| guess(&room, Ipv4Addr::LOCALHOST, 12 + n / 4)).collect();
    let mut owner = Peer::connect_from(&room, ELSEWHERE);
    owner.log_in(14);
    for peer in &mut further {
        peer.hears("False");
    }
    // 65 wrong ones in all: 5 more than at once, one a second.
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(4_500) && took < 5 * SECOND + SOON, "{took:?}");
}

#[test]
fn right_log_ins_never_wait() {
    let room = Room::with_accounts(1, &["--exempt", "none", "--message-burst", "1000"]);
    let begun = Instant::now();
    for _ in 0..20 {
        let mut peer = room.member(0);
        peer.say("exit()");
        peer.ends();
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn sign_ups_per_address_20_then_1_a_minute() {
    let (_directory, data) = directory();
    let room = Room::at(&data, &["--exempt", "none"]);
    let sign_up = |from, number| {
        let mut peer = Peer::connect_from(&room, from);
        peer.say(&new("signup", number, PASSWORD));
        peer
    };
    let begun = Instant::now();
    let mut at_once: Vec<_> = (0..20).map(|n| sign_up(Ipv4Addr::LOCALHOST, n)).collect();
    for peer in &mut at_once {
        peer.hears("Account Created");
    }
    let mut one_more = sign_up(Ipv4Addr::LOCALHOST, 20);
    // Elsewhere goes on, and so do log-ins here.
    sign_up(ELSEWHERE, 21).hears("Account Created");
    drop(room.member(0));
    assert_eq!(one_more.line_within(SOON), None);
    if long() {
        one_more.stream.set_read_timeout(Some(90 * SECOND)).unwrap();
        assert_eq!(one_more.line_within(90 * SECOND), Some(Some("Account Created".to_owned())));
        assert!(begun.elapsed() > 59 * SECOND, "{:?}", begun.elapsed());
    }
}

#[test]
fn password_hash_argon2id_19456_kib_2_passes_1_lane() {
    let (_directory, data) = directory();
    let room = Room::at(&data, &[]);
    let mut peer = Peer::connect(&room);
    peer.say(&new("signup", 0, PASSWORD));
    peer.hears("Account Created");
    drop(room);
    assert_hash(&data, "$argon2id$v=19$m=19456,t=2,p=1$");
}

fn assert_hash(data: &Path, start: &str) {
    let database = Connection::open(data).unwrap();
    let hash: String =
        database.query_row("SELECT password_hash FROM account", [], |row| row.get(0)).unwrap();
    assert!(hash.starts_with(start), "{hash}");
}

#[test]
fn hash_jobs_64_queued_beyond_that_clients_wait_and_all_are_answered() {
    let (_directory, data) = directory();
    fill(&data, 0..2, CHEAP);
    let room = Room::at(&data, &[]);
    let mut members = room.members(2);
    // Each costs a whole hash, whether or not there is such an account.
    let mut crowd: Vec<_> = (100..300).map(|n| guess(&room, Ipv4Addr::LOCALHOST, n)).collect();
    let begun = Instant::now();
    members[0].say("meanwhile");
    members[1].hears(&said("meanwhile", 0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    for peer in &mut crowd {
        peer.hears("False");
        peer.ends();
    }
}
