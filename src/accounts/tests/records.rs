//! What is kept beside the accounts, under faults that only the inside can cause.

use super::super::records::{
    Said, Sanction, SanctionChange, SanctionKind, SanctionTarget, UnixSeconds,
};
use super::*;

const NOW: UnixSeconds = 1_000;
const ALL: HistoryLimits = HistoryLimits { messages: 100_000, bytes: usize::MAX };

fn said(number: i64) -> Record {
    let text = format!("message {number}").into();
    let said = Arc::new(Said { number, at: NOW, name: "lior".into(), text });
    Record::Said { said, forget_before: 0 }
}

fn ban(name: &str, answers: &Sender<bool>) -> Record {
    let target = SanctionTarget::Name(name.to_owned());
    let sanction = Sanction { kind: SanctionKind::Ban, target, until: None };
    let answers = answers.clone();
    Record::Sanction(
        SanctionChange::Impose(sanction),
        Box::new(move |done| answers.send(done).unwrap()),
    )
}

impl Rig {
    fn record(&self, record: Record) {
        self.entries.send(record.into()).unwrap();
    }

    /// How many messages are written by now.
    fn written(&self) -> i64 {
        let (reply, answer) = bounded(1);
        let count = move |keeper: &mut Keeper| {
            let connection = &keeper.store.as_ref().unwrap().connection;
            let count = connection.query_row("SELECT count(*) FROM history", [], |row| row.get(0));
            reply.send(count.unwrap()).unwrap();
        };
        self.queries.send(Query::Run(Box::new(count))).unwrap();
        answer.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits for this many, by way of these only.
    #[track_caller]
    fn is_written(&self, count: i64, between: &[i64]) {
        let begun = Instant::now();
        loop {
            match self.written() {
                found if found == count => return,
                found => assert!(between.contains(&found), "{found} of {count}"),
            }
            assert!(begun.elapsed() < PATIENCE);
        }
    }

    fn kept(&self) -> Kept {
        Database(self.queries.clone()).kept(ALL, NOW).unwrap().unwrap()
    }
}

/// The keeper stands still until what is returned is dropped.
fn stand_still(queries: &Sender<Query>) -> Sender<()> {
    let (open_gate, gate) = bounded(0);
    let (reached, at_gate) = bounded::<()>(0);
    let wait = move |_: &mut Keeper| {
        drop(reached);
        let _: Result<(), _> = gate.recv();
    };
    queries.send(Query::Run(Box::new(wait))).unwrap();
    at_gate.recv().unwrap_err();
    open_gate
}

fn rig() -> Rig {
    Rig::new(&Location::Memory, Passwords::new(CHEAP).unwrap())
}

#[test]
fn messages_are_written_together() {
    let rig = rig();
    let gate = stand_still(&rig.queries);
    for number in 1..=3 {
        rig.record(said(number));
    }
    drop(gate);
    rig.is_written(3, &[0]);
    let batch = limits::RECORDS_BATCH as i64;
    // At hand at once, else the time could be up before they are enough.
    let gate = stand_still(&rig.queries);
    for number in 4..=3 + batch + 1 {
        rig.record(said(number));
    }
    drop(gate);
    rig.is_written(3 + batch + 1, &[3, 3 + batch]);
    let numbers: Vec<_> = rig.kept().history.iter().map(|said| said.number).collect();
    assert!(numbers.iter().copied().eq(1..=3 + batch + 1), "{numbers:?}");
}

#[test]
fn a_sanction_does_not_wait_for_messages_nor_they_for_it() {
    let (rig, (answers, heard)) = (rig(), unbounded());
    let begun = Instant::now();
    rig.record(said(1));
    for n in 0..50 {
        rig.record(ban(&format!("name {n}"), &answers));
        rig.record(said(n + 2));
    }
    for _ in 0..50 {
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(true));
    }
    assert!(begun.elapsed() < 50 * limits::RECORDS_WAIT / 2, "{:?}", begun.elapsed());
    rig.is_written(51, &(0..51).collect::<Vec<_>>());
    assert_eq!(rig.kept().sanctions.len(), 50);
}

#[test]
fn questions_are_answered_and_removals_told_while_records_never_cease() {
    let (rig, (answers, heard)) = (rig(), unbounded());
    let entries = rig.entries.clone();
    let (stop, stopped) = bounded::<()>(0);
    let flood = thread::spawn(move || {
        let mut number = 0;
        while stopped.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {
            number += 1;
            // A bounded queue, as the real one.
            if entries.len() < limits::RECORDS_MAX {
                let record = if number % 2 == 0 { said(number) } else { ban("ana", &answers) };
                entries.send(record.into()).unwrap();
            }
        }
    });
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
    let Verdict::LoggedIn(id) = rig.verdict(log_in("lior", "lior1", "secret")) else { panic!() };
    rig.execute("DELETE FROM account");
    assert_eq!(rig.notices.recv_timeout(PATIENCE), Ok(Notice::Removed(id)));
    let begun = Instant::now();
    while rig.written() == 0 {
        assert!(begun.elapsed() < PATIENCE);
    }
    drop(stop);
    flood.join().unwrap();
    assert!(heard.try_iter().all(|done| done));
}

#[test]
fn questions_that_never_cease_do_not_keep_messages_from_the_disk() {
    let rig = rig();
    let database = Database(rig.queries.clone());
    let (stop, stopped) = bounded::<()>(0);
    let flood: Vec<_> = (0..4)
        .map(|_| {
            let (database, stopped) = (database.clone(), stopped.clone());
            thread::spawn(move || {
                while stopped.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {
                    database.find("lior1".to_owned()).unwrap();
                }
            })
        })
        .collect();
    let begun = Instant::now();
    rig.record(said(1));
    rig.is_written(1, &[0]);
    assert!(begun.elapsed() < limits::RECORDS_WAIT + PATIENCE / 4);
    drop(stop);
    for thread in flood {
        thread.join().unwrap();
    }
}

#[test]
fn a_full_disk_loses_history_and_answers_no_until_it_has_room() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::File(directory.path().join("accounts.db"));
    let rig = Rig::new(&location, Passwords::new(CHEAP).unwrap());
    let (answers, heard) = unbounded();
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
    rig.execute("PRAGMA max_page_count = 1"); // SQLite raises it to what is in use
    let long = |number| {
        let text = "x".repeat(8_000).into();
        let said = Arc::new(Said { number, at: NOW, name: "lior".into(), text });
        Record::Said { said, forget_before: 0 }
    };
    // As many as are not waited with.
    let gate = stand_still(&rig.queries);
    for number in 1..=limits::RECORDS_BATCH as i64 {
        rig.record(long(number));
    }
    drop(gate);
    let mut refused = 0;
    for n in 0..300 {
        rig.record(ban(&format!("a name of some length {n}"), &answers));
        refused += i32::from(!heard.recv_timeout(PATIENCE).unwrap());
    }
    assert!(refused > 0);
    assert!(matches!(rig.verdict(log_in("lior", "lior1", "secret")), Verdict::LoggedIn(_)));
    assert_eq!(rig.written(), 0);
    rig.execute("PRAGMA max_page_count = 1000000");
    rig.record(ban("ana", &answers));
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(true));
    rig.record(long(999));
    rig.is_written(1, &[0]);
    assert_eq!(rig.kept().history[0].number, 999);
}

#[test]
fn a_connection_left_read_only_is_given_up_for_records_too() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::File(directory.path().join("accounts.db"));
    let rig = Rig::new(&location, Passwords::new(CHEAP).unwrap());
    let (answers, heard) = unbounded();
    rig.execute("PRAGMA query_only = 1");
    rig.record(ban("ana", &answers));
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(true));
    rig.execute("PRAGMA query_only = 1");
    rig.record(said(1));
    rig.is_written(1, &[0]);
}

#[test]
fn what_cannot_be_deleted_can_be_read() {
    let rig = rig();
    rig.record(said(1));
    rig.record(said(2));
    rig.is_written(2, &[0]);
    rig.execute("PRAGMA query_only = 1");
    let most = HistoryLimits { messages: 1, bytes: 100 };
    let kept = Database(rig.queries.clone()).kept(most, NOW).unwrap().unwrap();
    assert_eq!(kept.history.len(), 1);
    rig.execute("PRAGMA query_only = 0");
    assert_eq!(rig.kept().history.len(), 2);
}

#[test]
fn another_process_in_the_way_costs_no_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.db");
    let rig = Rig::new(&Location::File(path.clone()), Passwords::new(CHEAP).unwrap());
    assert_eq!(rig.verdict(sign_up("lior", "lior1")), Verdict::SignedUp);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for number in 1..=limits::RECORDS_BATCH as i64 + 1 {
        rig.record(said(number));
    }
    // Several tries; who logs in waits for none of them for long.
    for _ in 0..5 {
        let begun = Instant::now();
        assert!(matches!(rig.verdict(log_in("lior", "lior1", "secret")), Verdict::LoggedIn(_)));
        assert!(begun.elapsed() < limits::DATABASE_BUSY_WAIT / 2, "{:?}", begun.elapsed());
        thread::sleep(limits::RECORDS_WAIT);
    }
    other.execute_batch("COMMIT").unwrap();
    let all = limits::RECORDS_BATCH as i64 + 1;
    rig.is_written(all, &[0, all - 1]);
}

#[test]
fn another_process_in_the_way_does_not_hold_up_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.db");
    let passwords = Passwords::new(CHEAP).map_err(OpenErrorKind::Hash);
    let accounts =
        Accounts::<u32>::start(&Location::File(path.clone()), passwords, |_| {}).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // More than is gathered: the rest waits in the queue, which ends behind it.
    for number in 1..=limits::RECORDS_BATCH as i64 + 1 {
        accounts.record(said(number)).unwrap();
    }
    thread::sleep(3 * limits::RECORDS_WAIT);
    let (ended, end) = bounded::<()>(0);
    thread::spawn(move || {
        accounts.close();
        drop(ended);
    });
    let ended = end.recv_timeout(PATIENCE / 4);
    assert_eq!(ended, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    other.execute_batch("COMMIT").unwrap();
}

#[test]
fn a_full_queue_gives_the_record_back_at_once_and_dropping_writes_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::File(directory.path().join("accounts.db"));
    let open = || {
        let passwords = Passwords::new(CHEAP).map_err(OpenErrorKind::Hash);
        Accounts::<u32>::start(&location, passwords, |_| {}).unwrap()
    };
    let accounts = open();
    let gate = stand_still(&accounts.ways_in.as_ref().unwrap().database.0);
    let begun = Instant::now();
    let (answers, heard) = unbounded();
    let taken = (1..).take_while(|&number| accounts.record(said(number)).is_ok()).count();
    assert_eq!(taken, limits::RECORDS_MAX - limits::RECORDS_RESERVED);
    // Bans and mutes have places of their own.
    let (stored, acknowledged) = unbounded();
    for _ in 0..limits::RECORDS_RESERVED {
        accounts.record(ban("dana", &stored)).unwrap();
    }
    let refused = accounts.record(ban("ana", &answers)).unwrap_err();
    assert!(begun.elapsed() < PATIENCE / 4);
    assert_eq!(heard.try_iter().count(), 0, "it is the caller's to answer");
    let Record::Sanction(_, acknowledge) = refused else { panic!("{refused:?}") };
    acknowledge(false);
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [false]);
    drop(gate);
    accounts.close();
    let kept = open().kept(ALL, NOW).unwrap();
    assert!(kept.history.iter().map(|said| said.number).eq(1..=taken as i64));
    assert_eq!(acknowledged.iter().take(limits::RECORDS_RESERVED).filter(|done| !done).count(), 0);
}

#[test]
fn in_memory_the_same_is_kept_until_the_end() {
    let accounts = Accounts::<u32>::open(&Location::Memory, |_| {}).unwrap();
    assert_eq!(accounts.kept(ALL, NOW).unwrap(), Kept::default());
    let (answers, heard) = unbounded();
    accounts.record(said(1)).unwrap();
    accounts.record(ban("ana", &answers)).unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(true));
    let begun = Instant::now();
    while accounts.kept(ALL, NOW).unwrap().history.is_empty() {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(accounts.kept(ALL, NOW).unwrap().sanctions.len(), 1);
}

#[test]
fn a_keeper_that_is_gone_answers_no() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.db");
    let rig = Rig::new(&Location::File(path.clone()), Passwords::new(CHEAP).unwrap());
    let (answers, heard) = unbounded();
    // The database has vanished: `false`, again and again, and nothing new in its place.
    std::fs::remove_file(&path).unwrap();
    rig.execute("PRAGMA query_only = 1");
    for _ in 0..2 {
        rig.record(ban("ana", &answers));
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(false));
    }
    assert!(!path.exists());
    // A queue that nobody reads any more.
    let (entries, noted) = bounded::<Entry>(1);
    entries.send(ban("ana", &answers).into()).unwrap();
    drop((noted, entries));
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(false));
}
