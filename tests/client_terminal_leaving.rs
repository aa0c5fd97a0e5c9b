//! How a chat on a terminal ends, and that the terminal is given back as it was.
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

use client_support::person::{lior_at, lior_in, room, transcript};
use rustix::process::Signal;

#[test]
fn ctrl_c_and_ctrl_d_leave() {
    for keys in ["\x03", "half typed\x03", "\x04", "\x1c"] {
        let server = room(|lior| {
            lior.expect(b"said\n");
            lior.send(b"heard - (dana)\n");
            lior.expect(b"exit()\n");
            lior.expect_end();
            lior.send(b"the last - (dana)\n");
        });
        let mut person = lior_in(&server);
        person.types("said\r");
        person.sees("heard");
        person.types(keys);
        let (_, lines, status) = person.ends_on_screen();
        assert_eq!(transcript(&lines), ["said - (lior)", "heard - (dana)", "the last - (dana)"]);
        assert_eq!((lines.last().unwrap().as_str(), status.exit_code()), ("Disconnected.", 0));
        server.done();
    }
}

#[test]
fn ctrl_d_in_a_line_does_not_leave() {
    let server = room(|lior| {
        lior.expect(b"abd\n");
        lior.expect(b"exit()\n");
    });
    let mut person = lior_in(&server);
    person.types("abcd\x1b[D\x1b[D\x04\r");
    person.sees("abd - (");
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    for (signal, dies) in [(Signal::TERM, true), (Signal::HUP, true), (Signal::INT, false)] {
        let server = room(move |lior| {
            lior.expect(if dies { b"" } else { b"exit()\n" });
            lior.expect_end();
        });
        let mut person = lior_at(&server, &[], &[], (24, 40));
        person.types(&"half typed ".repeat(6));
        person.awaits_input(&"half typed ".repeat(6));
        person.awaits_echo(false);
        person.signals(signal);
        let (shown, status) = person.ends();
        assert_eq!(status.signal().is_some(), dies, "{status:?}");
        assert_eq!(shown.contains("Disconnected."), !dies, "{shown:?}");
        server.done();
    }
}

#[test]
fn the_end_of_the_room_takes_a_half_typed_line_off_the_screen() {
    for (last, status, words) in [
        (&b"exit_server\n"[..], 0, "SERVER IS SHUTTING DOWN"),
        (b"exit_server", 0, "SERVER IS SHUTTING DOWN"),
        // The server meant it: nobody tries to come back.
        (b"[ERROR] the operator has removed you from the room\n", 1, "SERVER DISCONNECTED"),
    ] {
        let (go, went) = mpsc::channel::<()>();
        let server = room(move |lior| {
            went.recv().unwrap();
            lior.send(b"before - (dana)\n");
            lior.send(last);
        });
        let mut person = lior_at(&server, &[], &[], (24, 40));
        // Two rows and a bit, with the cursor in the middle.
        let half = "half typed ".repeat(8);
        person.types(&format!("{half}\x1b[H\x1b[C"));
        person.awaits_input(&half);
        go.send(()).unwrap();
        let (_, lines, ended) = person.ends_on_screen();
        let mut expected = vec!["before - (dana)"];
        if status == 1 {
            expected.push("[ERROR] the operator has removed you from the room");
        }
        assert_eq!(transcript(&lines), expected);
        assert_eq!((lines.last().unwrap().as_str(), ended.exit_code()), (words, status));
        server.done();
    }
}
