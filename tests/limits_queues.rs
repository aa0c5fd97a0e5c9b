//! The rows of the table of limits that are about queues, on a real server: who does not
//! read, who reads slowly, and who sends much.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod process_support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use process_support::{DEADLINE, PASSWORD, Peer, Room, joined, left, new, said};

/// Longer than what must come at once takes on a loaded machine.
const SOON: Duration = Duration::from_secs(3);

/// A line of the longest kind.
fn long_line() -> String {
    "x".repeat(8_000)
}

/// Somebody who logs in and never reads again, with little memory of its own.
fn sleeper(room: &Room, number: usize) -> Peer {
    let mut peer = Peer::connect_with_little_memory(room, 4_096);
    peer.log_in(number);
    peer
}

#[test]
fn unread_bytes_hard_limit_256_kib_closes_the_reader_with_a_reason() {
    let room = Room::with_accounts(10, &[]);
    let sleeper = sleeper(&room, 0);
    let address = sleeper.stream.local_addr().unwrap();
    let bulk = room.member(1);
    let mut humans: Vec<_> = (3..10).map(|number| room.member(number)).collect();
    humans.iter().chain([&bulk]).for_each(|peer| drain(&peer.stream));
    let mut listener = room.member(2);
    // Until the sleeper is over its soft limit, and the bulk sender has to wait for it.
    let mut file = bulk.stream.try_clone().unwrap();
    let sender =
        thread::spawn(move || (0..10_000).try_for_each(|_| writeln!(file, "{}", long_line())));
    while listener.line_within(Duration::from_millis(200)).is_some() {}
    // Nobody else waits: each says less than a bulk sender would, all together too much.
    for human in &mut humans {
        (0..7).for_each(|_| human.say(&long_line()));
    }
    listener.hears_at_last(&left(0));
    room.log.has(&format!("WARN  [ {address} ] - closed: it left too much unread"));
    drop((listener, room));
    let _ = sender.join().unwrap();
}

#[test]
fn stalled_recipient_is_closed_after_2_s_and_bulk_senders_wait_for_it_no_longer() {
    let room = Room::with_accounts(4, &[]);
    let sleeper = sleeper(&room, 0);
    let address = sleeper.stream.local_addr().unwrap();
    let mut members: Vec<_> = (1..4).map(|number| room.member(number)).collect();
    for (index, member) in members.iter_mut().enumerate() {
        (index + 2..4).for_each(|number| member.hears(&joined(number)));
    }
    let [bulk, human, listener] = &mut members[..] else { panic!() };
    // A file, as fast as it goes; the chat of others meanwhile never waits.
    let mut file = bulk.stream.try_clone().unwrap();
    drain(&bulk.stream);
    drain(&human.stream);
    let lines = (0..2_000).map(|number| format!("{number} {}\n", long_line())).collect::<String>();
    let sender = thread::spawn(move || file.write_all(lines.as_bytes()));
    let begun = Instant::now();
    let (mut number, mut slowest, mut gone) = (0, Duration::ZERO, None);
    let mut chats = 0;
    while number < 2_000 || gone.is_none() {
        if chats < 200 && number % 10 == 0 {
            let said_at = Instant::now();
            human.say(&format!("chat {chats}"));
            let before = listener.hears_at_last(&said(&format!("chat {chats}"), 2));
            slowest = slowest.max(said_at.elapsed());
            chats += 1;
            for line in before {
                number = next_of_file(&line, number, &mut gone, begun);
            }
        } else {
            let line = listener.line().unwrap();
            number = next_of_file(&line, number, &mut gone, begun);
        }
    }
    sender.join().unwrap().unwrap();
    assert!(gone.unwrap() >= Duration::from_secs(2), "{gone:?}");
    assert!(gone.unwrap() < Duration::from_secs(2) + 2 * SOON, "{gone:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}: a human waited");
    room.log.has(&format!("WARN  [ {address} ] - closed: stalled: it read nothing"));
}

/// Reads all that comes, so that this one is healthy.
fn drain(stream: &TcpStream) {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || {
        stream.set_read_timeout(None).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink())
    });
}

/// `line` is the next of the file, or tells that the sleeper has gone.
fn next_of_file(line: &str, number: usize, gone: &mut Option<Duration>, begun: Instant) -> usize {
    if line == left(0) {
        *gone = Some(begun.elapsed());
        return number;
    }
    let expected = format!("{number} x");
    assert!(line.starts_with(&expected), "{expected}: {}", &line[..line.len().min(40)]);
    number + 1
}

#[test]
fn one_address_holds_bulk_senders_up_10_s_a_minute_in_all() {
    let room = Room::speaking("relay", &[]);
    let mut file = Peer::connect(&room).stream;
    let sender = thread::spawn(move || (0..).try_for_each(|_| file.write_all(&[b'x'; 65_536])));
    // One sleeper after the other; each is closed, for one reason or the other.
    let (mut held, begun) = (0, Instant::now());
    loop {
        let sleeper = Peer::connect_with_little_memory(&room, 4_096);
        let address = sleeper.stream.local_addr().unwrap();
        let log = room.log.find(|log| {
            let end = log.find(&format!("[ {address} ] - closed: "))?;
            log[end..].contains('\n').then(|| log[end..].to_owned())
        });
        if !log.contains("stalled: it read nothing") {
            assert!(log.contains("it left too much unread"), "{log}");
            break;
        }
        held += 1;
        assert!(held <= 5, "{}", room.log.text());
    }
    // Each held them up for 2 s, less what the last was allowed.
    assert!((4..=5).contains(&held), "{held}");
    assert!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
    drop(room);
    sender.join().unwrap().unwrap_err();
}

#[test]
fn a_file_piped_into_the_room_arrives_whole_at_every_healthy_reader() {
    const BYTES: usize = 30_000_000;
    const BYTES_A_SECOND: usize = 5_000_000;
    let room = Room::speaking("relay", &[]);
    let receiver = |slow: bool| {
        let mut stream = Peer::connect(&room).stream;
        thread::spawn(move || {
            let (mut seen, mut begun) = (0_usize, None);
            let mut buffer = vec![0; 65_536];
            while seen < BYTES {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "closed after {seen} bytes");
                // In order, each exactly once.
                for (at, &byte) in buffer[..count].iter().enumerate() {
                    assert!(byte == byte_at(seen + at), "byte {}", seen + at);
                }
                seen += count;
                let begun = *begun.get_or_insert_with(Instant::now);
                let due = Duration::from_secs_f64(seen as f64 / BYTES_A_SECOND as f64);
                if slow {
                    thread::sleep(due.saturating_sub(begun.elapsed()));
                }
            }
            seen
        })
    };
    let receivers = [receiver(false), receiver(true)];
    let mut sender = Peer::connect(&room).stream;
    // Whoever is accepted after them hears nothing that was said before.
    let mut probe = Peer::connect(&room);
    probe.send(&[byte_at(0)]);
    let file: Vec<u8> = (1..BYTES).map(byte_at).collect();
    sender.set_read_timeout(Some(DEADLINE)).unwrap();
    // The probe's byte comes first.
    let mut first = [0];
    sender.read_exact(&mut first).unwrap();
    drop(probe);
    let begun = Instant::now();
    sender.write_all(&file).unwrap();
    // It was paced to the slow one: 6 s, less what the kernel holds on the way.
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    sender.shutdown(Shutdown::Write).unwrap();
    for receiver in receivers {
        assert_eq!(receiver.join().unwrap(), BYTES);
    }
    let log = room.shut_down();
    assert!(!log.contains("closed: "), "{log}");
}

/// No two stretches of the file are alike.
fn byte_at(position: usize) -> u8 {
    (position.wrapping_mul(2_654_435_761) >> 13) as u8
}

#[test]
fn outgoing_bytes_of_all_the_worst_is_closed_first() {
    const MIB: usize = 1024 * 1024;
    let (soft, hard, total) = (30 * MIB, 31 * MIB, 32 * MIB);
    let [soft, hard, total] = [soft, hard, total].map(|bytes| bytes.to_string());
    let options = ["--queue-soft", &soft, "--queue-hard", &hard, "--queue-total", &total];
    let room = Room::with_accounts(3, &options);
    let worst = sleeper(&room, 0);
    let mut speaker = room.member(1);
    let address = worst.stream.local_addr().unwrap();
    let reason = format!("[ {address} ] - closed: it left the most unread of all");
    // Ahead of the other by ten megabytes.
    let line = long_line();
    for _ in 0..1_250 {
        speaker.say(&line);
    }
    let mut better = sleeper(&room, 2);
    let other = better.stream.local_addr().unwrap();
    speaker.hears(&joined(2));
    for _ in 0..10_000 {
        speaker.say(&line);
        if room.log.text().contains(" - closed: ") {
            break;
        }
    }
    speaker.hears(&left(0));
    room.log.has(&reason);
    let log = room.log.text();
    assert!(!log.contains(&format!("[ {other} ] - closed: ")), "{log}");
    // Whoever stays misses nothing.
    speaker.say("the last");
    let heard = better.hears_at_last(&said("the last", 1));
    let spoken = said(&line, 1);
    assert!(heard.iter().all(|line| *line == spoken || *line == left(0)));
}

#[test]
fn notices_travel_together_within_10_ms_and_messages_never_wait() {
    let room = Room::with_accounts(10, &[]);
    let mut witness = room.member(0);
    let mut delays = Vec::new();
    let mut messages = Vec::new();
    for _ in 0..10 {
        // The first goes at once; those that follow it closely are gathered.
        let mut members: Vec<_> = (1..10).map(|_| Peer::connect(&room)).collect();
        for (index, member) in members.iter_mut().enumerate() {
            member.say(&new("login", index + 1, PASSWORD));
        }
        for member in &mut members {
            member.hears("True");
        }
        let last = Instant::now();
        let mut notices: Vec<_> = members.iter().map(|_| witness.line().unwrap()).collect();
        delays.push(last.elapsed());
        notices.sort();
        assert_eq!(notices, (1..10).map(joined).collect::<Vec<_>>());
        let begun = Instant::now();
        members[0].say("at once");
        witness.hears(&said("at once", 1));
        messages.push(begun.elapsed());
        drop(members);
        for _ in 1..10 {
            witness.line().unwrap();
        }
    }
    for times in [&mut delays, &mut messages] {
        times.sort();
        // A loaded machine adds to some of them.
        assert!(times[times.len() / 2] < Duration::from_millis(60), "{times:?}");
    }
}

#[test]
fn a_reader_that_is_slow_in_bytes_but_keeps_up_with_the_chat_stays() {
    let room = Room::with_accounts(2, &[]);
    let slow = sleeper(&room, 0);
    let mut speaker = room.member(1);
    for number in 0..200 {
        speaker.say(&format!("message {number}"));
    }
    let expected: String = std::iter::once(joined(1) + "\n")
        .chain((0..200).map(|number| said(&format!("message {number}"), 1) + "\n"))
        .collect();
    // A byte at a time.
    for &byte in expected.as_bytes() {
        let mut one = [0];
        read_exactly(&slow.stream, &mut one);
        assert_eq!(one[0], byte);
    }
}

fn read_exactly(mut stream: &TcpStream, bytes: &mut [u8]) {
    match stream.read_exact(bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => panic!("closed"),
        Err(error) => panic!("{error}"),
    }
}
