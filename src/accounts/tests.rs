//! Faults that only the inside can cause: counted work, panics, a full or read-only disk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::keeper::Keeper;
use super::password::{HashCost, Passwords};
use super::query::{Database, Query, Unavailable};
use super::*;

mod records;

const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
const PATIENCE: Duration = Duration::from_secs(20);

/// The threads of `Accounts`, one of each, with the keeper's queue in reach.
struct Rig {
    jobs: Sender<(u32, Job)>,
    queries: Sender<Query>,
    entries: Sender<Entry>,
    notices: Receiver<Notice<u32>>,
}

impl Rig {
    fn new(location: &Location, passwords: Passwords) -> Self {
        let (jobs, waiting) = unbounded();
        let (queries, asked) = unbounded();
        let (entries, noted) = unbounded();
        let (post, notices) = unbounded();
        let keeper = Keeper::new(opening::serve(location).unwrap()).unwrap();
        let tell = post.clone();
        thread::spawn(move || {
            keeper.run(&asked, &noted, |account| tell.send(Notice::Removed(account)).unwrap());
        });
        let database = Database(queries.clone());
        thread::spawn(move || {
            worker::run(&waiting, &passwords, &database, |notice| post.send(notice).unwrap());
        });
        Self { jobs, queries, entries, notices }
    }

    fn verdict(&self, job: Job) -> Verdict {
        self.jobs.send((7, job)).unwrap();
        match self.notices.recv_timeout(PATIENCE).unwrap() {
            Notice::Verdict { client: 7, verdict } => verdict,
            other => panic!("{other:?}"),
        }
    }

    /// Runs SQL on the keeper's own connection.
    fn execute(&self, sql: &'static str) {
        let run = move |keeper: &mut Keeper| {
            let store = keeper.store.as_ref().unwrap();
            store.connection.execute_batch(sql).unwrap();
        };
        self.queries.send(Query::Run(Box::new(run))).unwrap();
    }
}

fn credentials(name: &str, user_name: &str, password: &str) -> Credentials {
    Credentials {
        name: name.to_owned(),
        user_name: user_name.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    }
}

fn change(account: AccountId, current: &str, new: &str) -> PasswordChange {
    let secret = |text: &str| Zeroizing::new(text.to_owned());
    PasswordChange { account, current: secret(current), new: secret(new) }
}

fn sign_up(name: &str, user_name: &str) -> Job {
    Job::SignUp(credentials(name, user_name, "secret"))
}

fn log_in(name: &str, user_name: &str, password: &str) -> Job {
    Job::LogIn(credentials(name, user_name, password))
}

#[test]
fn every_refused_log_in_is_work() {
    let work = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&work);
    let passwords = Passwords::new(CHEAP).unwrap().before_hash(move |_, cost| {
        assert_eq!(cost, CHEAP);
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let rig = Rig::new(&Location::Memory, passwords);
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
    for job in [
        log_in("lior", "lior1", "wrong"),
        log_in("lior", "nobody", "secret"),
        log_in("dana", "lior1", "secret"),
        log_in("Lior", "lior1", "secret"),
        log_in("lior", "Lior1", "secret"),
        log_in("lior", "nobody", ""),
    ] {
        let before = work.load(Ordering::Relaxed);
        assert_eq!(rig.verdict(job.clone()), Verdict::LogInRefused, "{job:?}");
        assert_eq!(work.load(Ordering::Relaxed), before + 1, "{job:?}");
    }
    assert!(matches!(rig.verdict(log_in("lior", "lior1", "secret")), Verdict::LoggedIn(_)));
}

/// A rig with the account lior1, whose hash threads call `before` with every password.
fn rig_with_lior(
    before: impl Fn(&Sender<Query>, &str) + Send + Sync + 'static,
) -> (Rig, AccountId) {
    let queries = Arc::new(OnceLock::<Sender<Query>>::new());
    let seen = Arc::clone(&queries);
    let passwords = Passwords::new(CHEAP).unwrap().before_hash(move |password, cost| {
        assert_eq!(cost, CHEAP);
        if let Some(queries) = seen.get() {
            before(queries, password);
        }
    });
    let rig = Rig::new(&Location::Memory, passwords);
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
    let Verdict::LoggedIn(id) = rig.verdict(log_in("lior", "lior1", "secret")) else { panic!() };
    queries.set(rig.queries.clone()).unwrap();
    (rig, id)
}

#[test]
fn a_password_is_changed_by_whoever_knows_it() {
    let work = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&work);
    let (rig, id) = rig_with_lior(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    for (account, current) in [(id, "wrong"), (id, ""), (AccountId(id.0 + 1), "secret")] {
        let before = work.load(Ordering::Relaxed);
        let verdict = rig.verdict(Job::ChangePassword(change(account, current, "another")));
        assert_eq!(verdict, Verdict::PasswordRefused);
        assert_eq!(work.load(Ordering::Relaxed), before + 1, "{account:?}");
    }
    assert_eq!(rig.verdict(log_in("lior", "lior1", "another")), Verdict::LogInRefused);
    let verdict = rig.verdict(Job::ChangePassword(change(id, "secret", "another")));
    assert_eq!(verdict, Verdict::PasswordChanged);
    assert_eq!(rig.verdict(log_in("lior", "lior1", "secret")), Verdict::LogInRefused);
    assert_eq!(rig.verdict(log_in("lior", "lior1", "another")), Verdict::LoggedIn(id));
}

#[test]
fn a_password_reset_or_an_account_removed_meanwhile_wins() {
    for (meanwhile, expected) in [
        ("UPDATE account SET password_hash = 'reset'", Some("reset".to_owned())),
        ("DELETE FROM account", None),
    ] {
        // When the new one is hashed, the current one was verified.
        let (rig, id) = rig_with_lior(move |queries, password| {
            if password == "another" {
                let run = move |keeper: &mut Keeper| {
                    let store = keeper.store.as_ref().unwrap();
                    store.connection.execute_batch(meanwhile).unwrap();
                };
                queries.send(Query::Run(Box::new(run))).unwrap();
            }
        });
        let verdict = rig.verdict(Job::ChangePassword(change(id, "secret", "another")));
        assert_eq!(verdict, Verdict::PasswordRefused, "{meanwhile}");
        assert_eq!(Database(rig.queries.clone()).password_hash(id), Ok(expected));
    }
}

#[test]
fn a_password_that_cannot_be_written_is_not_changed() {
    let (rig, id) = rig_with_lior(|_, _| {});
    rig.execute("PRAGMA query_only = 1");
    let job = || Job::ChangePassword(change(id, "secret", "another"));
    assert_eq!(rig.verdict(job()), Verdict::Failed);
    assert_eq!(rig.verdict(log_in("lior", "lior1", "secret")), Verdict::LoggedIn(id));
    rig.execute("PRAGMA query_only = 0");
    assert_eq!(rig.verdict(job()), Verdict::PasswordChanged);
}

#[test]
fn a_job_that_panics_fails_alone() {
    let passwords = Passwords::new(CHEAP).unwrap();
    let passwords = passwords.before_hash(|password, _| assert_ne!(password, "panic", "planted"));
    let rig = Rig::new(&Location::Memory, passwords);
    assert_eq!(rig.verdict(log_in("lior", "lior1", "panic")), Verdict::Failed);
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
}

#[test]
fn a_keeper_that_panics_goes_on() {
    let rig = Rig::new(&Location::Memory, Passwords::new(CHEAP).unwrap());
    rig.queries.send(Query::Run(Box::new(|_| panic!("planted")))).unwrap();
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
}

#[test]
fn an_answer_that_never_comes_is_not_waited_for() {
    let (queries, asked) = bounded(1);
    let database = Database(queries);
    thread::spawn(move || drop(asked.recv()));
    assert_eq!(database.find("lior1".to_owned()).err(), Some(Unavailable));
}

#[test]
fn a_full_disk_refuses_sign_ups_until_it_has_room() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::File(directory.path().join("accounts.db"));
    let rig = Rig::new(&location, Passwords::new(CHEAP).unwrap());
    rig.execute("PRAGMA max_page_count = 1"); // SQLite raises it to what is in use
    let mut refused = 0;
    for number in 0..100 {
        let verdict = rig.verdict(sign_up(&format!("name {number}"), &format!("user{number}")));
        if verdict != Verdict::SignedUp {
            assert_eq!(verdict, Verdict::SignUpRefused(SignUpRefusal::CannotStore));
            refused += 1;
        }
    }
    assert!(refused > 0);
    assert!(matches!(rig.verdict(log_in("name 0", "user0", "secret")), Verdict::LoggedIn(_)));
    rig.execute("PRAGMA max_page_count = 1000000");
    assert_eq!(rig.verdict(sign_up("name 99", "user99")), Verdict::SignedUp);
}

#[test]
fn a_read_only_database_refuses_sign_ups_until_it_is_not() {
    // A database in memory has no second connection to try.
    let rig = Rig::new(&Location::Memory, Passwords::new(CHEAP).unwrap());
    rig.execute("PRAGMA query_only = 1");
    let refused = Verdict::SignUpRefused(SignUpRefusal::CannotStore);
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), refused);
    rig.execute("PRAGMA query_only = 0");
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
}

#[test]
fn a_connection_left_read_only_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::File(directory.path().join("accounts.db"));
    let rig = Rig::new(&location, Passwords::new(CHEAP).unwrap());
    rig.execute("PRAGMA query_only = 1");
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
}

#[test]
fn a_database_that_vanished_is_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.db");
    let rig = Rig::new(&Location::File(path.clone()), Passwords::new(CHEAP).unwrap());
    std::fs::remove_file(&path).unwrap();
    rig.execute("PRAGMA query_only = 1");
    for _ in 0..2 {
        let refused = Verdict::SignUpRefused(SignUpRefusal::CannotStore);
        assert_eq!(rig.verdict(sign_up("lior", "lior1")), refused);
    }
    assert_eq!(rig.verdict(log_in("lior", "lior1", "secret")), Verdict::Failed);
    assert!(!path.exists());
}

#[test]
fn a_full_queue_gives_the_job_back_and_dropping_does_not_wait_for_it() {
    // Hashes stand still until the gate opens.
    let (open_gate, gate) = bounded::<()>(0);
    let passwords = Passwords::new(CHEAP).unwrap().before_hash(move |_, _| {
        let _ = gate.recv();
    });
    let (post, notices) = mpsc::channel();
    let post = move |notice| post.send(notice).unwrap();
    let accounts = Accounts::start(&Location::Memory, Ok(passwords), post).unwrap();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let job = log_in("lior", "lior1", "secret");
    let taken = (0..threads + limits::ACCOUNT_JOBS_MAX + 1)
        .take_while(|&client| accounts.submit(client, job.clone()).is_ok())
        .count();
    assert!(taken >= limits::ACCOUNT_JOBS_MAX, "{taken}");
    while accounts.submit(0, job.clone()).is_ok() {
        thread::sleep(Duration::from_millis(1)); // a thread was late to take its first job
    }
    assert_eq!(accounts.submit(0, job.clone()), Err(job));

    let begun = Instant::now();
    drop(accounts);
    assert!(begun.elapsed() < limits::ACCOUNTS_STOP_WAIT + PATIENCE / 4);
    drop(open_gate);
    // Jobs at hand are finished, those that waited are not.
    assert!(notices.iter().count() < threads + 1);
}

#[test]
fn no_password_is_ever_shown() {
    let job = log_in("lior", "lior1", "canary");
    let change = Job::ChangePassword(change(AccountId(1), "canary1", "canary2"));
    let mut shown = format!("{job:?} {:#?} {:?}", credentials("l", "u", "canary"), Some(&job));
    shown += &format!("{change:?} {change:#?}");
    assert!(!shown.contains("canary"), "{shown}");
}
