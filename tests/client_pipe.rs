//! `chinwag connect` in a shell pipe, against a scripted server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

#[allow(dead_code, reason = "shared with the tests on a terminal")]
mod client_support;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use client_support::{DEADLINE, Fake, closed_port};

const CANARY: &str = "canary-word";
const LOG_IN: &[u8] = b"[NEW]:login:lior:user:canary-word:\n";

/// What a run left behind.
struct Outcome {
    status: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Outcome {
    #[track_caller]
    fn is(&self, status: i32, out: &[u8], err: &str) {
        let text = String::from_utf8_lossy(&self.out);
        assert_eq!(self.status, Some(status), "out {text:?} err {:?}", self.err);
        assert_eq!(text, String::from_utf8_lossy(out));
        assert!(!self.err.contains(CANARY));
        if err.is_empty() {
            assert_eq!(self.err, "");
        } else {
            assert!(self.err.contains(err), "{:?} lacks {err:?}", self.err);
            assert_eq!(self.err.lines().count(), 1, "{:?}", self.err);
        }
    }
}

fn client(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chinwag"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHINWAG_") {
            command.env_remove(name);
        }
    }
    command.arg("connect").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn read_on_the_side(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, bytes) = mpsc::channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut all);
        }
        send.send(all)
    });
    bytes
}

/// Ends the child after the deadline, so that no test hangs.
fn outcome(mut child: Child) -> Outcome {
    let out = read_on_the_side(child.stdout.take());
    let err = read_on_the_side(child.stderr.take());
    let until = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status.code();
        }
        if Instant::now() > until {
            child.kill().expect("kill");
            child.wait().expect("wait");
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Outcome {
        status,
        out: out.recv().expect("standard output"),
        err: String::from_utf8_lossy(&err.recv().expect("standard error")).into_owned(),
    }
}

fn run(arguments: &[&str], input: &[u8]) -> Outcome {
    let mut child = client(arguments).spawn().expect("spawn");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    std::thread::spawn(move || stdin.write_all(&input));
    outcome(child)
}

fn password_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), format!("{CANARY}\n")).expect("write");
    file
}

/// Runs with the credentials of lior.
fn run_as_lior(server: &str, more: &[&str], input: &[u8]) -> Outcome {
    let file = password_file();
    let path = file.path().to_str().expect("path");
    let mut arguments = vec![server, "--name", "lior", "--user", "user", "--password-file", path];
    arguments.extend_from_slice(more);
    run(&arguments, input)
}

#[test]
fn everything_said_arrives_and_everything_heard_is_shown() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.expect(LOG_IN);
        lior.send(b"True\n[dana - connected to the server!]\n");
        lior.expect(b"hi\n[NEW]:x\n/who\nlast\nexit()\n");
        lior.expect_end();
        // Half closed: what is heard now is still shown.
        lior.send(b"\x1b[31mlate\x1b[0m - (dana)\n");
        lior.close();
    });
    let outcome = run_as_lior(&server.address(), &[], b"hi\n\n[NEW]:x\n/who\nlast");
    server.done();
    outcome.is(0, b"[dana - connected to the server!]\n\x1b[31mlate\x1b[0m - (dana)\n", "");
}

#[test]
fn a_long_input_arrives_whole() {
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let expected = format!("{lines}exit()\n");
    let server = Fake::start(move |door| {
        let mut lior = door.accept();
        lior.expect(LOG_IN);
        lior.send(b"True\n");
        assert!(lior.rest() == expected.as_bytes(), "something was lost");
        lior.close();
    });
    let outcome = run_as_lior(&server.address(), &[], lines.as_bytes());
    server.done();
    outcome.is(0, b"", "");
}

#[test]
fn sign_up_comes_first_on_a_connection_of_its_own() {
    let server = Fake::start(|door| {
        let mut new = door.accept();
        new.expect(b"[NEW]:signup:lior:user:canary-word:\n");
        new.send(b"Account Created\n");
        new.close();
        let mut lior = door.accept();
        lior.expect(LOG_IN);
        lior.send(b"True\n");
        lior.expect(b"exit()\n");
        lior.expect_end();
    });
    let outcome = run_as_lior(&server.address(), &["--sign-up"], b"");
    server.done();
    outcome.is(0, b"", "");
}

#[test]
fn refusals_and_foreign_answers_are_one_line() {
    let cases: [(&[&str], &[u8], &str); 6] = [
        (&["--sign-up"], b"[ERROR] the name is taken\n", "not created: the name is taken"),
        (&["--sign-up"], b"", "before it answered"),
        (&[], b"False\n", "log-in was refused"),
        (&[], b"NICK", "does not speak accounts"),
        (&[], b"[NEW]:LOGIN:LIOR:USER:canary-word:\n", "does not speak accounts"),
        (&[], b"", "before it answered"),
    ];
    for (more, answer, line) in cases {
        let server = Fake::start(move |door| {
            let mut lior = door.accept();
            lior.expect(b"[NEW]:");
            lior.send(answer);
            lior.close();
        });
        let outcome = run_as_lior(&server.address(), more, b"hi\n");
        server.done();
        outcome.is(1, b"", line);
    }
}

#[test]
fn nobody_there() {
    let port = closed_port();
    let address = format!("127.0.0.1:{port}");
    run_as_lior(&address, &[], b"hi\n").is(1, b"", &format!("cannot reach {address}"));
    run_as_lior("no-such-host.invalid:1", &[], b"").is(1, b"", "cannot find no-such-host.invalid");
}

#[test]
fn what_is_missing_is_named() {
    let file = password_file();
    let path = file.path().to_str().expect("path");
    run(&[], b"").is(1, b"", "give --name NAME");
    run(&["--name", "lior"], b"").is(1, b"", "give --user USER");
    run(&["--name", "lior", "--user", "user"], b"").is(1, b"", "give --password-file FILE");
    run(&["--name", "a:b", "--user", "user", "--password-file", path], b"").is(
        1,
        b"",
        "--name: a name has no colon",
    );
    run(&["--name", "lior", "--user", "user", "--password-file", "/nowhere"], b"").is(
        1,
        b"",
        "cannot read the password from /nowhere",
    );
    run(&["--protocol", "nickname"], b"").is(1, b"", "give --name NAME");
}

#[test]
fn a_server_that_is_none_is_a_usage_error() {
    for (server, reason) in [("localhost:http", "1 to 65535"), ("a:b:c", "[ADDRESS]:PORT")] {
        let outcome = run(&[server], b"");
        assert_eq!(outcome.status, Some(2));
        assert!(outcome.err.contains(reason), "{}", outcome.err);
    }
}

/// Chats with input that stays open; the script ends it.
fn chat_until(script: impl FnOnce(&mut client_support::Peer) + Send + 'static) -> Outcome {
    let server = Fake::start(move |door| {
        let mut lior = door.accept();
        lior.expect(LOG_IN);
        lior.send(b"True\n");
        script(&mut lior);
        lior.close();
    });
    let file = password_file();
    let mut command = client(&[&server.address(), "--name", "lior", "--user", "user"]);
    let mut child = command.arg("--password-file").arg(file.path()).spawn().expect("spawn");
    let stdin = child.stdin.take();
    let outcome = outcome(child);
    drop(stdin);
    server.done();
    outcome
}

#[test]
fn the_farewell_of_the_server_ends_it_well() {
    chat_until(|lior| lior.send(b"hi - (dana)\nexit_server\n")).is(
        0,
        b"hi - (dana)\nexit_server\n",
        "SERVER IS SHUTTING DOWN",
    );
}

#[test]
fn a_lost_server_ends_it_badly_whatever_people_say() {
    chat_until(|lior| lior.send(b"exit_server - (dana)\n")).is(
        1,
        b"exit_server - (dana)\n",
        "SERVER DISCONNECTED",
    );
}

#[test]
fn exit_in_the_input_leaves() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.expect(LOG_IN);
        lior.send(b"True\n");
        lior.expect(b"hi\nexit()\n");
        lior.expect_end();
    });
    let outcome = run_as_lior(&server.address(), &[], b"hi\nexit()\nnever said\n");
    server.done();
    outcome.is(0, b"", "");
}

#[test]
fn a_reader_that_left_ends_it_quietly() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.expect(LOG_IN);
        lior.send(b"True\nhi - (dana)\n");
        lior.expect_end();
    });
    let file = password_file();
    let mut command = client(&[&server.address(), "--name", "lior", "--user", "user"]);
    let mut child = command.arg("--password-file").arg(file.path()).spawn().expect("spawn");
    let stdin = child.stdin.take();
    drop(child.stdout.take());
    let outcome = outcome(child);
    drop(stdin);
    server.done();
    outcome.is(0, b"", "");
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_shown_is_a_failure() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.expect(LOG_IN);
        lior.send(b"True\nhi - (dana)\n");
        lior.expect_end();
    });
    let file = password_file();
    let mut command = client(&[&server.address(), "--name", "lior", "--user", "user"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    command.arg("--password-file").arg(file.path()).stdout(full);
    let mut child = command.spawn().expect("spawn");
    let stdin = child.stdin.take();
    let outcome = outcome(child);
    drop(stdin);
    server.done();
    outcome.is(1, b"", "cannot write what was heard");
}

#[test]
fn a_nickname() {
    let server = Fake::start(|door| {
        let mut lior = door.accept();
        lior.send(b"NICK");
        lior.expect(b"lior\n");
        lior.send(b"Welcome to this chatroom!\nlior join the chat room\n");
        lior.expect(b"hi\n");
        lior.send(b"lior: hi\n");
        lior.expect_end();
    });
    let arguments = [&server.address(), "--protocol", "nickname", "--name", "lior"];
    let outcome = run(&arguments, b"hi\nexit()\nnever said\n");
    server.done();
    outcome.is(0, b"Welcome to this chatroom!\nlior join the chat room\nlior: hi\n", "");
}

#[test]
fn a_nickname_refused_or_not_asked_for() {
    for (greeting, line) in
        [(&b"NICK"[..], "nickname was refused: taken"), (b"True\n", "does not speak nickname")]
    {
        let server = Fake::start(move |door| {
            let mut lior = door.accept();
            lior.send(greeting);
            if greeting == b"NICK" {
                lior.expect(b"lior\n");
                lior.send(b"[ERROR] taken\nNICK");
            }
            lior.expect_end();
        });
        let outcome =
            run(&[&server.address(), "--protocol", "nickname", "--name", "lior"], b"hi\n");
        server.done();
        outcome.is(1, b"", line);
    }
}

#[test]
fn a_relay_carries_every_byte_both_ways() {
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let expected = bytes.clone();
    let server = Fake::start(move |door| {
        let mut peer = door.accept();
        assert!(peer.rest() == expected, "something was changed or lost");
        peer.send(&expected);
    });
    let outcome = run(&[&server.address(), "--protocol", "relay"], &bytes);
    server.done();
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""));
    assert!(outcome.out == bytes, "something was changed or lost");
}

#[test]
fn one_line_in_upper_case() {
    for (input, sent, answer) in [
        ("straße\nmore\n", "straße\n", "STRASSE\n"),
        ("no line feed", "no line feed\n", "NO LINE FEED\n"),
    ] {
        let server = Fake::start(move |door| {
            let mut peer = door.accept();
            peer.expect(sent.as_bytes());
            peer.send(answer.as_bytes());
            peer.close();
        });
        let outcome = run(&[&server.address(), "--protocol", "uppercase"], input.as_bytes());
        server.done();
        outcome.is(0, answer.as_bytes(), "");
    }
    run(&["--protocol", "uppercase"], b"\n").is(1, b"", "no message");
}
