//! Plays every scenario in `tests/transcripts/` against the real server. Adding a scenario
//! is adding a file. `cargo test --test transcripts -- WORD` plays those with WORD in their
//! name.
//!
//! A scenario is one statement a line, played in order. Empty lines and lines that begin
//! with `#` are left out; a file's first line is a comment that says what it shows.
//!
//! ```text
//! serve PROTOCOL [OPTION...]    starts the server; stands first
//! account WHO                   signs WHO up: name WHO, user name WHO_user, password
//!                               WHO_password
//! WHO connects
//! WHO enters in lines|bursts    connects, and comes into the room in this framing
//! WHO sends TEXT                one write, exactly this
//! WHO hears TEXT                exactly these bytes come next, in however many reads
//! WHO reads TEXT                one recv(1024) returns exactly this
//! WHO is closed                 the connection ends, in order, without a further byte
//! WHO hears nothing for 80ms
//! WHO half-closes               will send no more, goes on listening
//! WHO resets                    the connection is cut, without a farewell
//! WHO closes                    the same with a farewell
//! wait 60ms                     silence, where the protocol says what silence means
//! operator types TEXT           a line on the server's standard input
//! operator sees TEXT            the server's standard output holds it
//! operator closes the input
//! signal TERM|INT
//! server runs                   it has not ended
//! server restarts after TERM|KILL    on the same database, with the same options
//! server ends with 0            its exit status
//! log holds TEXT                the log holds it; {WHO} is the address of WHO
//! log lacks TEXT                for after the end
//! data exists|is absent         the accounts' database
//! soon STATEMENT                see below
//! ```
//!
//! TEXT goes to the end of the line. `\n`, `\r`, `\t`, `\\`, `\xNN` are bytes (a space at
//! the end is `\x20`), `\{8192*ab}` is `ab` as often, `{NOW}` is the minute, as in
//! `2026-11-21 08:05`; a run in which it changed under way is repeated. At the end of a scenario whoever is
//! still connected must have nothing left to hear.
//!
//! The protocol has moments: what follows within 50 ms is another thing than what comes
//! later. A statement that begins with `soon` belongs to such a moment: it comes 3 ms after
//! the one before, so that the server sees both apart, and it must be done (for silence:
//! begun) within 40 ms of the last statement without `soon`: of the start of what was sent,
//! of the end of what was heard. A run in which the machine was too slow for that, or in
//! which a `soon` statement failed, does not count and is repeated, nine times at most.

#![allow(clippy::print_stdout, reason = "a test runner reports")]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Client, Outcome, Server};

/// Scenarios played at the same time.
const AT_ONCE: usize = 4;
const RUNS_MAX: usize = 10;
const SOON: Duration = Duration::from_millis(40);
const APART: Duration = Duration::from_millis(3);
/// In a TEXT: the minute.
const NOW: &str = "{NOW}";
/// How long nothing may be left to hear at the end.
const END_SILENCE: Duration = Duration::from_millis(60);

fn main() -> ExitCode {
    let options = Options::of(std::env::args().skip(1));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut cases: Vec<Case> = self_tests();
    let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    cases.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "txt")).map(Case::of));
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    if cases.len() <= self_tests().len() {
        println!("no scenarios in {}", directory.display());
        return ExitCode::FAILURE;
    }
    cases.retain(|case| options.choose(&case.name));
    if options.list {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }

    println!("\nrunning {} scenarios", cases.len());
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (outcome, runs) = case.play();
                    let again = if runs > 1 { format!(" (run {runs})") } else { String::new() };
                    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
                    println!("scenario {} ... {verdict}{again}", case.name);
                    if let (Err(why), Ok(mut failures)) = (outcome, failures.lock()) {
                        failures.push(why);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    for failure in &failures {
        println!("\n{failure}");
    }
    let passed = cases.len() - failures.len();
    println!("\nresult: {passed} passed, {} failed", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What of the options of test runners matters here.
#[derive(Default)]
struct Options {
    list: bool,
    ignored_only: bool,
    words: Vec<String>,
    skipped: Vec<String>,
}

impl Options {
    fn of(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => options.list = true,
                "--ignored" => options.ignored_only = true,
                "--skip" => options.skipped.extend(arguments.next()),
                "--test-threads" | "--color" | "--format" | "--logfile" | "-Z" => {
                    arguments.next();
                }
                option if option.starts_with('-') => {}
                _ => options.words.push(argument),
            }
        }
        options
    }

    fn choose(&self, name: &str) -> bool {
        let holds = |word: &String| name.contains(word.as_str());
        !self.ignored_only
            && (self.words.is_empty() || self.words.iter().any(holds))
            && !self.skipped.iter().any(holds)
    }
}

/// One scenario.
struct Case {
    name: String,
    place: String,
    text: Outcome<String>,
    /// Of a scenario that shows that failures are noticed: a part of what is reported.
    must_fail: Option<&'static str>,
}

impl Case {
    fn of(path: PathBuf) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let place = format!("tests/transcripts/{name}.txt");
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        Self { name, place, text, must_fail: None }
    }

    fn play(&self) -> (Outcome, usize) {
        let mut run = 1;
        loop {
            let outcome = match (self.play_once(), self.must_fail) {
                (Ok(()), None) => return (Ok(()), run),
                (Err(fault), None) => fault,
                (Err(fault), Some(part)) if fault.why.contains(part) => return (Ok(()), run),
                (_, Some(part)) => return (Err(format!("{}: no {part}", self.name)), run),
            };
            if !outcome.may_be_repeated || run == RUNS_MAX {
                let Fault { line, why, .. } = outcome;
                return (Err(format!("{}:{line}\n{why}", self.place)), run);
            }
            run += 1;
        }
    }

    fn play_once(&self) -> Result<(), Fault> {
        let fault = |line, why| Fault { line, why, may_be_repeated: false };
        let text = self.text.as_ref().map_err(|why| fault(0, why.clone()))?;
        if !text.starts_with("# ") {
            return Err(fault(1, "the first line does not say what the scenario shows".into()));
        }
        let mut stage = Stage::default();
        let mut moment = Instant::now();
        let begun_at = minute();
        for (at, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let soon = line.strip_prefix("soon ");
            if soon.is_some() {
                std::thread::sleep(APART);
            } else {
                moment = Instant::now();
            }
            let begun = moment.elapsed();
            let outcome = stage.play(soon.unwrap_or(line));
            if soon.is_none() && line.contains(" hears ") {
                moment = Instant::now();
            }
            let taken = if line.contains(" hears nothing for ") { begun } else { moment.elapsed() };
            let outcome = match outcome {
                Ok(()) if soon.is_some() && taken > SOON => Err("too slow a machine".into()),
                outcome => outcome,
            };
            outcome.map_err(|why| Fault {
                line: at + 1,
                why: format!("{line}\n{why}"),
                may_be_repeated: soon.is_some() || (line.contains(NOW) && begun_at != minute()),
            })?;
        }
        stage.end().map_err(|why| fault(text.lines().count(), why))
    }
}

struct Fault {
    line: usize,
    why: String,
    may_be_repeated: bool,
}

/// The server and the clients of one scenario.
#[derive(Default)]
struct Stage {
    protocol: String,
    options: String,
    server: Option<Server>,
    clients: HashMap<String, Client>,
    addresses: HashMap<String, String>,
}

impl Stage {
    fn play(&mut self, line: &str) -> Outcome {
        if line.ends_with(' ') {
            return Err("a space at the end is written \\x20".into());
        }
        let (subject, rest) = line.split_once(' ').ok_or("one word is no statement")?;
        let (verb, text) = rest.split_once(' ').unwrap_or((rest, ""));
        match (subject, verb) {
            ("serve", _) => {
                let options: Vec<&str> = text.split_whitespace().collect();
                self.protocol = verb.to_owned();
                self.options = text.to_owned();
                self.server = Some(Server::start(verb, &options)?);
                Ok(())
            }
            ("wait", _) => {
                std::thread::sleep(time(rest)?);
                Ok(())
            }
            ("account", _) => self.sign_up(rest),
            ("operator", "types") => self.server()?.type_in(&bytes(text)?),
            ("operator", "sees") => self.server()?.expect_output(&words(text)?),
            ("operator", "closes") => {
                self.server()?.close_input();
                Ok(())
            }
            ("signal", "TERM") => self.server()?.signal(Signal::TERM),
            ("signal", "INT") => self.server()?.signal(Signal::INT),
            ("server", "restarts") => {
                let signal = if text == "after KILL" { Signal::KILL } else { Signal::TERM };
                let (protocol, options) = (self.protocol.clone(), self.options.clone());
                let options: Vec<&str> = options.split_whitespace().collect();
                self.server()?.restart(signal, &protocol, &options)
            }
            ("server", "runs") if self.server()?.is_running() => Ok(()),
            ("server", "ends") => {
                let status = self.server()?.expect_end()?;
                let wanted = text.strip_prefix("with ").and_then(|code| code.parse().ok());
                if wanted.is_some() && status.code() == wanted {
                    Ok(())
                } else {
                    Err(format!("it ended with {status}"))
                }
            }
            ("log", "holds") => {
                let text = self.with_addresses(text)?;
                self.server()?.expect_log(&text)
            }
            ("log", "lacks") => {
                let text = self.with_addresses(text)?;
                let log = self.server()?.log();
                if log.contains(&text) { Err(format!("the log:\n{log}")) } else { Ok(()) }
            }
            ("data", "exists") if self.server()?.has_data() => Ok(()),
            ("data", "is") if text == "absent" && !self.server()?.has_data() => Ok(()),
            (who, "connects") => self.connect(who),
            (who, "enters") => self.enter(who, text),
            (who, "sends") => self.client(who)?.send(&bytes(text)?),
            (who, "hears") => match text.strip_prefix("nothing for ") {
                Some(text) => self.client(who)?.expect_silence(time(text)?),
                None => self.client(who)?.expect(&bytes(&text.replace(NOW, &minute()))?),
            },
            (who, "reads") => self.client(who)?.expect_read(&bytes(&text.replace(NOW, &minute()))?),
            (who, "is") if text == "closed" => {
                self.client(who)?.expect_closed()?;
                self.clients.remove(who);
                Ok(())
            }
            (who, "half-closes") => self.client(who)?.half_close(),
            (who, "resets") => self.clients.remove(who).ok_or("who?")?.reset(),
            (who, "closes") => self.clients.remove(who).map(drop).ok_or_else(|| "who?".into()),
            _ => Err("no such statement, or it does not hold".into()),
        }
    }

    /// Nothing is left to hear.
    fn end(&mut self) -> Outcome {
        let until = Instant::now() + END_SILENCE;
        for (who, client) in &mut self.clients {
            let left = until.saturating_duration_since(Instant::now());
            client.expect_silence(left).map_err(|why| format!("at the end, {who}\n{why}"))?;
        }
        Ok(())
    }

    fn server(&mut self) -> Outcome<&mut Server> {
        self.server.as_mut().ok_or_else(|| "no server".into())
    }

    fn client(&mut self, who: &str) -> Outcome<&mut Client> {
        self.clients.get_mut(who).ok_or_else(|| format!("{who} is not connected"))
    }

    fn connect(&mut self, who: &str) -> Outcome {
        let client = self.server()?.connect()?;
        self.addresses.insert(who.to_owned(), client.address().to_string());
        match self.clients.insert(who.to_owned(), client) {
            None => Ok(()),
            Some(_) => Err(format!("{who} is connected already")),
        }
    }

    fn sign_up(&mut self, who: &str) -> Outcome {
        let mut client = self.server()?.connect()?;
        client.send(format!("[NEW]:signup:{who}:{who}_user:{who}_password\n").as_bytes())?;
        client.expect(b"Account Created\n")?;
        client.expect_closed()
    }

    fn enter(&mut self, who: &str, framing: &str) -> Outcome {
        let end = match framing {
            "in lines" => "\n",
            "in bursts" => "",
            _ => return Err("in lines or in bursts?".into()),
        };
        self.connect(who)?;
        let accounts = self.protocol == "accounts";
        let client = self.client(who)?;
        if accounts {
            let socket = if end.is_empty() { ":<socket.socket fd=3>" } else { "" };
            let frame = format!("[NEW]:login:{who}:{who}_user:{who}_password{socket}{end}");
            client.send(frame.as_bytes())?;
            client.expect(format!("True{end}").as_bytes())
        } else {
            client.expect(b"NICK")?;
            client.send(format!("{who}{end}").as_bytes())?;
            let welcome = format!("Welcome to this chatroom!\n{who} join the chat room{end}");
            client.expect(welcome.as_bytes())
        }
    }

    fn with_addresses(&self, text: &str) -> Outcome<String> {
        let mut text = words(text)?;
        for (who, address) in &self.addresses {
            text = text.replace(&format!("{{{who}}}"), address);
        }
        Ok(text)
    }
}

/// The time as it stands in what is replayed.
fn minute() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string()
}

fn time(text: &str) -> Outcome<Duration> {
    let number = text.strip_suffix("ms").and_then(|number| number.parse().ok());
    number.map(Duration::from_millis).ok_or_else(|| "a time is written 60ms".into())
}

fn words(text: &str) -> Outcome<String> {
    String::from_utf8(bytes(text)?).map_err(|_| "not UTF-8".into())
}

/// The bytes that a TEXT stands for.
fn bytes(text: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let wrong = || format!("no such escape: \\{escape}");
        let kind = escape.chars().next().ok_or_else(wrong)?;
        rest = &escape[kind.len_utf8()..];
        match kind {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits = rest.get(..2).ok_or_else(wrong)?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
                rest = &rest[2..];
            }
            '{' => {
                let (times, unit) = rest.split_once('*').ok_or_else(wrong)?;
                let (unit, after) = unit.split_once('}').ok_or_else(wrong)?;
                let times = times.parse().map_err(|_| wrong())?;
                bytes.extend(self::bytes(unit)?.repeat(times));
                rest = after;
            }
            _ => return Err(wrong()),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Scenarios that must fail, each for its reason: so that a pass means something.
fn self_tests() -> Vec<Case> {
    let enter = "# fails\nserve nickname\nana enters in lines\n";
    let cases = [
        ("another_text", "ana sends a\\n\nana hears ana: b\\n\n", "expected: \"ana: b\\n\""),
        ("too_little", "signal TERM\nana hears exit_server\\nmore\n", ", then the end"),
        ("too_much_at_the_end", "ana sends a\\n\n", "at the end, ana"),
        ("too_much_before_the_end", "ana sends exit()\\n\nana is closed\n", "expected: the end"),
        ("not_closed", "ana sends a\\n\nana is closed\n", "expected: the end"),
        ("not_silent", "ana sends a\\n\nana hears nothing for 10000ms\n", "expected: silence"),
        ("read_in_parts", "ana sends a\\n\nana reads ana: \n", "a space at the end"),
        ("part_of_a_read", "ana sends a\\n\nana reads ana: a\n", "the end of the read"),
        ("another_status", "signal TERM\nserver ends with 1\n", "exit status: 0"),
        ("no_such_log", "signal TERM\nserver ends with 0\nlog holds nonsense\n", "nonsense"),
        ("no_such_statement", "ana dances\n", "no such statement"),
    ];
    let case = |(name, text, why): (&str, &str, &'static str)| Case {
        name: format!("must_fail_{name}"),
        place: name.to_owned(),
        text: Ok(format!("{enter}{text}")),
        must_fail: Some(why),
    };
    cases.into_iter().map(case).collect()
}
