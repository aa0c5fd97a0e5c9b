//! `chinwag connect` on a terminal, against a scripted server.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

#[allow(dead_code, reason = "shared with the tests in a pipe")]
mod client_support;

use client_support::person::{CANARY, Person, lior_in, lior_with, room};
use client_support::{Fake, closed_port};

/// The client asks whether anybody is there before it asks who someone is.
fn expect_probe(door: &client_support::Door) {
    let mut probe = door.accept();
    probe.expect(b":REMOVE:\n");
    probe.expect_end();
}

#[test]
fn sign_up_log_in_chat_and_leave() {
    let server = Fake::start(|door| {
        expect_probe(door);
        let mut new = door.accept();
        new.expect(b"[NEW]:signup:lior:user:canary-word:\n");
        new.send(b"Account Created\n");
        new.close();
        let mut lior = door.accept();
        lior.expect(b"[NEW]:login:lior:user:canary-word:\n");
        lior.send(b"True\n[dana - connected to the server!]\n");
        lior.expect(b"hello: you\n");
        lior.send(b"hi lior - (dana)\n");
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let mut person = Person::start(&[]);
    person.answers("Server host [localhost]:", "127.0.0.1");
    person.answers("Server port [23791]:", "http");
    person.sees("a port is a number from 1 to 65535");
    person.answers("Server port [23791]:", &server.port.to_string());
    person.sees("1  sign up\r\n2  log in\r\n");
    person.answers(">", "3");
    person.answers(">", "1");
    person.sees("A name has 1 to 32 characters and none of : [ ] ( ).");
    person.sees("A user name has 4 to 32 characters and no colon.");
    person.sees("A password has 5 to 128 characters and no colon.");
    person.answers("Name:", "li:or");
    person.sees("a name has no colon");
    person.answers("Name:", "lior");
    person.answers("User name:", "abc");
    person.sees("a user name has 4 to 32 characters; give another");
    person.answers("User name:", "user");
    person.answers_hidden("Password (not shown):", "1234\r");
    person.sees("a password has 5 to 128 characters; give another");
    person.answers_hidden("Password (not shown):", "canary-word\r");
    person.answers_hidden("Password again:", "canary-wood\r");
    person.sees("the passwords differ");
    person.answers_hidden("Password (not shown):", "canary-word\r");
    person.answers_hidden("Password again:", "canary-word\r");
    person.sees("Account Created\r\n1  sign up\r\n2  log in");
    person.answers(">", "2");
    person.answers("Name:", "lior");
    person.answers("User name:", "user");
    person.answers_hidden("Password (not shown):", "canary-word\r");
    person.sees("Logged in as lior.");
    // Coloured: a notice is dim, a name is bold, one's own is marked.
    person.sees("\x1b[2m[dana - connected to the server!]\x1b[0m\r\n");
    person.types("hello: you\n");
    person.sees("hi \x1b[1;7mlior\x1b[0m - (\x1b[1;38;5;64mdana\x1b[0m)\r\n");
    person.types("exit()\n");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_refusal_says_why_and_brings_the_menu_again() {
    let server = Fake::start(|door| {
        expect_probe(door);
        for (kind, answer) in [("signup", "[ERROR] taken\x1b[2J\n"), ("login", "False\n")] {
            let mut peer = door.accept();
            peer.expect(format!("[NEW]:{kind}:lior:user:canary-word:\n").as_bytes());
            peer.send(answer.as_bytes());
            peer.close();
        }
    });
    let mut person = Person::start(&[&server.address()]);
    person.answers(">", "1");
    person.answers("Name:", "lior");
    person.answers("User name:", "user");
    person.answers_hidden("Password (not shown):", "canary-word\r");
    person.answers_hidden("Password again:", "canary-word\r");
    person.sees("[ERROR] taken\r\n1  sign up");
    person.answers(">", "2");
    person.answers("Name:", "lior");
    person.answers("User name:", "user");
    person.answers_hidden("Password (not shown):", "canary-word\r");
    person.sees("the log-in was refused: check name, user name and password");
    person.sees("1  sign up");
    person.answers(">", "exit()");
    person.ends_with(0, "Disconnected.");
    server.done();
}

/// The questions of a sign-up: the prompt, a good answer, whether it is hidden.
const QUESTIONS: [(&str, &str, bool); 7] = [
    ("Server host [localhost]:", "127.0.0.1", false),
    ("Server port [23791]:", "PORT", false),
    ("1 or 2, exit() leaves >", "1", false),
    ("Name:", "lior", false),
    ("User name:", "user", false),
    ("Password (not shown):", CANARY, true),
    ("Password again:", "", true),
];

/// Answers the questions before `last`, and that one with `keys`.
fn leaves_at(last: usize, keys: &str) {
    // The question for the port is the last one before the server is reached.
    let server = Fake::start(move |door| {
        if last > 1 {
            expect_probe(door);
        }
    });
    let mut person = Person::start(&[]);
    for (prompt, answer, hidden) in &QUESTIONS[..last] {
        if *hidden {
            person.answers_hidden(prompt, &format!("{answer}\r"));
        } else {
            person.answers(prompt, &answer.replace("PORT", &server.port.to_string()));
        }
    }
    let (prompt, _, hidden) = QUESTIONS[last];
    if hidden {
        person.answers_hidden(prompt, keys);
    } else {
        person.sees(prompt);
        person.types(keys);
    }
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn exit_leaves_at_every_question() {
    for last in 0..QUESTIONS.len() {
        leaves_at(last, "exit()\n");
    }
}

#[test]
fn the_end_of_the_input_leaves_at_every_question() {
    for last in 0..QUESTIONS.len() {
        leaves_at(last, "\x04");
    }
}

#[test]
fn ctrl_c_ends_it_and_the_terminal_shows_again_what_is_typed() {
    for last in [0, QUESTIONS.len() - 2] {
        let server = Fake::start(move |door| {
            if last > 1 {
                expect_probe(door);
            }
        });
        let mut person = Person::start(&[]);
        for (prompt, answer, _) in &QUESTIONS[..last] {
            person.answers(prompt, &answer.replace("PORT", &server.port.to_string()));
        }
        let (prompt, _, hidden) = QUESTIONS[last];
        person.sees(prompt);
        if hidden {
            person.awaits_echo(false);
        }
        person.types("\x03");
        let (shown, status) = person.ends();
        assert!(status.signal().is_some(), "{status:?} {shown:?}");
        server.done();
    }
}

#[test]
fn the_end_of_the_input_leaves_the_chat() {
    let server = room(|lior| {
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let mut person = lior_in(&server);
    person.types("\x04");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_server_that_shuts_down_ends_it_well() {
    let server = room(|lior| lior.send(b"exit_server - (dana)\nexit_server\n"));
    let mut person = lior_in(&server);
    person.sees("exit_server - (");
    person.ends_with(0, "SERVER IS SHUTTING DOWN");
    server.done();
}

#[test]
fn a_lost_server_ends_it_badly() {
    let server = room(|lior| lior.send(b"exit_server - (dana)\n"));
    let mut person = lior_with(&server, &["--reconnect", "0"], &[]);
    person.sees("exit_server - (");
    person.ends_with(1, "SERVER DISCONNECTED");
    server.done();
}

#[test]
fn a_hostile_server_does_not_own_the_terminal() {
    for (term, plain) in [("xterm-256color", false), ("dumb", true)] {
        let server = room(|lior| lior.send(b"\x1b]0;own\x07\x1b[2Jhi\r\x9b - (dana)\n"));
        let mut person =
            lior_with(&server, &["--reconnect", "0"], &[("NO_COLOR", "1"), ("TERM", term)]);
        person.sees("hi\u{fffd} - (dana)\r\n");
        let shown = person.ends_with(1, "SERVER DISCONNECTED");
        for code in ["\x1b]", "\x1b[2J", "\x07", "\u{9b}"] {
            assert!(!shown.contains(code), "{shown:?}");
        }
        assert!(!plain || !shown.contains('\x1b'), "{shown:?}");
        server.done();
    }
}

#[test]
fn no_colour_where_it_is_not_wanted() {
    for (variable, value, coloured) in
        [("NO_COLOR", "1", false), ("NO_COLOR", "", true), ("TERM", "dumb", false)]
    {
        let server = room(|lior| {
            lior.send(b"hi lior - (dana)\n[dana - connected to the server!]\n");
            lior.send(b"[ERROR] why\nexit_server\n");
        });
        let person = lior_with(&server, &[], &[(variable, value)]);
        let shown = person.ends_with(0, "SERVER IS SHUTTING DOWN");
        assert_eq!(shown.contains("\x1b[1;38;5;64mdana"), coloured, "{shown:?}");
        assert_eq!(shown.contains("hi lior - (dana)"), !coloured, "{shown:?}");
        // Nothing else sets a colour either: the editor itself has none.
        let paints = shown.split("\x1b[").skip(1).any(|code| {
            code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
        });
        assert_eq!(paints, coloured, "{shown:?}");
        server.done();
    }
}

#[test]
fn what_was_given_is_not_asked_and_sign_up_goes_first() {
    let server = Fake::start(|door| {
        for (kind, answer) in [("signup", "Account Created\n"), ("login", "True\n")] {
            let mut peer = door.accept();
            peer.expect(format!("[NEW]:{kind}:lior:user:canary-word:\n").as_bytes());
            peer.send(answer.as_bytes());
            if kind == "login" {
                peer.send(b"exit_server\n");
            }
            peer.close();
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), CANARY).unwrap();
    let path = file.path().to_str().unwrap();
    let address = server.address();
    let given = [&address, "--name", "lior", "--user", "user", "--password-file", path];
    let mut person = Person::start(&[&given[..], &["--sign-up"]].concat());
    person.sees("Account Created");
    let shown = person.ends_with(0, "SERVER IS SHUTTING DOWN");
    assert!(!shown.contains("leaves >") && !shown.contains("Name:"), "{shown:?}");
    server.done();
}

#[test]
fn nobody_there_is_said_before_the_questions() {
    let port = closed_port();
    let mut person = Person::start(&[&format!("127.0.0.1:{port}")]);
    person.sees(&format!("chinwag: cannot reach 127.0.0.1:{port}"));
    let (shown, status) = person.ends();
    assert_eq!(status.exit_code(), 1);
    assert!(!shown.contains("sign up"), "{shown:?}");
}

#[test]
fn a_nickname_is_asked_again_when_it_is_taken() {
    let server = Fake::start(|door| {
        let mut peer = door.accept();
        peer.send(b"NICK");
        peer.expect(b"dana\n");
        peer.send(b"[ERROR] taken\nNICK");
        peer.expect(b"lior\n");
        peer.send(b"Welcome to this chatroom!\nlior join the chat room\n");
        peer.expect(b"hi\n");
        peer.send(b"lior: hi\n");
        peer.expect_end();
    });
    let mut person = Person::start(&[&server.address(), "--protocol", "nickname"]);
    person.answers("Nickname:", "a(b");
    person.sees("a name has none of [ ] ( )");
    person.answers("Nickname:", "dana");
    person.sees("[ERROR] taken\r\n");
    person.answers("Nickname:", "lior");
    person.sees("\x1b[2mWelcome to this chatroom!\x1b[0m\r\n");
    person.sees("\x1b[2mlior join the chat room\x1b[0m\r\n");
    person.types("hi\n");
    person.sees("\x1b[1;38;5;163mlior\x1b[0m: hi\r\n");
    person.types("exit()\n");
    person.ends_with(0, "Disconnected.");
    server.done();
}

#[test]
fn a_relay_is_cleaned_and_left() {
    let server = Fake::start(|door| {
        let mut peer = door.accept();
        peer.expect(b"hi\n");
        peer.send(b"\x1b[2Jho");
        peer.expect_end();
    });
    let mut person = Person::start(&[&server.address(), "--protocol", "relay"]);
    person.sees("Connected.");
    person.types("hi\n");
    person.sees("hi\r\nho");
    person.types("\nexit()\n");
    let shown = person.ends_with(0, "Disconnected.");
    assert!(!shown.contains('\x1b'), "{shown:?}");
    server.done();
}

#[test]
fn a_sentence_in_upper_case() {
    let server = Fake::start(|door| {
        let mut peer = door.accept();
        peer.expect(b"hello\n");
        peer.send(b"HELLO\n");
        peer.close();
    });
    let mut person = Person::start(&[&server.address(), "--protocol", "uppercase"]);
    person.answers("Input lowercase sentence:", "hello");
    person.ends_with(0, "HELLO");
    server.done();

    let mut person = Person::start(&["localhost", "--protocol", "uppercase"]);
    person.answers("Input lowercase sentence:", "exit()");
    person.ends_with(0, "Disconnected.");
}
