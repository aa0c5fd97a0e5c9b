//! The accounts from outside: their files, their refusals, and `chinwag accounts` beside a
//! server that has the database open.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use chinwag::accounts::{
    AccountId, Accounts, Credentials, HashCost, Job, Location, Notice, OpenError, OpenErrorKind,
    SignUpRefusal, Verdict,
};
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use rusqlite::Connection;
use tempfile::TempDir;
use zeroize::Zeroizing;

const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    /// None only while dropping.
    accounts: Option<Accounts<u32>>,
    notices: Receiver<Notice<u32>>,
}

impl Server {
    fn open(path: &Path) -> Result<Self, OpenError> {
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
                accounts => {
                    return accounts.map(|accounts| Self { accounts: Some(accounts), notices });
                }
            }
        }
    }

    fn verdict(&self, job: Job) -> Verdict {
        self.accounts.as_ref().unwrap().submit(7, job).unwrap();
        match self.notices.recv_timeout(PATIENCE).unwrap() {
            Notice::Verdict { client: 7, verdict } => verdict,
            other => panic!("{other:?}"),
        }
    }

    fn sign_up(&self, name: &str, user_name: &str) -> Verdict {
        self.verdict(Job::SignUp(credentials(name, user_name, "secret")))
    }

    fn log_in(&self, name: &str, user_name: &str, password: &str) -> Verdict {
        self.verdict(Job::LogIn(credentials(name, user_name, password)))
    }

    fn id(&self, name: &str, user_name: &str) -> AccountId {
        match self.log_in(name, user_name, "secret") {
            Verdict::LoggedIn(id) => id,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accounts.take().unwrap().close();
    }
}

fn credentials(name: &str, user_name: &str, password: &str) -> Credentials {
    Credentials {
        name: name.to_owned(),
        user_name: user_name.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    }
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.db");
    (directory, path)
}

/// `chinwag accounts --data PATH ARGUMENTS`, with `input` on standard input.
fn command(path: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chinwag"))
        .arg("accounts")
        .arg("--data")
        .arg(path)
        .args(arguments)
        .env_remove("CHINWAG_PASSWORD_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line of a command that fails.
fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("chinwag: "), "{text}");
    text
}

#[test]
fn an_account_outlives_its_server() {
    let (_directory, path) = directory();
    let server = Server::open(&path).unwrap();
    assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
    let id = server.id("lior", "lior1");
    assert_eq!(server.sign_up("dana", "LIOR1"), refused(SignUpRefusal::UserNameTaken));
    assert_eq!(server.sign_up("L\u{456}or", "dana1"), refused(SignUpRefusal::NameTaken));
    // A copy of the files as they are now: what `kill -9` would leave.
    let (_elsewhere, copy) = directory();
    for suffix in ["", "-wal"] {
        fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
    }
    drop(server);
    for path in [&path, &copy] {
        let server = Server::open(path).unwrap();
        assert_eq!(server.log_in("lior", "lior1", "secret"), Verdict::LoggedIn(id));
        assert_eq!(server.log_in("lior", "lior1", "Secret"), Verdict::LogInRefused);
        assert_eq!(server.log_in("dana", "lior1", "secret"), Verdict::LogInRefused);
        assert_eq!(server.log_in("lior", "dana1", "secret"), Verdict::LogInRefused);
    }
}

#[test]
fn a_change_that_was_killed_half_way_is_undone() {
    let (_directory, path) = directory();
    let server = Server::open(&path).unwrap();
    for number in 0..50 {
        server.sign_up(&format!("name {number}"), &format!("user{number}"));
    }
    drop(server);
    // As on a file system without a write-ahead log; a small cache writes before the commit.
    let writer = Connection::open(&path).unwrap();
    writer.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(())).unwrap();
    writer.execute_batch("PRAGMA cache_size=2; BEGIN").unwrap();
    let change = "UPDATE account SET password_hash = hex(randomblob(3000))";
    writer.execute_batch(change).unwrap();
    let (_elsewhere, copy) = directory();
    for suffix in ["", "-journal"] {
        fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
    }
    drop(writer);
    let server = Server::open(&copy).unwrap();
    for number in 0..50 {
        server.id(&format!("name {number}"), &format!("user{number}"));
    }
}

fn refused(why: SignUpRefusal) -> Verdict {
    Verdict::SignUpRefused(why)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[test]
fn everything_is_its_owners_alone() {
    let (directory, _) = directory();
    let path = directory.path().join("made/for it/accounts.db");
    let server = Server::open(&path).unwrap();
    assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(&beside(&path, suffix)), 0o600, "{suffix}");
    }
    assert_eq!(mode(&directory.path().join("made")), 0o700);
    assert_eq!(mode(&directory.path().join("made/for it")), 0o700);
}

#[test]
fn an_empty_file_and_a_dangling_link_are_filled() {
    let (directory, path) = directory();
    fs::write(&path, "").unwrap();
    assert_eq!(Server::open(&path).unwrap().sign_up("lior", "lior1"), Verdict::SignedUp);
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(directory.path().join("target.db"), &link).unwrap();
    assert_eq!(Server::open(&link).unwrap().sign_up("lior", "lior1"), Verdict::SignedUp);
    assert!(directory.path().join("target.db").exists());
}

#[test]
fn one_server_at_a_time() {
    let (directory, path) = directory();
    let server = Server::open(&path).unwrap();
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let error = Server::open(path).err().unwrap();
        assert!(matches!(error.kind, OpenErrorKind::InUse), "{error}");
        assert!(error.to_string().starts_with("another chinwag serves /"), "{error}");
    }
    assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
    drop(server);
    Server::open(&link).unwrap();
}

/// Every file of the directory, the lock aside.
fn snapshot(directory: &TempDir) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_none_or(|e| e != "lock"));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Neither a server nor a command opens it, and not a byte changes.
fn assert_refused(directory: &TempDir, path: &Path, expected: fn(&OpenErrorKind) -> bool) {
    let before = snapshot(directory);
    let error = Server::open(path).err().unwrap();
    assert!(expected(&error.kind), "{error:?}");
    assert_eq!(error.to_string().lines().count(), 1);
    let complaint = complaint(&command(path, &["remove", "lior1"], ""));
    assert!(complaint.contains("left as it is"), "{complaint}");
    assert!(snapshot(directory) == before, "{:?}", snapshot(directory).keys());
}

#[test]
fn a_newer_database_is_refused_untouched() {
    let (directory, path) = directory();
    Server::open(&path).unwrap().sign_up("lior", "lior1");
    // In the mode a newer server leaves it: with a write-ahead log to be.
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_refused(&directory, &path, |kind| matches!(kind, OpenErrorKind::Newer { version: 99 }));
}

#[test]
fn a_newer_database_that_was_killed_is_refused_untouched() {
    let (directory, path) = directory();
    let (_elsewhere, source) = self::directory();
    let server = Server::open(&source).unwrap();
    Connection::open(&source).unwrap().pragma_update(None, "user_version", 99).unwrap();
    // The version stands in the log alone.
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(beside(&source, suffix), beside(&path, suffix)).unwrap();
    }
    drop(server);
    let before = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
    let error = Server::open(&path).err().unwrap();
    assert!(matches!(error.kind, OpenErrorKind::Newer { version: 99 }), "{error}");
    let after = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
    assert!(before == after);
    drop(directory);
}

#[test]
fn a_foreign_database_is_refused_untouched() {
    for mode in ["DELETE", "WAL"] {
        let (directory, path) = directory();
        let foreign = Connection::open(&path).unwrap();
        foreign.query_row(&format!("PRAGMA journal_mode={mode}"), [], |_| Ok(())).unwrap();
        foreign.execute_batch("CREATE TABLE account (x)").unwrap();
        drop(foreign);
        assert_refused(&directory, &path, |kind| matches!(kind, OpenErrorKind::Foreign));
        assert_eq!(snapshot(&directory).len(), 1);
    }
}

#[test]
fn what_is_no_database_is_refused_untouched() {
    let (directory, path) = directory();
    fs::write(&path, "dear diary, ".repeat(1_000)).unwrap();
    assert_refused(&directory, &path, |kind| matches!(kind, OpenErrorKind::NotADatabase));
    fs::write(&path, "x").unwrap();
    assert_refused(&directory, &path, |kind| matches!(kind, OpenErrorKind::NotADatabase));
    let error = Server::open(directory.path()).err().unwrap();
    assert!(matches!(error.kind, OpenErrorKind::NotAFile), "{error}");
    let error = Server::open(&path.join("below a file")).err().unwrap();
    assert!(matches!(error.kind, OpenErrorKind::Io(_)), "{error}");
}

#[test]
fn a_damaged_database_is_refused_untouched() {
    let (directory, path) = directory();
    let server = Server::open(&path).unwrap();
    for number in 0..50 {
        server.sign_up(&format!("name {number}"), &format!("user{number}"));
    }
    drop(server);
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn[4096..].fill(0x5a);
    fs::write(&path, torn).unwrap();
    assert_refused(&directory, &path, |kind| matches!(kind, OpenErrorKind::Damaged(_)));
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_refused(&directory, &path, |kind| matches!(kind, OpenErrorKind::Damaged(_)));
    fs::write(&path, whole).unwrap();
    Server::open(&path).unwrap();
}

#[test]
fn a_removed_account_is_told_within_a_second() {
    let (_directory, path) = directory();
    let server = Server::open(&path).unwrap();
    assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
    let id = server.id("lior", "lior1");
    let removed = command(&path, &["remove", "lior1"], "");
    let begun = Instant::now();
    assert_eq!(stdout(&removed), "lior1 is removed\n");
    assert_eq!(server.notices.recv_timeout(PATIENCE).unwrap(), Notice::Removed(id));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(server.log_in("lior", "lior1", "secret"), Verdict::LogInRefused);
    assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
    assert_ne!(server.id("lior", "lior1"), id);
    server.notices.recv_timeout(Duration::from_millis(600)).unwrap_err();
    drop(server);
    // What was removed before a server's time is not its concern.
    let server = Server::open(&path).unwrap();
    server.notices.recv_timeout(Duration::from_millis(600)).unwrap_err();
}

#[test]
fn a_new_password_counts_from_the_next_log_in() {
    let (directory, path) = directory();
    let server = Server::open(&path).unwrap();
    assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
    let done = command(&path, &["reset-password", "lior1"], "fromstdin\nignored\n");
    assert_eq!(stdout(&done), "lior1 has a new password\n");
    assert_eq!(server.log_in("lior", "lior1", "secret"), Verdict::LogInRefused);
    assert!(matches!(server.log_in("lior", "lior1", "fromstdin"), Verdict::LoggedIn(_)));
    let file = directory.path().join("password");
    fs::write(&file, "fromfile\r\n").unwrap();
    let file = file.to_str().unwrap();
    stdout(&command(&path, &["reset-password", "lior1", "--password-file", file], ""));
    assert!(matches!(server.log_in("lior", "lior1", "fromfile"), Verdict::LoggedIn(_)));

    for (password, why) in
        [("four", "a password has 5 to 128 characters"), ("canary:", "a password has no colon")]
    {
        let refused = command(&path, &["reset-password", "lior1"], password);
        assert_eq!(complaint(&refused), format!("chinwag: {why}\n"));
    }
    let refused = command(&path, &["reset-password", "nobody"], "fromstdin\n");
    assert!(complaint(&refused).contains("no account has the user name nobody"));
    assert!(matches!(server.log_in("lior", "lior1", "fromfile"), Verdict::LoggedIn(_)));
}

#[test]
fn accounts_are_listed_beside_their_server() {
    let (_directory, path) = directory();
    let server = Server::open(&path).unwrap();
    server.sign_up("lior", "lior1");
    server.sign_up("Zo\u{eb}", "a-long-user");
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("UPDATE account SET signed_up = 0 WHERE name = 'lior'").unwrap();
    let table = stdout(&command(&path, &["list"], ""));
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[0], "USER NAME    NAME  SIGNED UP");
    assert!(lines[1].starts_with("a-long-user  Zo\u{eb}   20"), "{table}");
    assert_eq!(lines[2], "lior1        lior  1970-01-01T00:00:00Z");
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_command_creates_nothing() {
    let (directory, path) = directory();
    assert!(complaint(&command(&path, &["list"], "")).contains("there are no accounts in /"));
    fs::write(&path, "").unwrap();
    assert!(complaint(&command(&path, &["list"], "")).contains("there are no accounts in /"));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let mut default = Command::new(env!("CARGO_BIN_EXE_chinwag"));
    default.args(["accounts", "list"]).env_remove("CHINWAG_DATA");
    let default = default.env("XDG_DATA_HOME", directory.path()).output().unwrap();
    assert!(
        complaint(&default)
            .contains(directory.path().join("chinwag/accounts.db").to_str().unwrap())
    );
    let memory = command(Path::new(":memory:"), &["list"], "");
    assert!(complaint(&memory).contains("end with their server"));
    Server::open(&path).unwrap();
    assert!(complaint(&command(&path, &["remove", "nobody"], "")).contains("nobody"));
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

#[test]
fn trouble_is_logged_once_and_passes_without_a_restart() {
    static RECORDER: Once = Once::new();
    RECORDER.call_once(|| {
        log::set_logger(&Recorder).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    let (_directory, path) = directory();
    let server = Server::open(&path).unwrap();
    assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("ALTER TABLE account RENAME TO hidden").unwrap();
    for _ in 0..3 {
        assert_eq!(server.log_in("lior", "lior1", "canary1"), Verdict::Failed);
        let job = Job::SignUp(credentials("dana", "dana1", "canary2"));
        assert_eq!(server.verdict(job), refused(SignUpRefusal::CannotStore));
    }
    foreign.execute_batch("ALTER TABLE hidden RENAME TO account").unwrap();
    assert!(matches!(server.log_in("lior", "lior1", "secret"), Verdict::LoggedIn(_)));
    assert_eq!(server.sign_up("dana", "dana1"), Verdict::SignedUp);

    foreign.execute_batch("ALTER TABLE removal RENAME TO hidden").unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    // Other tests share the log.
    let log = LOG.lock().unwrap();
    let lines = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    for what in ["read for log-ins", "written for sign-ups"] {
        assert_eq!(lines(&format!("cannot be {what}: no such table: account")), 1, "{log:#?}");
        assert_eq!(lines(&format!("can be {what} again")), 1, "{log:#?}");
    }
    let what = "watched for removed accounts";
    assert_eq!(lines(&format!("cannot be {what}: no such table: removal")), 1, "{log:#?}");
    assert_eq!(lines("canary") + lines("argon2"), 0, "{log:#?}");
}

/// Reads the terminal's output until `text` has come.
fn wait_for(output: &mut impl Read, seen: &mut String, text: &str) {
    let mut bytes = [0; 256];
    while !seen.contains(text) {
        let count = output.read(&mut bytes).unwrap();
        assert!(count > 0, "{seen}");
        seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}

/// Waits until the terminal echoes no more: the question comes just before that.
fn wait_for_silence(terminal: &dyn MasterPty) {
    const ECHO: u64 = 8; // <termios.h>
    let begun = Instant::now();
    while u64::from(terminal.get_termios().unwrap().local_flags.bits()) & ECHO != 0 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_terminal_is_asked_twice_without_echo() {
    let (_directory, path) = directory();
    let server = Server::open(&path).unwrap();
    assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
    for (second, same) in [("canary2", false), ("canary1", true)] {
        let terminal = native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_chinwag"));
        command.args(["accounts", "reset-password", "lior1", "--data"]);
        command.arg(&path);
        let mut child = terminal.slave.spawn_command(command).unwrap();
        drop(terminal.slave); // or the end of the command would not be seen
        let mut output = terminal.master.try_clone_reader().unwrap();
        let mut input = terminal.master.take_writer().unwrap();
        let mut seen = String::new();
        wait_for(&mut output, &mut seen, "New password: ");
        wait_for_silence(&*terminal.master);
        input.write_all(b"canary1\n").unwrap();
        wait_for(&mut output, &mut seen, "Once more: ");
        wait_for_silence(&*terminal.master);
        input.write_all(format!("{second}\n").as_bytes()).unwrap();
        let last = if same { "lior1 has a new password" } else { "the two passwords differ" };
        wait_for(&mut output, &mut seen, last);
        assert_eq!(child.wait().unwrap().success(), same);
        assert!(!seen.contains("canary"), "{seen}");
        let verdict = server.log_in("lior", "lior1", "canary1");
        assert_eq!(matches!(verdict, Verdict::LoggedIn(_)), same);
    }
}

#[test]
fn a_file_that_is_read_only_refuses_sign_ups_until_it_is_not() {
    let (_directory, path) = directory();
    Server::open(&path).unwrap().sign_up("lior", "lior1");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o400);
    if fs::OpenOptions::new().append(true).open(&path).is_ok() {
        eprintln!("left out: modes do not bind root");
        return;
    }
    let server = Server::open(&path).unwrap();
    server.id("lior", "lior1");
    assert_eq!(server.sign_up("dana", "dana1"), refused(SignUpRefusal::CannotStore));
    server.id("lior", "lior1");
    mode(0o600);
    assert_eq!(server.sign_up("dana", "dana1"), Verdict::SignedUp);
}

#[test]
#[ignore = "mounts a small file system, which root alone may"]
fn a_disk_that_is_full_has_room_again() {
    let (directory, path) = directory();
    let mount = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).arg(directory.path()).status();
        assert!(status.unwrap().success());
    };
    mount("mount", &["-t", "tmpfs", "-o", "size=1m", "chinwag-test"]);
    let outcome = std::panic::catch_unwind(|| {
        let server = Server::open(&path).unwrap();
        assert_eq!(server.sign_up("lior", "lior1"), Verdict::SignedUp);
        let ballast = directory.path().join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
        let mut verdicts = (0..30).map(|n| server.sign_up(&format!("n{n}"), &format!("user{n}")));
        assert!(verdicts.any(|verdict| verdict == refused(SignUpRefusal::CannotStore)));
        server.id("lior", "lior1");
        fs::remove_file(ballast).unwrap();
        drop(file);
        assert_eq!(server.sign_up("dana", "dana1"), Verdict::SignedUp);
        drop(server);
        Server::open(&path).unwrap().id("dana", "dana1");
    });
    mount("umount", &["--lazy"]);
    outcome.unwrap();
}
