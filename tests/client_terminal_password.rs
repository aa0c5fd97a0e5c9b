//! `/password` in `chinwag connect` on a terminal: sent, never shown, never remembered.
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

use client_support::person::{CANARY, lior_in, lior_with, room};

const UP: &str = "\x1b[A";

#[test]
fn a_password_is_changed_without_being_shown() {
    let (go, went) = mpsc::channel::<()>();
    let server = room(move |lior| {
        went.recv().unwrap();
        lior.send(b"meanwhile - (dana)\n");
        lior.expect(b"/password canary-word:canary-two\n");
        lior.send(b"[your password is changed; it counts from the next log-in]\n");
        lior.expect(b"exit()\n");
    });
    let mut person = lior_in(&server);
    person.types("/password\r");
    person.answers_hidden("Current password (not shown):", "canary-word\r");
    person.answers_hidden("New password (not shown):", "abc\r");
    person.sees("a password has 5 to 128 characters; give another");
    person.answers_hidden("New password (not shown):", "canary-two\r");
    go.send(()).unwrap();
    person.answers_hidden("New password again:", "canary-to\r");
    person.sees("the passwords differ");
    person.answers_hidden("New password (not shown):", "canary-two\r");
    person.answers_hidden("New password again:", "canary-two\r");
    // What came meanwhile has waited.
    person.sees("meanwhile");
    person.sees("[your password is changed");
    person.types(UP);
    person.types("\x04");
    let shown = person.ends_with(0, "Disconnected.");
    assert!(!shown.contains("canary"), "{shown:?}");
    server.done();
}

#[test]
fn a_change_of_password_is_given_up() {
    for keys in ["exit()\r", "\x03", "\x04"] {
        for prompts in 1..=3 {
            let server = room(|lior| {
                lior.expect(b"still here\n");
                lior.expect(b"exit()\n");
            });
            let mut person = lior_in(&server);
            person.types("/password\r");
            let questions = [
                "Current password (not shown):",
                "New password (not shown):",
                "New password again:",
            ];
            for prompt in &questions[..prompts - 1] {
                person.answers_hidden(prompt, &format!("{CANARY}\r"));
            }
            person.sees(questions[prompts - 1]);
            person.types(keys);
            person.sees("[the password stays as it is]");
            person.types("still here\r");
            person.sees("still here - (");
            person.types("\x04");
            person.ends_with(0, "Disconnected.");
            server.done();
        }
    }
}

#[test]
fn a_password_in_the_open_is_sent_but_neither_shown_nor_remembered() {
    let server = room(|lior| {
        lior.expect(b"before\n/password canary-word:canary-two\n[new]:login:x:canary:\n");
        lior.send(b"[your password is changed; it counts from the next log-in]\n");
        lior.expect(b"before\n");
        lior.expect(b"exit()\n");
    });
    // Not even in a log: the editor would write every key to it.
    let mut person = lior_with(&server, &["-vv"], &[("RUST_LOG", "trace")]);
    person.types("before\r");
    person.sees("before - (");
    for key in "/password canary-word:canary-two".chars() {
        person.types(&key.to_string());
    }
    person.awaits_input(&format!("/password {}", "*".repeat(22)));
    person.types("\r");
    person.sees("/password\x1b[0m\r\n");
    person.types("[new]:login:x:canary:\r");
    person.sees("[your password is changed");
    person.types(UP);
    person.awaits_input("before");
    person.types("\r");
    person.sees("before - (");
    person.types("\x04");
    let (shown, lines, _) = person.ends_on_screen();
    assert!(!lines.concat().contains("canary"), "{lines:?}");
    assert!(!shown.contains("canary-two") && !shown.contains(CANARY), "{shown:?}");
    assert!(!shown.contains("key"), "{shown:?}");
    server.done();
}

#[test]
fn a_change_of_password_that_all_would_hear_is_not_said() {
    let server = room(|lior| {
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let mut person = lior_in(&server);
    person.types(" /password canary-word:canary-two\r");
    person.sees("[not said: /password begins the line]");
    person.types("\x04");
    let (_, lines, _) = person.ends_on_screen();
    assert!(!lines.concat().contains("canary"), "{lines:?}");
    server.done();
}
