//! The clients of the source documents, played from their description in the wire
//! protocol: unterminated `send`, one `recv(1024)`, whole reads compared.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Captured, Client, DEADLINE, Server};

const SOCKET: &str = "<socket.socket fd=3, family=2, type=1, proto=0, \
                      laddr=('127.0.0.1', 54321), raddr=('127.0.0.1', 23791)>";

/// What separates two messages of people: longer than the 50 ms within which the server
/// takes them for one.
const HUMAN_PAUSE: Duration = Duration::from_millis(70);

/// One `send(text.encode())`.
fn send(client: &mut Client, text: &str) {
    client.send(text.as_bytes()).unwrap();
}

/// One `recv(1024).decode()`.
fn recv(client: &mut Client) -> String {
    String::from_utf8(client.recv().unwrap()).unwrap()
}

fn new(what: &str, who: &str, password: &str) -> String {
    format!("[NEW]:{what}:{who}:{who}_user:{password}:{SOCKET}")
}

fn active(who: &str, text: &str) -> String {
    format!("[ACTIVE]:{who}:{who}_user:{who}_password:{SOCKET}:{text}")
}

/// Connects, asks, and returns the one read that answers.
fn ask(server: &Server, frame: &str) -> (Client, String) {
    let mut client = server.connect().unwrap();
    send(&mut client, frame);
    let answer = recv(&mut client);
    (client, answer)
}

fn sign_up(server: &Server, who: &str) {
    let (mut client, answer) = ask(server, &new("signup", who, &format!("{who}_password")));
    assert_eq!(answer, "Account Created");
    assert_eq!(recv(&mut client), "", "closed");
}

fn log_in(server: &Server, who: &str) -> Client {
    let (client, answer) = ask(server, &new("login", who, &format!("{who}_password")));
    assert_eq!(answer, "True");
    client
}

#[test]
fn accounts_from_the_probe_to_exit_server() {
    let mut server = Server::start("accounts", &[]).unwrap();
    assert_eq!(ask(&server, ":REMOVE:").1, "", "the probe hears nothing");
    sign_up(&server, "lior");
    sign_up(&server, "dana");
    // Any byte would be taken for success.
    assert_eq!(ask(&server, &new("signup", "lior", "other_password")).1, "");
    assert_eq!(ask(&server, &new("signup", "x", "abcd")).1, "");
    let (mut refused, answer) = ask(&server, &new("login", "lior", "wrong_password"));
    assert_eq!(answer, "False");
    assert_eq!(recv(&mut refused), "");

    let mut lior = log_in(&server, "lior");
    let mut dana = log_in(&server, "dana");
    assert_eq!(recv(&mut lior), "[dana - connected to the server!]");
    assert_eq!(ask(&server, &new("login", "dana", "dana_password")).1, "False", "in use");
    for round in 0..5 {
        std::thread::sleep(HUMAN_PAUSE);
        send(&mut lior, &active("lior", &format!("question {round}: what?")));
        assert_eq!(recv(&mut dana), format!("question {round}: what? - (lior)"));
        send(&mut dana, &active("dana", &format!("answer {round}")));
        assert_eq!(recv(&mut lior), format!("answer {round} - (dana)"));
    }
    std::thread::sleep(HUMAN_PAUSE);
    send(&mut dana, &active("dana", "exit()"));
    assert_eq!(recv(&mut dana), "", "closed");
    assert_eq!(recv(&mut lior), "[dana - disconnected from the server!]");
    std::thread::sleep(HUMAN_PAUSE);
    let mut dana = log_in(&server, "dana");
    assert_eq!(recv(&mut lior), "[dana - connected to the server!]");
    server.type_in(b"shutdown\n").unwrap();
    for client in [&mut lior, &mut dana] {
        assert_eq!(recv(client), "exit_server");
        assert_eq!(recv(client), "");
    }
    assert!(server.expect_end().unwrap().success());
}

#[test]
fn accounts_messages_without_a_pause_are_parted() {
    let server = Server::start("accounts", &[]).unwrap();
    sign_up(&server, "lior");
    sign_up(&server, "dana");
    let mut lior = log_in(&server, "lior");
    let mut dana = log_in(&server, "dana");
    assert_eq!(recv(&mut lior), "[dana - connected to the server!]");
    const COUNT: usize = 200;
    for number in 0..COUNT {
        send(&mut dana, &active("dana", &format!("message {number}")));
    }
    // However the reads fall, what they hold together is every message, parted.
    let expected: Vec<String> = (0..COUNT).map(|n| format!("message {n} - (dana)")).collect();
    let (mut heard, until) = (String::new(), Instant::now() + DEADLINE);
    while heard.trim_start_matches('\n').len() < expected.join("\n").len() {
        assert!(Instant::now() < until, "heard {heard:?}");
        heard.push_str(&recv(&mut lior));
    }
    let heard: Vec<&str> = heard.split('\n').filter(|message| !message.is_empty()).collect();
    // A pause of 50 ms between two writes is possible, and leaves them without a line feed.
    assert_eq!(heard.concat(), expected.concat());
    assert!(heard.len() > COUNT * 9 / 10, "{} of {COUNT} were parted", heard.len());
}

/// The client of the chat rooms: a read that is `NICK` is answered, any other is shown.
fn enter(server: &Server, nickname: &str) -> Client {
    let mut client = server.connect().unwrap();
    assert_eq!(recv(&mut client), "NICK");
    send(&mut client, nickname);
    client
}

#[test]
fn nickname_client() {
    let mut server = Server::start("nickname", &[]).unwrap();
    let mut ana = enter(&server, "ana");
    assert_eq!(recv(&mut ana), "Welcome to this chatroom!\nana join the chat room");
    std::thread::sleep(HUMAN_PAUSE);
    // The variant that sends `nickname: `.
    let mut bob = enter(&server, "bob: ");
    assert_eq!(recv(&mut bob), "Welcome to this chatroom!\nbob join the chat room");
    assert_eq!(recv(&mut ana), "bob join the chat room");
    for round in 0..3 {
        for who in ["ana", "bob"] {
            std::thread::sleep(HUMAN_PAUSE);
            let text = format!("{who}: message {round}");
            send(if who == "ana" { &mut ana } else { &mut bob }, &text);
            assert_eq!(recv(&mut ana), text);
            assert_eq!(recv(&mut bob), text);
        }
    }
    // It would answer every NICK with the same name, so it is sent none.
    let mut second = enter(&server, "ana");
    let refusal = recv(&mut second);
    assert!(refusal.starts_with("[ERROR] ") && !refusal.contains("NICK"), "{refusal}");
    assert_eq!(recv(&mut second), "");
    std::thread::sleep(HUMAN_PAUSE);
    drop(bob);
    assert_eq!(recv(&mut ana), "bob Left chat room");
    server.type_in(b"shutdown\n").unwrap();
    assert_eq!(recv(&mut ana), "exit_server");
    assert_eq!(recv(&mut ana), "");
    assert!(server.expect_end().unwrap().success());
}

#[test]
fn relay_client() {
    let mut server = Server::start("relay", &["--exit-when-empty"]).unwrap();
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect().unwrap()).collect();
    for from in 0..3 {
        let text = format!("hello from {from}");
        send(&mut clients[from], &text);
        for (to, client) in clients.iter_mut().enumerate() {
            if to != from {
                assert_eq!(recv(client), text);
            }
        }
    }
    drop(clients);
    assert!(server.expect_end().unwrap().success());
}

#[test]
fn uppercase_client() {
    let server = Server::start("uppercase", &[]).unwrap();
    for (said, heard) in [("hello", "HELLO"), ("a: b, c", "A: B, C"), ("straße", "STRASSE")] {
        let (mut client, answer) = ask(&server, said);
        assert_eq!(answer, heard);
        assert_eq!(recv(&mut client), "");
    }
}

/// The same in the language of the source documents.
#[test]
fn python_clients() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: python_clients, there is no python3 here");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference_clients.py");
    for protocol in ["accounts", "nickname", "relay", "uppercase"] {
        let mut server = Server::start(protocol, &[]).unwrap();
        let mut python = Command::new("python3")
            .args([script, protocol, &server.port().to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Captured::of(python.stdout.take().unwrap());
        let errors = Captured::of(python.stderr.take().unwrap());
        let outcome = output.wait_for("now shut down\n");
        if outcome.is_ok() {
            server.type_in(b"shutdown\n").unwrap();
        } else {
            // It may still wait.
            let _ = python.kill();
        }
        let status = python.wait().unwrap();
        errors.wait_for_end().unwrap();
        assert!(status.success() && outcome.is_ok(), "{protocol}: {outcome:?}\n{}", errors.text());
        assert!(server.expect_end().unwrap().success());
    }
}
