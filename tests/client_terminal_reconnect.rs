//! `chinwag connect` on a terminal when the server is lost, and comes back or does not.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

#[allow(dead_code, reason = "shared with the tests in a pipe")]
mod client_support;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use client_support::person::{CANARY, LOGGED_IN, Person, lior_at, lior_in, lior_with};
use client_support::{Fake, Peer};

const LOST: &str =
    "[the connection is lost, and perhaps what was said last; trying to come back for 30 s]";
const BACK: &str = "[connected again]";

/// Refuses once, as while the old session is still there, then lets lior in.
fn comes_back(door: &client_support::Door) -> Peer {
    let mut early = door.accept();
    early.logs_in(b"False\n");
    early.close();
    let mut lior = door.accept();
    lior.logs_in(b"True\n");
    lior
}

#[test]
fn who_was_lost_comes_back_and_goes_on_typing() {
    let (go, went) = mpsc::channel::<()>();
    let server = Fake::start(move |door| {
        let mut lior = door.accept();
        lior.logs_in(b"True\nhi - (dana)\n");
        went.recv().unwrap();
        lior.close();
        let mut lior = comes_back(door);
        lior.send(b"welcome back - (dana)\n");
        lior.expect(b"half typed, and the rest\n");
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let mut person = lior_at(&server, &[], &[], (24, 80));
    person.types("half typed");
    person.awaits_input("half typed");
    go.send(()).unwrap();
    person.sees("trying to come back");
    person.awaits_input("half typed");
    person.sees("[connected again]");
    person.sees("welcome back");
    person.awaits_input("half typed");
    person.types(", and the rest\r");
    person.sees("rest - (");
    person.types("\x04");
    let (shown, lines, status) = person.ends_on_screen();
    let said = "half typed, and the rest - (lior)";
    let expected =
        [LOGGED_IN, "hi - (dana)", LOST, BACK, "welcome back - (dana)", said, "Disconnected."];
    assert_eq!(lines, expected);
    assert_eq!(status.exit_code(), 0);
    assert!(!shown.contains(CANARY), "{shown:?}");
    server.done();
}

#[test]
fn what_is_entered_without_a_connection_is_given_back() {
    let (go, went) = mpsc::channel::<()>();
    let server = Fake::start(move |door| {
        let mut lior = door.accept();
        lior.logs_in(b"True\n");
        lior.expect(b"before\n");
        lior.close();
        went.recv().unwrap();
        let mut lior = comes_back(door);
        lior.expect("one\ntwo 漢!\n".as_bytes());
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let mut person = lior_in(&server);
    person.types("before\r");
    person.sees("trying to come back");
    person.types("\x1b[200~one\n\ntwo 漢\x1b[201~\r");
    person.sees("this was not said");
    person.awaits_lines("given back", |lines| {
        lines.ends_with(&["> one".into(), String::new(), "two 漢".into()])
    });
    person.types("\r");
    person.sees("this was not said");
    go.send(()).unwrap();
    person.sees("[connected again]");
    person.types("!\r");
    person.sees("two 漢! - (");
    person.types("\x04");
    let (_, lines, _) = person.ends_on_screen();
    assert_eq!(lines.iter().filter(|line| line.contains("one - (lior)")).count(), 1, "{lines:?}");
    server.done();
}

#[test]
fn a_server_that_stays_away_is_lost() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.logs_in(b"True\n");
        lior.close();
    });
    let began = Instant::now();
    let mut person = lior_with(&server, &["--reconnect", "2"], &[]);
    person.types("half typed");
    person.sees("trying to come back for 2 s");
    server.done();
    person.awaits_input("half typed");
    person.ends_with(1, "SERVER DISCONNECTED");
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[test]
fn who_leaves_meanwhile_does_not_wait() {
    for keys in ["\x03", "\x04", "exit()\r", "/exit\r"] {
        let server = Fake::start(|door| {
            let mut lior = door.accept();
            lior.logs_in(b"True\n");
            lior.close();
        });
        let mut person = lior_with(&server, &["--reconnect", "3600"], &[]);
        person.sees("trying to come back");
        person.types(keys);
        person.ends_with(0, "Disconnected.");
        server.done();
    }
}

#[test]
fn another_error_before_a_loss_is_not_final() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.logs_in(b"True\n");
        lior.send(b"[ERROR] no such command\n");
        lior.close();
        let mut lior = door.accept();
        // Nor is one that a busy server answers with.
        lior.logs_in(b"[ERROR] the server could not look that up; try again\n");
        lior.close();
        let mut lior = door.accept();
        lior.logs_in(b"True\n");
        lior.expect(b"exit()\n");
        lior.close();
    });
    let mut person = lior_in(&server);
    person.sees("[connected again]");
    person.types("exit()\r");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_refusal_with_a_reason_is_final() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.logs_in(b"True\n");
        lior.close();
        let mut lior = door.accept();
        lior.logs_in(b"[ERROR] the operator has banned you\n");
        lior.close();
    });
    let mut person = lior_in(&server);
    person.sees("the log-in was refused: the operator has banned you");
    person.ends_with(1, "SERVER DISCONNECTED");
    server.done();
}

#[test]
fn a_changed_password_is_the_one_to_come_back_with() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.logs_in(b"True\n");
        // One that is refused changes nothing.
        lior.expect(b"/password wrong:canary-one\n");
        lior.send(b"[ERROR] that is not your password\n");
        lior.expect(b"/password canary-word:canary-two\n");
        lior.send(b"said - (dana)\n[your password is changed; it counts from the next log-in]\n");
        lior.close();
        let mut lior = door.accept();
        lior.expect(b"[NEW]:login:lior:user:canary-two:\n");
        lior.send(b"True\n");
        lior.expect(b"exit()\n");
    });
    let mut person = lior_in(&server);
    person.types("/password wrong:canary-one\r");
    person.sees("that is not your password");
    person.types("/password\r");
    person.answers_hidden("Current password (not shown):", "canary-word\r");
    person.answers_hidden("New password (not shown):", "canary-two\r");
    person.answers_hidden("New password again:", "canary-two\r");
    person.sees(BACK);
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_nickname_comes_back_too() {
    let server = Fake::start(|door| {
        let mut peer = door.accept();
        peer.send(b"NICK");
        peer.expect(b"lior\n");
        peer.send(b"Welcome to this chatroom!\nlior join the chat room\n");
        peer.close();
        let mut early = door.accept();
        early.send(b"NICK");
        early.expect(b"lior\n");
        early.send(b"[ERROR] the name is taken\nNICK");
        early.close();
        let mut peer = door.accept();
        peer.send(b"NICK");
        peer.expect(b"lior\n");
        peer.send(b"Welcome to this chatroom!\nlior join the chat room\n");
        peer.expect(b"hi\n");
        peer.send(b"lior: hi\nexit_server\n");
        peer.expect_end();
    });
    let mut person =
        Person::start(&[&server.address(), "--protocol", "nickname", "--name", "lior"]);
    person.sees(BACK);
    person.types("hi\r");
    person.ends_with(0, "SERVER IS SHUTTING DOWN");
    server.done();
}
