//! The operator's standard input, as a person or a script types into a real server.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod process_support;

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use process_support::{DEADLINE, Peer, Room, chinwag, chinwag_under, run, wait};

/// What the server prints, up to `last`, when this is typed.
#[track_caller]
fn printed(room: &mut Room, typed: &[u8], last: &str) -> String {
    let before = room.output.text().len();
    room.stdin.as_mut().unwrap().write_all(typed).unwrap();
    room.output.find(|text| text[before..].ends_with(last).then(|| text[before..].to_owned()))
}

#[test]
fn answers_refusals_and_how() {
    let mut room = Room::speaking("uppercase", &[]);
    let text = printed(&mut room, b"\n \nhelp\n", "Type shutdown to end the server.\n");
    assert!(text.starts_with("who ") && text.contains("\nshutdown [DELAY]"), "{text}");
    let text = printed(&mut room, b"kick\n", "not done: type kick NAME\n");
    assert_eq!(text, "not done: type kick NAME\n");
    let text = printed(&mut room, b"dance\n", "Type shutdown to end the server.\n");
    assert!(text.starts_with("not done: no such command; type one of these:\nwho "), "{text}");
    room.stdin.as_mut().unwrap().write_all(b"kick Nobody\n").unwrap();
    room.output.find(|text| (text.matches("\nnot done: ").count() == 3).then_some(()));
    room.stdin.as_mut().unwrap().write_all(b"shutdown\n").unwrap();
    assert_eq!(room.ends().code(), Some(0));
}

#[test]
fn a_line_that_is_too_long_or_no_text_is_refused_whole() {
    let mut room = Room::speaking("uppercase", &[]);
    // Read in pieces of any size, its end would be a command.
    for filling in [4_096, 4_097, 8_192, 100_000] {
        let line = format!("{}\n", " shutdown".repeat(filling / 9 + 1));
        let text = printed(&mut room, line.as_bytes(), "bytes\n");
        assert_eq!(text, "not done: a command has at most 4096 bytes\n");
    }
    let text = printed(&mut room, b"shut\xffdown\n", "text\n");
    assert_eq!(text, "not done: a command is UTF-8 text\n");
    assert!(room.child.try_wait().unwrap().is_none());
    let mut peer = Peer::connect(&room);
    peer.say("hello");
    peer.hears("HELLO");
    room.shut_down();
}

#[test]
fn a_last_line_without_a_line_feed_counts() {
    let script = "printf shutdown | exec \"$@\"";
    let mut command = chinwag_under(&["sh", "-c", script, "sh"]);
    command.args(["serve", "--protocol", "uppercase"]);
    let output = run(command.args(["--bind", "localhost", "--port", "0"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn it_is_heard_when_nobody_reads_what_is_printed() {
    // Closed, and full: 64 KiB and more of answers.
    for closed in [true, false] {
        let mut command = chinwag();
        command.args(["serve", "--bind", "localhost", "--port", "0", "--protocol", "uppercase"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take();
        let mut input = child.stdin.take().unwrap();
        let output = if closed { None } else { output };
        if closed {
            input.write_all(b"help\ndance\nshutdown\n").unwrap();
        } else {
            // As many as fit the pipe: the server reads the rest when it is read from.
            input.write_all(&b"dance\n".repeat(200)).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            assert!(child.try_wait().unwrap().is_none());
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
        let begun = Instant::now();
        assert_eq!(wait(&mut child, DEADLINE).code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(3));
        drop((input, output));
    }
}

#[test]
fn a_delay_that_is_none_does_not_end_it() {
    let mut room = Room::run(
        chinwag().args(["serve", "--bind", "localhost", "--port", "0", "--data", ":memory:"]),
        Path::new(":memory:"),
    );
    room.stdin.as_mut().unwrap().write_all(b"shutdown soon\nshutdown never\n").unwrap();
    room.output.find(|text| (text.matches("not done: a duration is").count() == 2).then_some(()));
    assert!(room.child.try_wait().unwrap().is_none());
    room.stdin.as_mut().unwrap().write_all(b"shutdown\nshutdown\n").unwrap();
    assert_eq!(room.ends().code(), Some(0));
}
