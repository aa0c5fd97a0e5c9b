//! The operator's side of a real server: banner, standard input, signals, refusals, menu,
//! log.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod process_support;

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use process_support::{
    DEADLINE, PASSWORD, Peer, Room, Written, chinwag, chinwag_unprivileged, complaint, directory,
    fill, joined, left, new, run, said, skipped, wait,
};
use rustix::process::Signal;

#[test]
fn the_banner_tells_host_port_and_how_to_join() {
    let room = Room::with_accounts(0, &[]);
    let port = room.port;
    assert_ne!(port, 0, "--port 0 finds a free one and prints it");
    let banner = room.output.text();
    for part in [
        "host 127.0.0.1, port ",
        &format!("port {port}\n"),
        &format!("nc 127.0.0.1 {port}\n"),
        &format!("chinwag connect 127.0.0.1:{port}\n"),
        "[NEW]:signup:name:user_name:password",
        "shutdown",
    ] {
        assert!(banner.contains(part), "{part} in {banner}");
    }
    assert_eq!(banner.lines().last(), Some("READY"));
    // It accepts by then.
    Peer::connect(&room);
    for protocol in ["nickname", "relay", "uppercase"] {
        let room = Room::speaking(protocol, &[]);
        room.output.has(&format!("connect --protocol {protocol} 127.0.0.1:{}\n", room.port));
    }
}

#[test]
fn shutdown_on_standard_input_says_farewell_and_ends() {
    let mut room = Room::with_accounts(2, &[]);
    let mut members = room.members(2);
    let mut stranger = Peer::connect(&room);
    room.stdin.as_mut().unwrap().write_all(b"help\n").unwrap();
    room.output.has("Type shutdown to end the server.\n");
    room.stdin.as_mut().unwrap().write_all(b"\n  shutdown \r\n").unwrap();
    for member in &mut members {
        // Nobody is told of everybody else's leave.
        member.hears("exit_server");
        member.ends();
    }
    stranger.ends();
    assert_eq!(room.ends().code(), Some(0));
    let log = room.log.whole();
    assert_eq!(log.matches("[ DISCONNECTED ]").count(), 2, "{log}");
}

#[test]
fn the_end_of_standard_input_does_not_end_it() {
    let mut room = Room::with_accounts(1, &[]);
    drop(room.stdin.take());
    room.still_serves(0);
    room.still_serves(0);
    room.shut_down();
}

#[test]
fn it_runs_without_any_standard_stream() {
    let (_directory, data) = directory();
    fill(&data, 0..1, process_support::CHEAP);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = "exec \"$@\" <&- >&- 2>&-";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(env!("CARGO_BIN_EXE_chinwag"));
    command.args(["serve", "--control", "none", "--bind", "localhost", "--data"]);
    let mut child = command
        .arg(&data)
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + DEADLINE;
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "no server");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut peer = Peer::open(port, Ipv4Addr::LOCALHOST, None);
    peer.log_in(0);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    peer.hears("exit_server");
    peer.ends();
    assert_eq!(wait(&mut child, DEADLINE).code(), Some(0));
}

#[test]
fn sigterm_and_sigint_say_farewell_to_lines_and_bursts() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut room = Room::with_accounts(2, &[]);
        let mut member = room.member(0);
        let mut burst = Peer::connect(&room);
        let log_in = new("login", 1, PASSWORD) + ":<socket.socket fd=3>";
        burst.send(log_in.as_bytes());
        member.hears(&joined(1));
        room.signal(signal);
        member.hears("exit_server");
        member.ends();
        // As whole reads, if one looks in time; as bytes in any case.
        assert_eq!(burst.rest(), "Trueexit_server");
        assert_eq!(room.ends().code(), Some(0));
    }
}

/// A member with more unread than the kernel takes, so that a shutdown has to wait for it.
fn clog(room: &Room) -> Peer {
    let mut reader = Peer::connect_with_little_memory(room, 4_096);
    reader.log_in(0);
    let mut speaker = room.member(1);
    // Twice of what the kernel keeps for a connection whose reader does not read.
    let line = "x".repeat(8_000);
    for _ in 0..2_000 {
        speaker.say(&line);
    }
    speaker.say("/a command that is answered");
    speaker.hears("[ERROR] no such command; /help lists them, // at the start says a slash");
    reader
}

#[test]
fn sigterm_with_full_buffers_ends_within_three_seconds() {
    // The queue is for the drain to be stuck on, so its owner must not be closed as stalled.
    let options = ["--queue-soft", "50000000", "--queue-hard", "60000000"];
    let mut room = Room::with_accounts(2, &options);
    let _reader = clog(&room);
    let begun = Instant::now();
    room.signal(Signal::TERM);
    assert_eq!(room.ends().code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(took > Duration::from_secs(1), "{took:?}: nothing was stuck");
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let options = ["--queue-soft", "50000000", "--queue-hard", "60000000"];
    let mut room = Room::with_accounts(2, &options);
    let _reader = clog(&room);
    room.signal(Signal::INT);
    room.log.has("another ends the server at once");
    let begun = Instant::now();
    room.signal(Signal::INT);
    assert_eq!(room.ends().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// The line of a server that cannot start with these options, and its status.
#[track_caller]
fn refusal(options: &[&str], status: i32) -> String {
    complaint(&run(chinwag().args(["serve", "--data", ":memory:"]).args(options)), status)
}

#[test]
fn port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let line = refusal(&["--bind", "localhost", "--port", &port], 1);
    assert!(line.contains(&format!("port {port} of 127.0.0.1 is in use")), "{line}");
    assert!(line.contains("--port"), "what to do: {line}");
}

#[test]
fn address_not_ours_is_one_clear_line() {
    let line = refusal(&["--bind", "192.0.2.1", "--port", "0"], 1);
    assert!(line.contains("192.0.2.1 is no address of this machine"), "{line}");
    assert!(line.contains("--bind"), "what to do: {line}");
}

#[test]
fn no_permission_is_one_clear_line() {
    let floor = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if floor.is_ok_and(|floor| floor.trim().parse::<u16>().is_ok_and(|floor| floor <= 80)) {
        return skipped("anyone may listen on any port here");
    }
    let Some(mut program) = chinwag_unprivileged() else {
        return skipped("root may listen on any port, and there is no setpriv");
    };
    let options = ["serve", "--data", ":memory:", "--bind", "localhost", "--port", "80"];
    let line = complaint(&run(program.args(options)), 1);
    assert!(line.contains("no permission to listen on port 80"), "{line}");
}

#[test]
fn bad_options_and_variables_are_usage_errors() {
    for options in [
        &["--prot", "accounts"][..],
        &["--port", "70000"],
        &["--bind", "nowhere"],
        &["--max-frame", "5"],
        &["--exempt", "office"],
        &["--login-timeout", "0"],
    ] {
        let text = refusal(options, 2);
        assert!(text.contains(options[0]), "{text}");
    }
    for (name, value) in [
        ("CHINWAG_PORT", "many"),
        ("CHINWAG_BIND", "nowhere"),
        ("CHINWAG_PROTOCOL", "irc"),
        ("CHINWAG_QUEUE_SOFT", "-1"),
    ] {
        let output = run(chinwag().args(["serve", "--data", ":memory:"]).env(name, value));
        let text = complaint(&output, 2);
        assert!(text.contains(value), "{text}");
    }
    let line = refusal(&["--bind", "localhost", "--port", "0", "--queue-hard", "1000"], 2);
    assert!(line.contains("--queue-hard"), "{line}");
}

#[test]
fn variables_stand_in_for_options() {
    let mut command = chinwag();
    for (name, value) in [
        ("CHINWAG_BIND", "127.0.0.1"),
        ("CHINWAG_PORT", "0"),
        ("CHINWAG_PROTOCOL", "uppercase"),
        ("CHINWAG_MAX_FRAME", "1024"),
    ] {
        command.env(name, value);
    }
    let room = Room::run(command.arg("serve"), Path::new(":memory:"));
    let mut peer = Peer::connect(&room);
    peer.say("hello");
    peer.hears("HELLO");
    let mut peer = Peer::connect(&room);
    peer.say(&"x".repeat(1_025));
    peer.hears("[ERROR] a message has at most 1024 bytes");
}

/// Answers the menu on a terminal; what was shown, and the status.
fn menu(answers: &[(&str, &str)], last: &str) -> (String, u32) {
    let size = PtySize { rows: 24, cols: 200, pixel_width: 0, pixel_height: 0 };
    let terminal = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_chinwag"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().contains("CHINWAG")) {
        command.env_remove(name);
    }
    command.args(["serve", "--port", "0", "--data", ":memory:", "--control", "none"]);
    let mut child = terminal.slave.spawn_command(command).unwrap();
    drop(terminal.slave);
    let shown = Written::follow(terminal.master.try_clone_reader().unwrap());
    let mut keyboard = terminal.master.take_writer().unwrap();
    for (question, answer) in answers {
        shown.has(question);
        keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    shown.has(last);
    if last == "READY" {
        keyboard.write_all(b"shutdown\n").unwrap();
    }
    let status = child.wait().unwrap();
    (shown.whole(), status.exit_code())
}

#[test]
fn a_terminal_is_asked_where_to_listen() {
    let question = "1. localhost\r\n  2. Local IPv4\r\n";
    let (shown, status) = menu(&[(question, "3"), ("Type 1, 2", "1")], "READY");
    assert!(shown.contains("host 127.0.0.1, port "), "{shown}");
    assert_eq!(status, 0);
    let (shown, status) = menu(&[(question, "exit()")], "exit()\r\n");
    assert!(!shown.contains("READY"), "{shown}");
    assert_eq!(status, 0);
    let (shown, _) = menu(&[(question, "127.0.0.2")], "READY");
    assert!(shown.contains("host 127.0.0.2, port "), "{shown}");
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let mut command = chinwag();
    command.args(["serve", "--port", "0", "--data", ":memory:"]);
    let room = Room::run(&mut command, Path::new(":memory:"));
    let banner = room.output.text();
    assert!(banner.starts_with("chinwag: the room is open, host 127.0.0.1, port "), "{banner}");
}

#[test]
fn the_log_tells_who_came_went_and_signed_up_from_where() {
    let room = Room::with_accounts(1, &[]);
    let mut newcomer = Peer::connect(&room);
    let address = newcomer.stream.local_addr().unwrap();
    newcomer.say(&new("signup", 7, PASSWORD));
    newcomer.hears("Account Created");
    room.log.has(&format!("[ {address} ] - [NEW] account was created!\n"));
    let member = room.member(0);
    let address = member.stream.local_addr().unwrap();
    room.log.has(&format!("[ {address} ] - [ CONNECTED    ] - name0\n"));
    drop(member);
    room.log.has(&format!("[ {address} ] - [ DISCONNECTED ] - name0\n"));
}

/// All that is logged of one member's coming and going, and the server's end.
fn log_of(options: &[&str], variables: &[(&str, &str)]) -> String {
    let (_directory, data) = directory();
    fill(&data, 0..2, process_support::CHEAP);
    let mut command = chinwag();
    command.envs(variables.iter().copied());
    let room = Room::launch(command, &data, options);
    let mut members = room.members(2);
    members.pop();
    members[0].hears(&left(1));
    room.shut_down()
}

#[test]
fn q_v_and_rust_log_choose_what_is_logged() {
    let usual = log_of(&[], &[]);
    assert!(usual.contains("CONNECTED") && !usual.contains("DEBUG"), "{usual}");
    assert_eq!(log_of(&["-q"], &[]), "", "nothing to warn of");
    let verbose = log_of(&["-v"], &[]);
    assert!(verbose.contains("DEBUG listening on 127.0.0.1:"), "{verbose}");
    let overridden = log_of(&["-q"], &[("RUST_LOG", "debug")]);
    assert!(overridden.contains("DEBUG listening"), "{overridden}");
    let overridden = log_of(&["-vv"], &[("RUST_LOG", "error")]);
    assert_eq!(overridden, "");
    for log in [usual, verbose] {
        assert!(!log.contains('\u{1b}'), "no colour where there is no terminal: {log}");
    }
}

#[test]
fn colour_is_for_terminals_without_no_color() {
    for (no_color, coloured) in [(None, true), (Some("1"), false)] {
        let terminal = native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_chinwag"));
        command.args(["serve", "-v", "--bind", "localhost", "--port", "0", "--data", ":memory:"]);
        command.args(["--control", "none"]);
        command.env_remove("NO_COLOR");
        command.env_remove("RUST_LOG");
        command.env("TERM", "xterm");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let mut child = terminal.slave.spawn_command(command).unwrap();
        drop(terminal.slave);
        let shown = Written::follow(terminal.master.try_clone_reader().unwrap());
        shown.has("READY");
        terminal.master.take_writer().unwrap().write_all(b"shutdown\n").unwrap();
        assert_eq!(child.wait().unwrap().exit_code(), 0);
        let shown = shown.whole();
        assert!(shown.contains("listening on"), "{shown}");
        assert_eq!(shown.contains('\u{1b}'), coloured, "{shown}");
    }
}

#[test]
fn no_secret_reaches_a_log_or_another_client() {
    const CANARY: &str = "Canary-7391";
    let (directory, data) = directory();
    fill(&data, 0..1, process_support::CHEAP);
    let mut command = chinwag();
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let room = Room::launch(command, &data, &["-vv"]);
    let mut witness = room.member(0);
    let one = |room: &Room, line: &str| {
        let mut peer = Peer::connect(room);
        peer.say(line);
        // Some are told and stay, others are closed.
        peer.half_close();
        peer.ends_at_last().join("\n")
    };
    let mut answers = vec![one(&room, &new("signup", 1, CANARY))];
    assert_eq!(answers, ["Account Created"]);
    for line in [
        new("signup", 1, CANARY),
        new("signup", 0, CANARY),
        new("login", 0, CANARY),
        new("login", 9, CANARY),
        new("login", 1, CANARY) + ":socket:more",
        format!("[NEW]:signup:name2:usr:{CANARY}"),
        format!("[NEW]:signup:{CANARY}"),
        format!("[new]:login:name1:user1:{CANARY}"),
        format!("[ACTIVE]:name1:user1:{CANARY}::hello"),
        format!("[ACTIVE]:name1:user1:{CANARY}"),
        format!("{CANARY}{}", "x".repeat(20_000)),
    ] {
        answers.push(one(&room, &line));
    }
    let mut member = Peer::connect(&room);
    member.say(&new("login", 1, CANARY));
    member.hears("True");
    witness.hears(&joined(1));
    for line in [
        format!("[ACTIVE]:name1:user1:{CANARY}::hello"),
        format!("[ACTIVE]:name1:user1:{CANARY}x::not this"),
        format!("[ACTIVE]:name0:user0:{CANARY}::not this"),
        format!("[ACTIVE]:name1:user1:{CANARY}"),
        format!(" [Active]:name1:user1:{CANARY}::not this"),
        new("login", 1, CANARY),
        format!(" [NEW]:signup:name3:user3:{CANARY}"),
        format!("[ACTIVE]:name1:user1:{CANARY}::{}", "x".repeat(20_000)),
        format!("[ACTIVE]:name1:user1:{CANARY}:[ACTIVE]:name1:user1:{CANARY}::not this"),
    ] {
        member.say(&line);
    }
    member.half_close();
    answers.extend(member.ends_at_last());
    // In bursts: heads whole, in pieces, glued, and bytes that are no text.
    let mut burst = Peer::connect(&room);
    burst.send((new("login", 1, CANARY) + ":<socket.socket fd=3>").as_bytes());
    witness.hears("hello - (name1)");
    witness.hears(&left(1));
    witness.hears(&joined(1));
    let frame = format!("[ACTIVE]:name1:user1:{CANARY}:<socket.socket fd=3>:two");
    burst.send(frame.as_bytes());
    witness.hears(&said("two", 1));
    burst.send(&frame.as_bytes()[..frame.len() - 12]);
    witness.say("between");
    burst.hears_somewhere("between - (name0)");
    burst.send(&frame.as_bytes()[frame.len() - 12..]);
    witness.hears(&said("two", 1));
    burst.send(format!("{frame}{frame}").as_bytes());
    witness.hears(&said("two", 1));
    witness.hears(&said("two", 1));
    burst.send(&[frame.as_bytes(), b"\xff\xfe"].concat());
    answers.push(burst.rest());
    witness.hears(&left(1));
    // The bundled client, right and wrong.
    let file = directory.path().join("password");
    std::fs::write(&file, format!("{CANARY}\n")).unwrap();
    for name in ["name1", "name0"] {
        let mut client = chinwag();
        client.env("RUST_LOG", "trace").args(["connect", "-vv", "--name", name, "--user", "user1"]);
        client.arg("--password-file").arg(&file).arg(format!("127.0.0.1:{}", room.port));
        let output = run(&mut client);
        assert_eq!(output.status.success(), name == "name1", "{output:?}");
        answers.push(format!("{output:?}"));
    }
    let output = room.accounts(&["list"], "");
    answers.push(format!("{output:?}"));
    // The room's notices about the client, then its own farewell.
    witness.say("exit()");
    answers.extend(witness.ends_at_last());
    let stdout = room.output.text();
    let log = room.shut_down();
    assert!(log.contains("CONNECTED"), "{log}");
    for text in answers.iter().chain([&stdout, &log]) {
        assert!(!text.contains(CANARY) && !text.contains("$argon2"), "{text}");
    }
}
