//! What is kept beside the accounts, from outside: over restarts, `kill -9`, older and
//! foreign databases.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and one is a program of its own"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use chinwag::accounts::records::{
    HistoryLimits, Kept, Record, Said, Sanction, SanctionChange, SanctionKind, SanctionTarget,
    UnixSeconds,
};
use chinwag::accounts::{
    Accounts, Credentials, HashCost, Job, Location, Notice, OpenError, OpenErrorKind, Verdict,
};
use chinwag::limits;
use rusqlite::Connection;
use tempfile::TempDir;
use zeroize::Zeroizing;

const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
const PATIENCE: Duration = Duration::from_secs(20);
const NOW: UnixSeconds = 1_800_000_000;
const ALL: HistoryLimits = HistoryLimits { messages: 100_000, bytes: usize::MAX };

struct Server {
    /// None only while dropping.
    accounts: Option<Accounts<u32>>,
    notices: Receiver<Notice<u32>>,
}

impl Server {
    fn open(path: &Path) -> Self {
        let begun = Instant::now();
        loop {
            let (post, notices) = mpsc::channel();
            let post = move |notice| {
                // The test may be over.
                let _ = post.send(notice);
            };
            let location = Location::File(path.to_owned());
            match Accounts::open_at_cost(&location, CHEAP, post) {
                // A child that another test spawns holds every lock until it executes.
                Err(OpenError { kind: OpenErrorKind::InUse, .. })
                    if begun.elapsed() < Duration::from_secs(2) => {}
                accounts => return Self { accounts: Some(accounts.unwrap()), notices },
            }
        }
    }

    fn accounts(&self) -> &Accounts<u32> {
        self.accounts.as_ref().unwrap()
    }

    fn verdict(&self, job: Job) -> Verdict {
        self.accounts().submit(7, job).unwrap();
        match self.notices.recv_timeout(PATIENCE).unwrap() {
            Notice::Verdict { client: 7, verdict } => verdict,
            other => panic!("{other:?}"),
        }
    }

    fn says(&self, number: i64, forget_before: i64) {
        let said = Arc::new(message(number));
        self.accounts().record(Record::Said { said, forget_before }).unwrap();
    }

    fn change(&self, change: SanctionChange) -> bool {
        let (answer, heard) = mpsc::channel();
        let acknowledge = Box::new(move |done| answer.send(done).unwrap());
        self.accounts().record(Record::Sanction(change, acknowledge)).unwrap();
        heard.recv_timeout(PATIENCE).unwrap()
    }

    fn kept(&self) -> Kept {
        self.accounts().kept(ALL, NOW).unwrap()
    }

    fn numbers(&self, messages: usize, bytes: usize) -> Vec<i64> {
        let kept = self.accounts().kept(HistoryLimits { messages, bytes }, NOW).unwrap();
        kept.history.iter().map(|said| said.number).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accounts.take().unwrap().close();
    }
}

/// Ten bytes of text, four of name.
fn message(number: i64) -> Said {
    Said { number, at: NOW + number, name: "lior".into(), text: format!("{number:010}").into() }
}

fn name(name: &str) -> SanctionTarget {
    SanctionTarget::Name(name.to_owned())
}

fn address(text: &str) -> SanctionTarget {
    SanctionTarget::Address(text.parse::<IpAddr>().unwrap())
}

fn sanction(kind: SanctionKind, target: SanctionTarget, until: Option<i64>) -> Sanction {
    Sanction { kind, target, until }
}

fn impose(kind: SanctionKind, target: SanctionTarget, until: Option<i64>) -> SanctionChange {
    SanctionChange::Impose(sanction(kind, target, until))
}

fn credentials(name: &str, user_name: &str) -> Credentials {
    Credentials {
        name: name.to_owned(),
        user_name: user_name.to_owned(),
        password: Zeroizing::new("secret".to_owned()),
    }
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.db");
    (directory, path)
}

#[test]
fn what_was_said_outlives_its_server_in_order() {
    let (_directory, path) = directory();
    let server = Server::open(&path);
    assert_eq!(server.kept(), Kept::default());
    for number in 1..=700 {
        server.says(number, 0);
    }
    drop(server);
    let server = Server::open(&path);
    let history = server.kept().history;
    assert!(history.iter().cloned().eq((1..=700).map(message)));
    // It goes on where it was.
    server.says(701, 0);
    drop(server);
    let history = Server::open(&path).kept().history;
    assert!(history.into_iter().eq((1..=701).map(message)));
}

#[test]
fn what_was_said_is_bounded_by_count_and_by_bytes() {
    let (_directory, path) = directory();
    let server = Server::open(&path);
    for number in 1..=1_000 {
        server.says(number, number - 19);
    }
    drop(server);
    let rows = || {
        let sql = "SELECT count(*), min(number), max(number) FROM history";
        let database = Connection::open(&path).unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        database.query_row::<(i64, Option<i64>, Option<i64>), _, _>(sql, [], row).unwrap()
    };
    assert_eq!(rows(), (20, Some(981), Some(1_000)));
    // By what the next server asks for.
    assert_eq!(Server::open(&path).numbers(10, 1_000), (991..=1_000).collect::<Vec<_>>());
    assert_eq!(rows(), (10, Some(991), Some(1_000)));
    assert_eq!(Server::open(&path).numbers(10, 5 * 14), (996..=1_000).collect::<Vec<_>>());
    assert_eq!(Server::open(&path).numbers(10, 5 * 14 - 1), (997..=1_000).collect::<Vec<_>>());
    assert_eq!(rows(), (4, Some(997), Some(1_000)));
    assert_eq!(Server::open(&path).numbers(0, 1_000), []);
    assert_eq!(rows(), (0, None, None));
}

#[test]
fn sanctions_outlive_their_server_until_they_are_over() {
    use SanctionKind::{Ban, Mute};
    let (_directory, path) = directory();
    let server = Server::open(&path);
    for change in [
        impose(Ban, name("Ana"), None),
        impose(Mute, name("Ana"), Some(NOW + 1)),
        impose(Ban, name("over"), Some(NOW)),
        impose(Ban, address("10.0.0.1"), Some(NOW + 100)),
        impose(Ban, address("2001:db8::"), None),
        // What looks like an address may be a name.
        impose(Mute, name("10.0.0.1"), None),
        impose(Mute, name("Zo\u{eb}"), Some(NOW + 5)),
        // Replaced: another end, another spelling.
        impose(Mute, name("ZO\u{cb}"), None),
        impose(Ban, name("STRASSE"), None),
        impose(Ban, name("dana"), None),
        SanctionChange::Lift(Ban, name("stra\u{df}e")),
        SanctionChange::Lift(Mute, name("dana")),
        SanctionChange::Lift(Ban, name("nobody")),
        SanctionChange::Lift(Mute, address("10.0.0.1")),
    ] {
        assert!(server.change(change.clone()), "{change:?}");
    }
    drop(server);
    let expected = [
        sanction(Ban, address("10.0.0.1"), Some(NOW + 100)),
        sanction(Ban, address("2001:db8::"), None),
        sanction(Ban, name("Ana"), None),
        sanction(Ban, name("dana"), None),
        sanction(Mute, name("10.0.0.1"), None),
        sanction(Mute, name("Ana"), Some(NOW + 1)),
        sanction(Mute, name("ZO\u{cb}"), None),
    ];
    assert_eq!(Server::open(&path).kept().sanctions, expected);
    let server = Server::open(&path);
    let later = server.accounts().kept(ALL, NOW + 100).unwrap().sanctions;
    assert_eq!(later, [&expected[1..5], &expected[6..]].concat());
    assert!(server.change(SanctionChange::Lift(Ban, name("aNA"))));
    assert!(server.change(SanctionChange::Lift(Ban, address("2001:db8::"))));
    drop(server);
    // What is over is gone for good, whatever the clock says later.
    assert_eq!(Server::open(&path).kept().sanctions, [&expected[3..5], &expected[6..]].concat());
}

#[test]
fn rows_of_a_foreign_hand_are_cleaned_or_left_out() {
    let (_directory, path) = directory();
    let server = Server::open(&path);
    server.says(5, 0);
    server.says(6, 0);
    assert!(server.change(impose(SanctionKind::Ban, name("ana"), None)));
    drop(server);
    let foreign = Connection::open(&path).unwrap();
    foreign
        .execute_batch(
            "INSERT INTO history VALUES (-1, 0, 'lior', 'no number');
             INSERT INTO history VALUES (1, 0, 'lior', CAST(x'ff' AS TEXT));
             INSERT INTO history VALUES (2, 0, char(27) || '[2J', 'no name');
             INSERT INTO history VALUES (3, 0, 'lior', printf('%.*c', 1000000, 'x'));
             INSERT INTO history VALUES (4, 7, 'li' || char(27) || '[31mor', 'a' || char(7) || 'b');
             INSERT INTO history VALUES (9223372036854775807, 0, 'lior', 'the last of all');
             INSERT INTO sanction VALUES ('ban', 'name', 'lior', 'dana', NULL);
             INSERT INTO sanction VALUES ('ban', 'address', 'here', 'here', NULL);
             INSERT INTO sanction VALUES ('ban', 'dog', 'rex', 'rex', NULL);
             INSERT INTO sanction VALUES ('hug', 'name', 'ana', 'ana', NULL);
             INSERT INTO sanction VALUES ('mute', 'name', '', char(7), NULL);",
        )
        .unwrap();
    let server = Server::open(&path);
    let kept = server.kept();
    let clean = Said { number: 4, at: 7, name: "lior".into(), text: "ab".into() };
    assert_eq!(kept.history, [clean, message(5), message(6)]);
    assert_eq!(kept.sanctions, [sanction(SanctionKind::Ban, name("ana"), None)]);
    let sql = "SELECT group_concat(number) FROM history";
    let left: String = foreign.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(left, "4,5,6");
    // A number that is there already stands in nobody's way.
    foreign.execute("INSERT INTO history VALUES (7, 0, 'lior', 'foreign')", []).unwrap();
    server.says(7, 0);
    drop(server);
    assert_eq!(Server::open(&path).kept().history[3], message(7));
}

#[test]
fn a_database_that_cannot_be_read_is_told_in_one_line() {
    let (_directory, path) = directory();
    let server = Server::open(&path);
    Connection::open(&path).unwrap().execute_batch("DROP TABLE history").unwrap();
    let error = server.accounts().kept(ALL, NOW).unwrap_err().to_string();
    assert!(error.contains("no such table: history") && error.contains("accounts.db"), "{error}");
    assert_eq!(error.lines().count(), 1);
}

/// The tables as version 1 made them.
const VERSION_1: &str = "
    CREATE TABLE account (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_name TEXT NOT NULL UNIQUE,
        user_name_folded TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        name_folded TEXT NOT NULL UNIQUE,
        name_skeleton TEXT NOT NULL UNIQUE,
        password_hash TEXT NOT NULL,
        signed_up INTEGER NOT NULL DEFAULT (unixepoch())
    ) STRICT;
    CREATE TABLE removal (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        account INTEGER NOT NULL
    ) STRICT;
    CREATE TRIGGER account_removed AFTER DELETE ON account BEGIN
        INSERT INTO removal (account) VALUES (OLD.id);
    END;
    PRAGMA application_id = 0x6368776e;
    PRAGMA user_version = 1;
";

#[test]
fn a_database_of_version_1_is_brought_up_to_date_with_everything_in_it() {
    for mode in ["WAL", "DELETE"] {
        let (_elsewhere, source) = directory();
        let server = Server::open(&source);
        for (name, user_name) in [("lior", "lior1"), ("removed", "removed1")] {
            let job = Job::SignUp(credentials(name, user_name));
            assert_eq!(server.verdict(job), Verdict::SignedUp);
        }
        let log_in = || Job::LogIn(credentials("lior", "lior1"));
        let Verdict::LoggedIn(id) = server.verdict(log_in()) else { panic!() };
        drop(server);

        let (_directory, path) = directory();
        let old = Connection::open(&path).unwrap();
        old.query_row(&format!("PRAGMA journal_mode={mode}"), [], |_| Ok(())).unwrap();
        old.execute_batch(VERSION_1).unwrap();
        old.execute("ATTACH ?1 AS source", [source.to_str().unwrap()]).unwrap();
        old.execute_batch(
            "INSERT INTO account SELECT * FROM source.account; DETACH source;
             DELETE FROM account WHERE name = 'removed'",
        )
        .unwrap();
        drop(old);

        let version = || fs::read(&path).unwrap()[60..64].to_owned();
        assert_eq!(version(), [0, 0, 0, 1]);
        let server = Server::open(&path);
        assert_eq!(version(), [0, 0, 0, 2], "also for who reads the header without SQLite");
        assert_eq!(server.kept(), Kept::default());
        assert_eq!(server.verdict(log_in()), Verdict::LoggedIn(id));
        let taken = server.verdict(Job::SignUp(credentials("LIOR", "other")));
        assert!(matches!(taken, Verdict::SignUpRefused(_)), "{taken:?}");
        assert_eq!(server.verdict(Job::SignUp(credentials("new", "new1"))), Verdict::SignedUp);
        server.says(1, 0);
        assert!(server.change(impose(SanctionKind::Ban, name("ana"), None)));
        drop(server);
        let sql = "SELECT (SELECT group_concat(id) FROM (SELECT id FROM account ORDER BY id)), (SELECT count(*) FROM removal)";
        let found = Connection::open(&path)
            .unwrap()
            .query_row(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
        assert_eq!(found.unwrap(), ("1,3".to_owned(), 1), "no key is used again");
        let kept = Server::open(&path).kept();
        assert_eq!((kept.history.len(), kept.sanctions.len()), (1, 1));
    }
}

/// Everything logged in this process.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Recorder;

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOG.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

/// How many lines logged in this process hold `text`.
fn logged(text: &str) -> usize {
    LOG.lock().unwrap().iter().filter(|line| line.contains(text)).count()
}

#[track_caller]
fn wait_until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{:#?}", LOG.lock().unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn trouble_with_records_is_told_once_and_costs_nothing_else() {
    static RECORDER: Once = Once::new();
    RECORDER.call_once(|| {
        log::set_logger(&Recorder).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    let (_directory, path) = directory();
    let server = Server::open(&path);
    assert_eq!(server.verdict(Job::SignUp(credentials("lior", "lior1"))), Verdict::SignedUp);
    let foreign = Connection::open(&path).unwrap();
    foreign
        .execute_batch(
            "ALTER TABLE history RENAME TO hidden; ALTER TABLE sanction RENAME TO hidden2",
        )
        .unwrap();
    let broken = "cannot be written for history: no such table: history";
    let mut number = 0;
    for _ in 0..3 {
        for _ in 0..limits::RECORDS_BATCH {
            number += 1;
            server.says(number, 0);
        }
        assert!(!server.change(impose(SanctionKind::Ban, name("ana"), None)));
        wait_until(|| logged(broken) > 0);
    }
    assert_eq!(server.verdict(Job::SignUp(credentials("dana", "dana1"))), Verdict::SignedUp);
    let log_in = server.verdict(Job::LogIn(credentials("lior", "lior1")));
    assert!(matches!(log_in, Verdict::LoggedIn(_)));
    std::thread::sleep(2 * limits::RECORDS_WAIT);

    foreign
        .execute_batch(
            "ALTER TABLE hidden RENAME TO history; ALTER TABLE hidden2 RENAME TO sanction",
        )
        .unwrap();
    assert!(server.change(impose(SanctionKind::Ban, name("ana"), None)));
    server.says(number + 1, 0);
    let lost = format!("lacks {number} messages");
    wait_until(|| logged(&lost) > 0);
    drop(server);
    for (text, times) in [
        (broken, 1),
        ("can be written for history again", 1),
        ("cannot be written for bans and mutes", 1),
        ("can be written for bans and mutes again", 1),
        (&lost, 1),
    ] {
        assert_eq!(logged(text), times, "{text}: {:#?}", LOG.lock().unwrap());
    }
    assert_eq!(Server::open(&path).kept().history, [message(number + 1)]);
}

const DATA: &str = "CHINWAG_TEST_RECORDS";

/// Not a test: the process that the tests below end. Says what it has handed over (`said`)
/// and what was acknowledged (`banned`).
#[test]
#[ignore = "run by other tests"]
fn a_process_that_records() {
    let Some(path) = std::env::var_os(DATA) else { return };
    println!(); // ends the line that the harness has begun
    let accounts = Accounts::<u32>::open(&Location::File(path.into()), |_| {}).unwrap();
    let first = accounts.kept(ALL, NOW).unwrap().history.last().map_or(1, |said| said.number + 1);
    let count =
        std::env::var("CHINWAG_TEST_COUNT").map_or(i64::MAX, |count| count.parse().unwrap());
    for number in first..first.saturating_add(count) {
        let said = Arc::new(message(number));
        hand_over(&accounts, Record::Said { said, forget_before: number - 4_999 });
        println!("said {number}");
        if number % 40 == 0 {
            let change = impose(SanctionKind::Ban, name(&format!("name {number}")), None);
            let acknowledge = Box::new(move |done: bool| {
                assert!(done);
                println!("banned {number}");
            });
            hand_over(&accounts, Record::Sanction(change, acknowledge));
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    // As a server ends: it waits no longer than it may.
    drop(accounts);
}

/// Waits for a slow disk: what is skipped would look like a hole.
fn hand_over(accounts: &Accounts<u32>, mut record: Record) {
    while let Err(refused) = accounts.record(record) {
        record = refused;
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn recorder(path: &Path, count: Option<i64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_process_that_records", "--ignored", "--nocapture"]);
    command.env(DATA, path).stdout(Stdio::piped());
    if let Some(count) = count {
        command.env("CHINWAG_TEST_COUNT", count.to_string());
    }
    command.spawn().unwrap()
}

/// The numbers behind `word` in `lines`.
fn told(lines: &[String], word: &str) -> Vec<i64> {
    let numbers = lines.iter().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    numbers.collect()
}

#[test]
fn kill_9_costs_the_last_messages_and_no_sanction() {
    let (_directory, path) = directory();
    let mut banned = Vec::new();
    for round in 0..4_u64 {
        let mut child = recorder(&path, None);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        let begun = Instant::now();
        // Each round ends at another point between two batches.
        let enough = Duration::from_millis(700 + 70 * round);
        let mut read = |lines: &mut Vec<String>| {
            let mut line = String::new();
            let more = output.read_line(&mut line).unwrap() > 0;
            lines.push(line);
            more
        };
        while begun.elapsed() < enough || told(&lines, "banned").is_empty() {
            assert!(begun.elapsed() < PATIENCE && read(&mut lines), "{lines:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while read(&mut lines) {}
        let said = told(&lines, "said");
        banned.extend(told(&lines, "banned"));

        let kept = Server::open(&path).kept();
        let numbers: Vec<_> = kept.history.iter().map(|said| said.number).collect();
        assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "a hole: {numbers:?}");
        assert!(kept.history.iter().all(|said| *said == message(said.number)), "torn");
        let (first, last) = (said[0], *said.last().unwrap());
        let there = *numbers.last().unwrap();
        assert!(there <= last + 1, "{there} was never said");
        assert!(there > first, "nothing was written in {enough:?}: {first}, {there}, {last}");
        for number in &banned {
            let expected = sanction(SanctionKind::Ban, name(&format!("name {number}")), None);
            assert!(kept.sanctions.contains(&expected), "lost: {expected:?}");
        }
    }
}

#[test]
fn an_orderly_end_costs_nothing() {
    let (_directory, path) = directory();
    for round in 1..=3 {
        let mut child = recorder(&path, Some(300));
        std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
        assert!(child.wait().unwrap().success());
        let history = Server::open(&path).kept().history;
        assert!(history.into_iter().eq((1..=300 * round).map(message)), "round {round}");
    }
}
