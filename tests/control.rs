//! The control socket of a real server, and `chinwag admin`: who may use it, where it is,
//! what is left of it, and what no caller can do to it.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod process_support;

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use process_support::{DEADLINE, Peer, Room, chinwag, chinwag_under, complaint, run, skipped};
use rustix::process::Signal;
use tempfile::TempDir;

/// A caller that stalls is dropped after 3 s; the machine may be slow.
const STALLED: Duration = Duration::from_secs(6);

/// A machine for one test: its runtime directory and the one for temporary files.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        fs::create_dir(machine.runtime()).unwrap();
        fs::create_dir(machine.temporary()).unwrap();
        machine
    }

    fn runtime(&self) -> PathBuf {
        self.0.path().join("run")
    }

    fn temporary(&self) -> PathBuf {
        self.0.path().join("tmp")
    }

    /// `program`, on this machine.
    fn with(&self, mut program: Command) -> Command {
        program.env_remove("CHINWAG_CONTROL");
        program.env("XDG_RUNTIME_DIR", self.runtime()).env("TMPDIR", self.temporary());
        program
    }

    /// A server.
    #[track_caller]
    fn serve(&self, options: &[&str]) -> Room {
        Room::launch(self.with(chinwag()), Path::new(":memory:"), options)
    }

    /// Where the socket of a server is.
    fn socket(&self, room: &Room) -> PathBuf {
        self.runtime().join(format!("chinwag/{}.sock", room.port))
    }

    /// `chinwag admin`.
    fn admin(&self, words: &[&str]) -> Output {
        run(self.with(chinwag()).arg("admin").args(words))
    }

    /// `chinwag admin`, of this server.
    fn ask(&self, room: &Room, words: &[&str]) -> Output {
        self.admin(&[&["--port", &room.port.to_string()], words].concat())
    }

    /// The server answers.
    #[track_caller]
    fn reaches(&self, room: &Room) {
        let output = self.ask(room, &["help"]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("shutdown [DELAY]"));
    }

    /// Ends the server, which leaves nothing behind.
    #[track_caller]
    fn shut_down(&self, mut room: Room) {
        let output = self.ask(&room, &["shutdown"]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(room.ends().code(), Some(0));
        assert!(!self.socket(&room).exists());
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

/// A caller that is not `chinwag admin`.
fn caller(path: &Path) -> UnixStream {
    let caller = UnixStream::connect(path).unwrap();
    caller.set_read_timeout(Some(DEADLINE)).unwrap();
    caller.set_write_timeout(Some(DEADLINE)).unwrap();
    caller
}

/// What such a caller hears, to the end.
#[track_caller]
fn hears(mut caller: UnixStream) -> String {
    let mut answer = String::new();
    caller.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_is_its_owners_alone_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let machine = Machine::new();
        let script = format!("umask {umask}; exec \"$@\"");
        let program = machine.with(chinwag_under(&["sh", "-c", &script, "sh"]));
        // The directory is there: under the last of these nobody could enter a new one.
        let directory = machine.runtime().join("chinwag");
        if umask == "777" {
            fs::create_dir(&directory).unwrap();
            fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        }
        let room = Room::launch(program, Path::new(":memory:"), &[]);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&machine.socket(&room)), 0o600);
        let command = format!("  admin:   chinwag admin --port {} help\n", room.port);
        assert!(room.output.text().contains(&command), "{}", room.output.text());
        machine.reaches(&room);
        machine.shut_down(room);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }
}

#[test]
fn another_user_cannot_ask() {
    let user = ["setpriv", "--reuid=12345", "--clear-groups"];
    let mut works = chinwag_under(&user);
    if !works.arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skipped("only root can be another user");
    }
    let machine = Machine::new();
    fs::set_permissions(machine.0.path(), Permissions::from_mode(0o755)).unwrap();
    let path = machine.0.path().join("socket");
    let path = path.to_str().unwrap();
    let room = machine.serve(&["--control", path]);
    let mut program = machine.with(chinwag_under(&user));
    let line = complaint(&run(program.args(["admin", "--control", path, "shutdown"])), 1);
    assert!(line.contains("only who runs the server at"), "{line}");
    room.shut_down();
}

#[test]
fn every_protocol_has_it() {
    let machine = Machine::new();
    for protocol in ["accounts", "nickname", "relay", "uppercase"] {
        let room = machine.serve(&["--protocol", protocol]);
        machine.reaches(&room);
        machine.shut_down(room);
    }
}

#[test]
fn without_a_runtime_directory_it_lies_among_temporary_files() {
    let machine = Machine::new();
    let mut program = machine.with(chinwag());
    program.env_remove("XDG_RUNTIME_DIR");
    let mut room = Room::launch(program, Path::new(":memory:"), &[]);
    let user = rustix::process::geteuid().as_raw();
    let directory = machine.temporary().join(format!("chinwag-{user}"));
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join(format!("{}.sock", room.port))), 0o600);
    // Whoever asks may well have one: the server was started by the system.
    machine.reaches(&room);
    let port = room.port.to_string();
    let mut program = machine.with(chinwag());
    program.env_remove("XDG_RUNTIME_DIR").args(["admin", "--port", &port, "shutdown"]);
    assert!(run(&mut program).status.success());
    assert_eq!(room.ends().code(), Some(0));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn what_a_killed_server_left_is_taken_over() {
    let machine = Machine::new();
    let mut room = machine.serve(&[]);
    let (path, port) = (machine.socket(&room), room.port.to_string());
    room.kill();
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    let line = complaint(&machine.ask(&room, &["help"]), 1);
    assert!(line.contains("is it running? give --port or --control"), "{line}");

    let mut program = machine.with(chinwag());
    program.args(["serve", "--bind", "localhost", "--data", ":memory:", "--port", &port]);
    let room = Room::run(&mut program, Path::new(":memory:"));
    machine.reaches(&room);
    machine.shut_down(room);
}

#[test]
fn servers_on_several_ports_are_asked_one_by_one() {
    let machine = Machine::new();
    let (mut first, second) = (machine.serve(&[]), machine.serve(&["--protocol", "relay"]));
    machine.reaches(&first);
    machine.reaches(&second);
    // The usual port has none; nobody else is asked to shut down in its place.
    let line = complaint(&machine.admin(&["shutdown"]), 1);
    for port in [first.port, second.port] {
        assert!(line.contains(&format!("one answers at --port {port}")), "{line}");
    }
    machine.shut_down(second);
    assert!(first.child.try_wait().unwrap().is_none());
    let mut program = machine.with(chinwag());
    program.env("CHINWAG_PORT", first.port.to_string());
    assert!(run(program.args(["admin", "shutdown"])).status.success());
    assert_eq!(first.ends().code(), Some(0));
}

#[test]
fn a_second_server_on_the_same_socket_is_told_so() {
    let machine = Machine::new();
    let path = machine.0.path().join("my socket");
    let path = path.to_str().unwrap();
    let mut room = machine.serve(&["--control", path]);
    room.output.has(&format!("chinwag admin --control '{path}' help\n"));
    assert_eq!(mode(Path::new(path)), 0o600);
    let options = ["--bind", "localhost", "--port", "0", "--data"];
    let mut second = machine.with(chinwag());
    let data = machine.0.path().join("accounts.db");
    second.arg("serve").args(options).arg(&data).args(["--control", path]);
    let line = complaint(&run(&mut second), 1);
    assert!(line.contains(&format!("another server answers at {path}")), "{line}");
    assert!(line.contains("give another --control PATH, or none"), "{line}");
    assert!(!data.exists(), "nothing was begun");

    assert!(machine.admin(&["--control", path, "help"]).status.success());
    let mut program = machine.with(chinwag());
    program.env("CHINWAG_CONTROL", path).args(["admin", "shutdown"]);
    assert!(run(&mut program).status.success());
    assert_eq!(room.ends().code(), Some(0));
    assert!(!Path::new(path).exists());
}

/// The one line of a server that does not start with `--control PATH`.
#[track_caller]
fn refusal(machine: &Machine, path: &Path) -> String {
    let mut program = machine.with(chinwag());
    program.args(["serve", "--bind", "localhost", "--port", "0", "--data", ":memory:"]);
    let line = complaint(&run(program.arg("--control").arg(path)), 1);
    assert!(line.contains("no control socket: ") && line.contains("--control PATH"), "{line}");
    line
}

#[test]
fn an_explicit_socket_that_cannot_be_is_one_clear_line() {
    let machine = Machine::new();
    let path = machine.0.path().join("precious");
    fs::write(&path, "precious").unwrap();
    let line = refusal(&machine, &path);
    assert!(line.contains("is something else already"), "{line}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let line = refusal(&machine, &machine.0.path().join("nowhere/socket"));
    assert!(line.contains("nowhere/socket: No such file"), "{line}");
    let line = refusal(&machine, &machine.0.path().join("x".repeat(110)));
    assert!(line.contains("about 100 at the most"), "{line}");
}

/// A server serves without its usual socket and says why.
#[track_caller]
fn warns(machine: &Machine, runtime: &Path, why: &str) {
    let mut program = machine.with(chinwag());
    program.env("XDG_RUNTIME_DIR", runtime);
    let room = Room::launch(program, Path::new(":memory:"), &["--protocol", "uppercase"]);
    assert!(!room.output.text().contains("chinwag admin"), "{}", room.output.text());
    room.log.has(why);
    let mut peer = Peer::connect(&room);
    peer.say("hello");
    peer.hears("HELLO");
    let log = room.shut_down();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("give another --control PATH, or none"), "{log}");
}

#[test]
fn a_directory_that_is_not_ours_alone_is_not_used() {
    let machine = Machine::new();
    let directory = machine.runtime().join("chinwag");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o750)).unwrap();
    warns(&machine, &machine.runtime(), "is open to others (mode 750, not 700)");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    let line = complaint(&machine.admin(&["help"]), 1);
    assert!(line.contains("is open to others"), "{line}");

    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    let moved = machine.runtime().join("moved");
    fs::rename(&directory, &moved).unwrap();
    symlink(&moved, &directory).unwrap();
    warns(&machine, &machine.runtime(), "is no directory");
    assert_eq!(fs::read_dir(&moved).unwrap().count(), 0);
    if rustix::process::geteuid().is_root() {
        fs::remove_file(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&directory, Some(12_345), None).unwrap();
        warns(&machine, &machine.runtime(), "belongs to another user");
    }
}

#[test]
fn a_server_without_its_usual_socket_serves() {
    let machine = Machine::new();
    warns(&machine, &machine.0.path().join("nowhere"), "cannot make the directory");
    let long = machine.0.path().join("x".repeat(110));
    fs::create_dir(&long).unwrap();
    warns(&machine, &long, "about 100 at the most");
}

#[test]
fn none_is_none() {
    let machine = Machine::new();
    let room = machine.serve(&["--control", "none"]);
    assert!(!room.output.text().contains("chinwag admin"));
    assert_eq!(fs::read_dir(machine.runtime()).unwrap().count(), 0);
    complaint(&machine.ask(&room, &["help"]), 1);
    assert!(!room.shut_down().contains("WARN"));
}

#[test]
fn it_goes_with_every_orderly_end_and_only_if_it_is_ours() {
    let machine = Machine::new();
    let mut room = machine.serve(&[]);
    let path = machine.socket(&room);
    room.stdin.as_mut().unwrap().write_all(b"shutdown\n").unwrap();
    assert_eq!(room.ends().code(), Some(0));
    assert!(!path.exists());

    let mut room = machine.serve(&["--protocol", "relay", "--exit-when-empty"]);
    let path = machine.socket(&room);
    drop(Peer::connect(&room));
    assert_eq!(room.ends().code(), Some(0));
    assert!(!path.exists());

    let room = machine.serve(&[]);
    let path = machine.socket(&room);
    let moved = path.with_extension("moved");
    fs::rename(&path, &moved).unwrap();
    let another = UnixListener::bind(&path).unwrap();
    room.shut_down();
    assert!(path.exists() && moved.exists());
    drop(another);
}

#[test]
fn it_goes_when_the_drain_takes_too_long() {
    let machine = Machine::new();
    let options = ["--queue-soft", "50000000", "--queue-hard", "60000000"];
    let mut room = machine.serve(&[&["--protocol", "relay"][..], &options].concat());
    let path = machine.socket(&room);
    let _reader = Peer::connect_with_little_memory(&room, 4_096);
    let mut speaker = Peer::connect(&room);
    for _ in 0..200 {
        speaker.send(&[b'x'; 100_000]);
    }
    let begun = Instant::now();
    room.signal(Signal::TERM);
    assert_eq!(room.ends().code(), Some(0));
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(1), "{took:?}: nothing was stuck");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(!path.exists());
}

#[test]
fn a_caller_that_stalls_does_not_hold_it_for_long() {
    let machine = Machine::new();
    let room = machine.serve(&[]);
    let path = machine.socket(&room);
    for beginning in ["", "shut"] {
        let mut stalled = caller(&path);
        stalled.write_all(beginning.as_bytes()).unwrap();
        let begun = Instant::now();
        machine.reaches(&room);
        assert!(begun.elapsed() < STALLED, "{:?}", begun.elapsed());
        assert_eq!(hears(stalled), "error\nno command came in time\n");
    }
    // However it stalls: a byte at a time.
    let slow = caller(&path);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let mut trickle = slow.try_clone().unwrap();
        scope.spawn(move || {
            while trickle.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        machine.reaches(&room);
        assert!(begun.elapsed() < STALLED, "{:?}", begun.elapsed());
        let _ = slow.shutdown(Shutdown::Both);
    });
    // Who looks whether there is a server and goes costs no time at all.
    let begun = Instant::now();
    for _ in 0..50 {
        drop(caller(&path));
    }
    machine.reaches(&room);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    machine.shut_down(room);
}

#[test]
fn a_caller_gets_one_answer_to_one_line() {
    let machine = Machine::new();
    let mut room = machine.serve(&[]);
    let path = machine.socket(&room);
    for (said, heard) in [
        (&b"help\n"[..], "ok\nwho "),
        (b"  help \r\nshutdown\n", "ok\nwho "),
        (b"\n", "error\nno such command"),
        (b"dance\n", "error\nno such command"),
        (b"kick\n", "error\ntype kick NAME\n"),
        (b"h\xffelp\n", "error\na command is UTF-8 text\n"),
    ] {
        let mut caller = caller(&path);
        caller.write_all(said).unwrap();
        let answer = hears(caller);
        assert!(answer.starts_with(heard) && answer.ends_with('\n'), "{answer}");
    }
    // What is cut short may have been meant otherwise.
    let mut half = caller(&path);
    half.write_all(b"shutdown").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hears(half), "error\nthe line has no end\n");
    let mut silent = caller(&path);
    silent.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hears(silent), "");
    silent = caller(&path);
    silent.write_all(&b"shutdown ".repeat(10_000)).unwrap();
    silent.write_all(b"\n").unwrap();
    assert_eq!(hears(silent), "error\na command has at most 4096 bytes\n");
    assert!(room.child.try_wait().unwrap().is_none());
    machine.shut_down(room);
}

#[test]
fn the_status_tells_what_came_of_it() {
    let machine = Machine::new();
    let room = machine.serve(&[]);
    // Wrong usage needs no server.
    for (words, text) in [
        (&[][..], "shutdown [DELAY]"),
        (&["", " "], "shutdown [DELAY]"),
        (&["dance"], "no such command; type one of these:\nwho "),
        (&["kick"], "type kick NAME"),
        (&["who", "now"], "type who alone"),
        (&["who", "--help"], "type who alone"),
        (&["shutdown", "soon"], "a duration is a number with s, m, h or d"),
        (&["say", "one\ntwo"], "a command is one line"),
        (&["say", &"x".repeat(5_000)], "at most 4096 bytes"),
        (&["--control", "none", "who"], "give --control PATH"),
        (&["--control", "", "who"], "--control"),
        (&["--port", "0", "who"], "--port"),
        (&["--port", "many", "who"], "--port"),
    ] {
        let output = machine.admin(words);
        let complaint = complaint(&output, 2);
        assert!(complaint.contains(text), "{complaint}");
        assert!(output.stdout.is_empty());
    }
    let refused = machine.ask(&room, &["kick", "Nobody Of This Name"]);
    complaint(&refused, 1);
    assert!(refused.stdout.is_empty());
    let output = machine.admin(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("mute NAME [DURATION]"));
    machine.reaches(&room);
}

#[test]
fn who_is_no_server_of_ours_is_not_waited_for_without_end() {
    let machine = Machine::new();
    let path = machine.0.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let ask = || machine.admin(&["--control", path.to_str().unwrap(), "who"]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for answer in ["HTTP/1.1 400 Bad Request\r\n", ""] {
                let (mut caller, _) = listener.accept().unwrap();
                caller.read_exact(&mut [0; 4]).unwrap();
                caller.write_all(answer.as_bytes()).unwrap();
            }
        });
        let line = complaint(&ask(), 1);
        assert!(line.contains("is no chinwag"), "{line}");
        let line = complaint(&ask(), 1);
        assert!(line.contains("has ended without an answer"), "{line}");
    });
    let begun = Instant::now();
    let line = complaint(&ask(), 1);
    assert!(line.contains("does not answer"), "{line}");
    let took = begun.elapsed();
    assert!((9..15).contains(&took.as_secs()), "{took:?}");
}
