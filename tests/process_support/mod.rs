//! A real server on real sockets: started, watched, ended. Every wait is for an event and
//! bounded.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by several files of tests; a test that cannot go on must stop"
)]

pub(crate) mod peer;
#[path = "../support/mod.rs"]
mod support;

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chinwag::accounts::{
    Accounts, Credentials, HashCost, Job, Location, Notice, SignUpRefusal, Verdict,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) use peer::{Peer, new};
use support::Captured;
pub(crate) use support::DEADLINE;

/// Of all accounts made by [`fill`].
pub(crate) const PASSWORD: &str = "secret";

/// Verified in no time.
pub(crate) const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };

/// Says that a test could not run here, past the harness, which hides what tests print.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// Whether the long versions of the tests are asked for.
pub(crate) fn long() -> bool {
    std::env::var_os("CHINWAG_TEST_LONG").is_some_and(|value| value != "0")
}

/// How often to repeat something: `usually`, or `thoroughly` when that is asked for.
pub(crate) fn rounds(usually: usize, thoroughly: usize) -> usize {
    if long() { thoroughly } else { usually }
}

/// A directory, and where the accounts are in it.
pub(crate) fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("accounts.db");
    (directory, data)
}

/// Creates the accounts `name0`, `user0` and so on.
pub(crate) fn fill(data: &Path, numbers: std::ops::Range<usize>, cost: HashCost) {
    let (post, verdicts) = mpsc::channel();
    let location = Location::File(data.to_owned());
    let accounts = Accounts::open_at_cost(&location, cost, move |notice: Notice<usize>| {
        let _ = post.send(notice);
    })
    .unwrap();
    for number in numbers {
        let job = Job::SignUp(Credentials {
            name: format!("name{number}"),
            user_name: format!("user{number}"),
            password: Zeroizing::new(PASSWORD.to_owned()),
        });
        accounts.submit(number, job).unwrap();
        let notice = verdicts.recv_timeout(DEADLINE).unwrap();
        let Notice::Verdict { verdict, .. } = notice else { panic!("{notice:?}") };
        let taken = Verdict::SignUpRefused(SignUpRefusal::UserNameTaken);
        assert!(verdict == Verdict::SignedUp || verdict == taken, "{verdict:?}");
    }
}

/// The program, without what the surroundings would tell it.
pub(crate) fn chinwag() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_chinwag")))
}

/// The program, started by `runner` (which must become it: `exec`).
pub(crate) fn chinwag_under(runner: &[&str]) -> Command {
    let mut command = Command::new(runner[0]);
    command.args(&runner[1..]).arg(env!("CARGO_BIN_EXE_chinwag"));
    clean(command)
}

fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CHINWAG_") || text == "NO_COLOR" || text == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    // Tests that want a control socket say where: it is not to lie among people's own.
    command.env("CHINWAG_CONTROL", "none");
    // Nor is everybody who comes again to hear what others said in a test before.
    command.env("CHINWAG_HISTORY", "0");
    command
}

/// The program bound by file modes and privileged ports, also where tests run as root.
pub(crate) fn chinwag_unprivileged() -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(chinwag());
    }
    // The inheritable set first: of root's capabilities nothing is left.
    let runner = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
    let works = Command::new(runner[0]).args(&runner[1..]).arg("true").output();
    works.is_ok_and(|output| output.status.success()).then(|| chinwag_under(&runner))
}

/// Runs to the end, which must come by itself.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(&mut child, DEADLINE);
    child.wait_with_output().unwrap()
}

/// The one line of a program that has failed with `status`.
#[track_caller]
pub(crate) fn complaint(output: &Output, status: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{text}");
    if status == 1 {
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("chinwag: "), "{text}");
    }
    text
}

/// Waits for the end of `child`, but not for ever.
#[track_caller]
pub(crate) fn wait(child: &mut Child, deadline: Duration) -> ExitStatus {
    let until = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a program has written so far.
#[derive(Clone)]
pub(crate) struct Written(Captured);

impl Written {
    pub(crate) fn follow(output: impl Read + Send + 'static) -> Self {
        Self(Captured::of(output))
    }

    pub(crate) fn text(&self) -> String {
        self.0.text()
    }

    /// All of it, once the program has ended.
    #[track_caller]
    pub(crate) fn whole(&self) -> String {
        self.0.wait_for_end().unwrap();
        self.text()
    }

    /// Waits until `found` finds something.
    #[track_caller]
    pub(crate) fn find<T>(&self, found: impl Fn(&str) -> Option<T>) -> T {
        self.0.find(|text, _| found(text)).unwrap()
    }

    /// Waits until `text` was written.
    #[track_caller]
    pub(crate) fn has(&self, text: &str) {
        self.0.wait_for(text).unwrap();
    }
}

/// A running server. Killed when dropped.
pub(crate) struct Room {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) output: Written,
    pub(crate) log: Written,
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
    /// Goes with the room.
    directory: Option<TempDir>,
}

impl Room {
    /// A server with `accounts` accounts and the options `more`.
    #[track_caller]
    pub(crate) fn with_accounts(accounts: usize, more: &[&str]) -> Self {
        let (directory, data) = directory();
        fill(&data, 0..accounts, CHEAP);
        let mut room = Self::at(&data, more);
        room.directory = Some(directory);
        room
    }

    /// A server on the accounts in `data`.
    #[track_caller]
    pub(crate) fn at(data: &Path, more: &[&str]) -> Self {
        Self::launch(chinwag(), data, more)
    }

    /// A server without accounts.
    #[track_caller]
    pub(crate) fn speaking(protocol: &str, more: &[&str]) -> Self {
        let mut options = vec!["--protocol", protocol];
        options.extend(more);
        Self::at(Path::new(":memory:"), &options)
    }

    /// The server that `program` is.
    #[track_caller]
    pub(crate) fn launch(mut program: Command, data: &Path, more: &[&str]) -> Self {
        program.args(["serve", "--bind", "localhost", "--port", "0", "--data"]).arg(data);
        Self::run(program.args(more), data)
    }

    /// Runs a server, options and all.
    #[track_caller]
    pub(crate) fn run(command: &mut Command, data: &Path) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Written::follow(child.stdout.take().unwrap());
        let log = Written::follow(child.stderr.take().unwrap());
        let mut room = Self {
            stdin: child.stdin.take(),
            child,
            output,
            log,
            port: 0,
            data: data.to_owned(),
            directory: None,
        };
        // A server that does not start tells why in its log.
        let port = room.output.0.find(|text, _| text.contains("READY\n").then(|| port_of(text)));
        room.port = port.ok().flatten().unwrap_or_else(|| panic!("no server: {}", room.log.text()));
        room
    }

    /// Someone in the room: the account of this number, in lines.
    #[track_caller]
    pub(crate) fn member(&self, number: usize) -> Peer {
        let mut peer = Peer::connect(self);
        peer.log_in(number);
        peer
    }

    /// The first `count` accounts, each having heard of those after it.
    #[track_caller]
    pub(crate) fn members(&self, count: usize) -> Vec<Peer> {
        let mut members: Vec<Peer> = Vec::new();
        for number in 0..count {
            let newcomer = self.member(number);
            for member in &mut members {
                member.hears(&joined(number));
            }
            members.push(newcomer);
        }
        members
    }

    /// `chinwag accounts` on the database of this server.
    pub(crate) fn accounts(&self, arguments: &[&str], input: &str) -> Output {
        accounts(&self.data, arguments, input)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> ExitStatus {
        wait(&mut self.child, DEADLINE)
    }

    /// Shuts down; returns all that it has logged.
    #[track_caller]
    pub(crate) fn shut_down(mut self) -> String {
        self.signal(Signal::TERM);
        assert_eq!(self.ends().code(), Some(0));
        self.log.whole()
    }

    /// It is there, and answers a newcomer who is the account `number`.
    #[track_caller]
    pub(crate) fn still_serves(&self, number: usize) -> Duration {
        let begun = Instant::now();
        drop(self.member(number));
        begun.elapsed()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `chinwag accounts` on `data`, with `input` on its standard input.
pub(crate) fn accounts(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = chinwag()
        .arg("accounts")
        .arg("--data")
        .arg(data)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn port_of(banner: &str) -> Option<u16> {
    let after = banner.split_once("port ")?.1;
    after.lines().next()?.trim().parse().ok()
}

pub(crate) fn joined(number: usize) -> String {
    format!("[name{number} - connected to the server!]")
}

pub(crate) fn left(number: usize) -> String {
    format!("[name{number} - disconnected from the server!]")
}

pub(crate) fn said(text: &str, number: usize) -> String {
    format!("{text} - (name{number})")
}
