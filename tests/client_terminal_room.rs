//! Sitting in a room with `chinwag connect`: what is marked, completed and said.
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

use client_support::Fake;
use client_support::person::{Person, lior_at, lior_in, lior_with, room, transcript};
#[test]
fn ones_own_name_rings_and_is_marked() {
    for (options, rings) in [(&[][..], true), (&["--no-bell"][..], false)] {
        let server = room(|lior| lior.send(b"hey LIOR, hi - (dana)\nexit_server\n"));
        let shown = lior_with(&server, options, &[]).ends_with(0, "SERVER IS SHUTTING DOWN");
        assert_eq!(shown.contains('\x07'), rings, "{shown:?}");
        assert!(shown.contains("hey \x1b[1;7mLIOR\x1b[0m, hi"), "{shown:?}");
        server.done();
    }
}

#[test]
fn other_words_do_not_ring() {
    let server = room(|lior| {
        lior.send(b"superlior liora - (dana)\n[lior - connected to the server!]\n");
        lior.send(b"lior - (dana) [history 2026-11-21 08:05 UTC]\n[SERVER] lior\nexit_server\n");
    });
    let shown = lior_in(&server).ends_with(0, "SERVER IS SHUTTING DOWN");
    assert!(!shown.contains('\x07') && !shown.contains("\x1b[1;7m"), "{shown:?}");
    server.done();
}

#[test]
fn every_kind_of_line_is_shown() {
    let server = room(|lior| {
        lior.send(b"* dana waves - (dana)\npsst - (dana) [private]\n[SERVER] lunch\n");
        lior.send(b"[2 here: (lior) (dana)]\n/who  who is here\n[ERROR] slow down\n");
        lior.send(b"old - (dana) [history 2026-11-21 23:05 UTC]\n");
        lior.send(b"exit_server\n");
    });
    let person = lior_in(&server);
    let (shown, lines, _) = person.ends_on_screen();
    assert_eq!(
        transcript(&lines),
        [
            "* dana waves",
            "psst - (dana) [private]",
            "[SERVER] lunch",
            "[2 here: (lior) (dana)]",
            "/who  who is here",
            "[ERROR] slow down",
            "old - (dana) [history 2026-11-21 23:05 UTC]",
        ]
    );
    assert!(shown.contains("* \x1b[1;38;5;64mdana\x1b[0m waves"), "{shown:?}");
    server.done();
}

#[test]
fn times_are_those_of_the_person() {
    let server = room(|lior| {
        lior.expect(b"mine\n");
        lior.send(b"hi - (dana)\nold - (dana) [history 2026-11-21 23:05 UTC]\nexit_server\n");
    });
    let mut person = lior_with(&server, &["--timestamps"], &[("TZ", "XXX-2"), ("NO_COLOR", "1")]);
    person.types("mine\r");
    let (_, lines, _) = person.ends_on_screen();
    let transcript = transcript(&lines);
    for (line, text) in transcript.iter().zip([" mine - (lior)", " hi - (dana)"]) {
        let time = line.strip_suffix(text).unwrap_or_else(|| panic!("{line:?}"));
        let digits = |part: &str| part.len() == 2 && part.parse::<u8>().is_ok();
        assert!(time.split_once(':').is_some_and(|(h, m)| digits(h) && digits(m)), "{line:?}");
    }
    assert_eq!(transcript[2], "2026-11-22 01:05 old - (dana) [history]");
    server.done();
}

#[test]
fn the_options_are_variables_too() {
    let server = room(|lior| lior.send(b"lior - (dana)\n"));
    let person = lior_with(
        &server,
        &[],
        &[("CHINWAG_TIMESTAMPS", "1"), ("CHINWAG_NO_BELL", "1"), ("CHINWAG_RECONNECT", "0")],
    );
    let shown = person.ends_with(1, "SERVER DISCONNECTED");
    assert!(shown.contains("m lior") || shown.contains("\x1b[0m \x1b[1;7mlior"), "{shown:?}");
    assert!(!shown.contains('\x07'), "{shown:?}");
    server.done();
}

#[test]
fn tab_knows_names_and_commands_and_the_room_goes_on() {
    let (go, went) = mpsc::channel::<&str>();
    let server = room(move |lior| {
        lior.send(b"[ana - connected to the server!]\n");
        lior.send("[4 here: (lior) (Ana Maria) (Zo\u{eb}) (ana)]\n".as_bytes());
        for line in went {
            lior.send(line.as_bytes());
        }
        lior.expect("Zo\u{eb}: and ana , /w\n/msg \"Ana Maria\" hi\n/who\n".as_bytes());
        lior.expect(b"exit()\n");
    });
    let mut person = lior_in(&server);
    person.sees("4 here");
    person.types("z\t");
    person.awaits_input("Zoë: ");
    person.types("and an\t");
    person.awaits_input("Zoë: and ana");
    // Two begin like this: they are shown, and nothing waits for another key.
    person.types("\t");
    person.sees("[ana, Ana Maria]");
    go.send("meanwhile - (Zo\u{eb})\n").unwrap();
    drop(go);
    person.sees("meanwhile");
    person.awaits_input("Zoë: and ana");
    person.types(" , /w\t");
    person.awaits_input("Zoë: and ana , /w");
    person.types("\r/ms\t");
    person.awaits_input("/msg ");
    person.types("ana m\t");
    person.awaits_input("/msg \"Ana Maria\" ");
    person.types("hi\r/w\t");
    person.awaits_input("/who");
    person.types("\r");
    person.sees("/who\x1b[0m\r\n");
    person.types("/exit\r");
    let (_, lines, status) = person.ends_on_screen();
    assert_eq!(
        transcript(&lines)[2..],
        [
            "[ana, Ana Maria]",
            "meanwhile - (Zoë)",
            "Zoë: and ana , /w - (lior)",
            "hi - (lior) [private to Ana Maria]",
            "/who",
        ]
    );
    assert_eq!(status.exit_code(), 0);
    server.done();
}

#[test]
fn commands_go_out_as_typed_and_show_what_they_do() {
    let server = room(|lior| {
        lior.expect(b"/me waves\n//slash\n/history 5\n  two  spaces \nexit()\n");
        lior.expect_end();
    });
    let mut person = lior_in(&server);
    person.types("/me waves\r//slash\r/history 5\r  two  spaces \r\r  \r/exit\r");
    let (_, lines, _) = person.ends_on_screen();
    let expected = ["* lior waves", "/slash - (lior)", "/history 5", "  two  spaces  - (lior)"];
    assert_eq!(transcript(&lines), expected);
    server.done();
}

#[test]
fn a_nickname_has_no_commands_and_sees_what_comes_back() {
    let server = Fake::start(|door| {
        let mut peer = door.accept();
        peer.send(b"NICK");
        peer.expect(b"lior\n");
        peer.send(b"Welcome to this chatroom!\nlior join the chat room\n");
        for said in ["/exit", "/password", "/me x"] {
            peer.expect(format!("{said}\n").as_bytes());
            peer.send(format!("lior: {said}\n").as_bytes());
        }
        peer.expect_end();
    });
    let mut person =
        Person::start(&[&server.address(), "--protocol", "nickname", "--name", "lior"]);
    person.sees("lior join the chat room");
    person.types("/exit\r/password\r/me x\r");
    person.sees(": /me x");
    person.types("exit()\r");
    let (_, lines, status) = person.ends_on_screen();
    assert_eq!(
        lines,
        [
            "Joined as lior. Type a line to say it; exit() leaves.",
            "Welcome to this chatroom!",
            "lior join the chat room",
            "lior: /exit",
            "lior: /password",
            "lior: /me x",
            "Disconnected.",
        ]
    );
    assert_eq!(status.exit_code(), 0);
    server.done();
}

#[test]
fn bytes_that_are_no_text_are_left_out() {
    let server = room(|lior| {
        lior.expect("ab\u{e9}\n".as_bytes());
        lior.expect(b"exit()\n");
    });
    let mut person = lior_in(&server);
    person.types("a");
    person.awaits_input("a");
    person.sees("\x1b[?2004h");
    person.presses(b"\xff");
    // The editor begins anew.
    person.sees("\x1b[?2004h");
    person.types("b\u{e9}");
    person.awaits_input("ab\u{e9}");
    person.types("\r\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_line_that_no_server_takes_is_not_said() {
    let server = room(|lior| {
        lior.expect(b"short\n");
        lior.expect(b"exit()\n");
    });
    let mut person = lior_in(&server);
    person.types(&format!("\x1b[200~{}\nshort\x1b[201~\r", "x".repeat(40_000)));
    person.sees("bytes was not said]");
    person.sees("short - (");
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_terminal_that_cannot_edit_gets_plain_lines() {
    for term in ["dumb", ""] {
        let server = room(|lior| {
            lior.expect(b"hi\n");
            lior.send(b"lior! - (dana)\n");
            lior.expect(b"exit()\n");
        });
        let mut person = lior_with(&server, &[], &[("TERM", term)]);
        person.types("hi\n");
        person.sees("hi\r\nlior! - (dana)\r\n");
        person.types("exit()\n");
        let shown = person.ends_with(0, "Disconnected.");
        assert!(!shown.contains('\x1b') && !shown.contains('\x07'), "{shown:?}");
        server.done();
    }
}

#[test]
fn more_is_heard_than_anybody_reads_and_nothing_is_lost() {
    // More than the queue and the sockets hold: who hears waits for who shows.
    const LINES: usize = 30_000;
    let server = room(|lior| {
        for n in 0..LINES {
            lior.send(format!("{n} {} - (dana)\n", "x".repeat(100)).as_bytes());
        }
        lior.send(b"exit_server\n");
    });
    let person = lior_at(&server, &[], &[("NO_COLOR", "1")], (24, 200));
    let (shown, status) = person.ends();
    assert_eq!(status.exit_code(), 0);
    let mut at = 0;
    for n in 0..LINES {
        let line = format!("{n} {} - (dana)\r\n", "x".repeat(100));
        at += shown[at..].find(&line).unwrap_or_else(|| panic!("{n} is missing")) + line.len();
    }
    server.done();
}
