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

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use client_support::{DEADLINE, Fake, Peer, closed_port};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};

const CANARY: &str = "canary-word";

/// The terminal's line discipline shows what is typed (`ECHO`).
const ECHO: u64 = 0o10;

/// What the terminal has shown, and whether more can come.
#[derive(Default)]
struct Shown {
    text: String,
    over: bool,
}

/// A person in front of a terminal. Waits for what is shown, never for time to pass.
struct Person {
    master: Box<dyn MasterPty + Send>,
    /// Keeps the terminal's settings to be looked at after the program has ended.
    _slave: Box<dyn SlavePty + Send>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    /// What was waited for ends here.
    read_to: usize,
}

impl Person {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: 24, cols: 200, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_chinwag"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHINWAG_") || name == "NO_COLOR" {
                command.env_remove(name);
            }
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        command.arg("connect");
        command.args(arguments);
        let child = pair.slave.spawn_command(command).unwrap();
        let mut screen = pair.master.try_clone_reader().unwrap();
        let keyboard = pair.master.take_writer().unwrap();
        let shown = Arc::new((Mutex::new(Shown::default()), Condvar::new()));
        let theirs = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let count = screen.read(&mut buffer).unwrap_or(0);
                let mut shown = theirs.0.lock().unwrap();
                shown.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                shown.over = count == 0;
                theirs.1.notify_all();
                if shown.over {
                    return;
                }
            }
        });
        Self { master: pair.master, _slave: pair.slave, keyboard, child, shown, read_to: 0 }
    }

    /// Waits until `text` is shown, behind what was waited for before.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let (lock, changed) = &*self.shown;
        let until = Instant::now() + DEADLINE;
        let mut shown = lock.lock().unwrap();
        loop {
            if let Some(at) = shown.text[self.read_to..].find(text) {
                self.read_to += at + text.len();
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!shown.over && !left.is_zero(), "no {text:?} in {:?}", shown.text);
            shown = changed.wait_timeout(shown, left).unwrap().0;
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    fn answers(&mut self, prompt: &str, line: &str) {
        self.sees(prompt);
        self.types(&format!("{line}\n"));
    }

    /// Answers when what is typed is no longer shown.
    fn answers_hidden(&mut self, prompt: &str, keys: &str) {
        self.sees(prompt);
        self.awaits_echo(false);
        self.types(keys);
    }

    #[track_caller]
    fn awaits_echo(&self, wanted: bool) {
        let until = Instant::now() + DEADLINE;
        while self.echoes() != wanted {
            assert!(Instant::now() < until, "echo stays {}", !wanted);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn echoes(&self) -> bool {
        let settings = self.master.get_termios().unwrap();
        u64::from(settings.local_flags.bits()) & ECHO != 0
    }

    /// The program ends by itself: everything shown, and how it ended.
    fn ends(mut self) -> (String, portable_pty::ExitStatus) {
        let until = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                self.child.kill().unwrap();
                panic!("still runs after {:?}", self.shown.0.lock().unwrap().text);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(self.echoes(), "the terminal was left without echo");
        // What a dead program has written is all there once its terminal is closed.
        let Self { _slave, shown, .. } = self;
        drop(_slave);
        let (lock, changed) = &*shown;
        let mut shown = lock.lock().unwrap();
        while !shown.over && Instant::now() < until {
            shown = changed.wait_timeout(shown, Duration::from_millis(100)).unwrap().0;
        }
        (shown.text.clone(), status)
    }

    #[track_caller]
    fn ends_with(self, status: u32, last_line: &str) -> String {
        let (shown, ended) = self.ends();
        assert_eq!(ended.exit_code(), status, "{shown:?}");
        assert_eq!(shown.trim_end().lines().last(), Some(last_line), "{shown:?}");
        assert!(!shown.contains(CANARY), "{shown:?}");
        shown
    }
}

/// The client asks whether anybody is there before it asks who someone is.
fn expect_probe(door: &client_support::Door) {
    let mut probe = door.accept();
    probe.expect(b":REMOVE:\n");
    probe.expect_end();
}

/// A server that lior, from the command line, logs in to; then the script.
fn room(script: impl FnOnce(&mut Peer) + Send + 'static) -> Fake {
    Fake::start(move |door| {
        let mut lior = door.accept();
        lior.expect(b"[NEW]:login:lior:user:canary-word:\n");
        lior.send(b"True\n");
        script(&mut lior);
        lior.close();
    })
}

fn lior_with(server: &Fake, variables: &[(&str, &str)]) -> Person {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{CANARY}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let mut person = Person::start_with(
        &[&server.address(), "--name", "lior", "--user", "user", "--password-file", path],
        variables,
    );
    person.sees("Logged in as lior. Type a line to say it; exit() leaves.\r\n");
    person
}

fn lior_in(server: &Fake) -> Person {
    lior_with(server, &[])
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
    // Coloured: a notice is dim, a name is bold.
    person.sees("\x1b[2m[dana - connected to the server!]\x1b[0m\r\n");
    person.types("hello: you\n");
    person.sees("hi lior - (\x1b[1;36mdana\x1b[0m)\r\n");
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
    let mut person = lior_in(&server);
    person.sees("exit_server - (");
    person.ends_with(1, "SERVER DISCONNECTED");
    server.done();
}

#[test]
fn a_hostile_server_does_not_own_the_terminal() {
    let server = room(|lior| lior.send(b"\x1b]0;own\x07\x1b[2Jhi\r\x9b - (dana)\n"));
    let mut person = lior_with(&server, &[("NO_COLOR", "1")]);
    person.sees("hi\u{fffd} - (dana)\r\n");
    let shown = person.ends_with(1, "SERVER DISCONNECTED");
    assert!(!shown.contains('\x1b') && !shown.contains('\x07'), "{shown:?}");
    server.done();
}

#[test]
fn no_colour_where_it_is_not_wanted() {
    for (value, coloured) in [("1", false), ("", true)] {
        let server = room(|lior| lior.send(b"hi - (dana)\nexit_server\n"));
        let person = lior_with(&server, &[("NO_COLOR", value)]);
        let shown = person.ends_with(0, "SERVER IS SHUTTING DOWN");
        assert_eq!(shown.contains("\x1b[1;36mdana"), coloured, "{shown:?}");
        assert_eq!(shown.contains("hi - (dana)"), !coloured, "{shown:?}");
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
    assert!(!shown.contains('>') && !shown.contains("Name:"), "{shown:?}");
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
    person.sees("\x1b[1;36mlior\x1b[0m: hi\r\n");
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
