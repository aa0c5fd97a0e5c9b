//! Accounts: sign-up and log-in, on threads of their own; and what is kept beside them.
//!
//! Jobs go in through a bounded queue, verdicts come out through a function that the owner
//! lends (the server posts them to its mailbox). Knows passwords, hashes and the database.
//! Knows of a connection only an opaque `client` value, which it hands back. What was said
//! and whom the operator has shut out goes to the same database by a queue of its own,
//! past the hash threads.
//!
//! ```text
//!             jobs (bounded)                 queries
//! event loop ───────────────► hash threads ──────────► keeper ──► SQLite
//!    │ ▲                      worker, password         keeper, store, chronicle,
//!    │ ├── verdicts ────────────┘                      schema, opening
//!    │ └── removed accounts ─────────────────────────────┤
//!    └── records (bounded): recording ───────────────────┘
//! ```
//!
//! `command` is `chinwag accounts`: another process, on the same file, beside the server.

mod chronicle;
pub mod command;
mod health;
mod keeper;
mod open_error;
mod opening;
mod password;
mod query;
mod recording;
pub mod records;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use zeroize::Zeroizing;

use self::keeper::Keeper;
pub use self::open_error::{OpenError, OpenErrorKind};
pub use self::opening::{Location, default_path};
use self::password::Passwords;
pub use self::password::{HashCost, HashError};
use self::query::Database;
use self::recording::Entry;
use self::records::{HistoryLimits, Kept, Record, UnixSeconds};
use crate::limits;

/// What someone signs up or logs in with. The password is wiped when dropped, and `Debug`
/// does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name others see.
    pub name: String,
    /// The unique name of the account.
    pub user_name: String,
    /// The password in clear.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

/// The key of an account in the database. Never used again after the account is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

/// What is to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Create an account, durably.
    SignUp(Credentials),
    /// Find the account and verify all three credentials.
    LogIn(Credentials),
    /// Verify the current password and replace it, durably.
    ChangePassword(PasswordChange),
}

/// Whose password is to become what. Both are wiped when dropped, and `Debug` does not show
/// them.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordChange {
    /// Whose.
    pub account: AccountId,
    /// What it is now.
    pub current: Zeroizing<String>,
    /// What it is to be.
    pub new: Zeroizing<String>,
}

impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordChange").field("account", &self.account).finish_non_exhaustive()
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The account is on disk.
    SignedUp,
    /// The account was not created.
    SignUpRefused(SignUpRefusal),
    /// The credentials are those of this account.
    LoggedIn(AccountId),
    /// They are not, whatever the reason.
    LogInRefused,
    /// The new password is on disk.
    PasswordChanged,
    /// The current password is another one, or the account is gone.
    PasswordRefused,
    /// The database or the thread failed; nothing was decided. Not the client's fault, so
    /// it does not count as a wrong log-in.
    Failed,
}

/// Why an account was not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignUpRefusal {
    /// The user name belongs to another account.
    UserNameTaken,
    /// The name, or one that looks like it, belongs to another account.
    NameTaken,
    /// The database cannot be written (disk full, read-only); the operator's log has more.
    CannotStore,
}

/// What the owner is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<C> {
    /// A job was decided.
    Verdict {
        /// Whose job it was.
        client: C,
        /// What was decided.
        verdict: Verdict,
    },
    /// Another process removed this account; its session must end.
    Removed(AccountId),
}

/// The accounts, as their owner holds them. Dropping it drops the jobs that wait, ends the
/// threads after the job at hand and after all records are written, and waits for that no
/// longer than `limits::ACCOUNTS_STOP_WAIT`.
pub struct Accounts<C> {
    /// None only while dropping.
    ways_in: Option<WaysIn<C>>,
    waiting: Receiver<(C, Job)>,
    path: PathBuf,
    /// Disconnected when the keeper has closed the database.
    stopped: Receiver<()>,
}

struct WaysIn<C> {
    jobs: Sender<(C, Job)>,
    entries: Sender<Entry>,
    database: Database,
}

impl<C: Copy + Send + 'static> Accounts<C> {
    /// Opens the accounts and starts their threads: one for the database, and as many for
    /// hashes as there are spare processors. They call `post`, which may wait, and may
    /// find that nobody listens any more. A process opens one file once at a time: POSIX
    /// locks, SQLite's too, do not hold within a process.
    ///
    /// # Errors
    /// See [`OpenError`]. A file that is refused stays as it was.
    pub fn open(
        location: &Location,
        post: impl Fn(Notice<C>) + Send + Clone + 'static,
    ) -> Result<Self, OpenError> {
        Self::open_at_cost(location, HashCost::default(), post)
    }

    /// The same, with passwords hashed at `cost`: for filling a database that tests and
    /// benches use. Hashes at any cost are verified either way.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_at_cost(
        location: &Location,
        cost: HashCost,
        post: impl Fn(Notice<C>) + Send + Clone + 'static,
    ) -> Result<Self, OpenError> {
        let passwords = Passwords::new(cost);
        Self::start(location, passwords.map_err(OpenErrorKind::Hash), post)
    }

    fn start(
        location: &Location,
        passwords: Result<Passwords, OpenErrorKind>,
        post: impl Fn(Notice<C>) + Send + Clone + 'static,
    ) -> Result<Self, OpenError> {
        let path = match location {
            Location::File(path) => path,
            Location::Memory => Path::new(":memory:"),
        };
        let passwords = passwords.map_err(|kind| kind.at(path))?;
        let mut served = opening::serve(location)?;
        let lock = served.lock.take();
        let keeper = Keeper::new(served).map_err(|error| OpenErrorKind::from(error).at(path))?;

        let hash_threads = thread::available_parallelism().map_or(1, |all| all.get() - 1).max(1);
        // Every hash thread waits for its answer, as does whoever asks what was kept, so
        // there are never more queries.
        let (query, queries) = bounded(hash_threads + 1);
        let (entry, entries) = bounded(limits::RECORDS_MAX);
        let (running, stopped) = bounded(0);
        let tell = post.clone();
        spawn("accounts-database".to_owned(), move || {
            keeper.run(&queries, &entries, |account| tell(Notice::Removed(account)));
            // In this order: whoever sees the keeper stopped may open the file again.
            drop(lock);
            drop::<Sender<()>>(running);
        })
        .map_err(|error| OpenErrorKind::Thread(error).at(path))?;

        let (jobs, waiting) = bounded(limits::ACCOUNT_JOBS_MAX);
        for number in 0..hash_threads {
            let (jobs, passwords) = (waiting.clone(), passwords.clone());
            let (database, post) = (Database(query.clone()), post.clone());
            spawn(format!("accounts-hash-{number}"), move || {
                worker::run(&jobs, &passwords, &database, post);
            })
            .map_err(|error| OpenErrorKind::Thread(error).at(path))?;
        }
        let ways_in = WaysIn { jobs, entries: entry, database: Database(query) };
        Ok(Self { ways_in: Some(ways_in), waiting, path: path.to_owned(), stopped })
    }

    /// Hands over a job without waiting; its verdict comes through `post`, with `client`.
    ///
    /// # Errors
    /// The job itself: as many wait as may. There is room again after a verdict.
    pub fn submit(&self, client: C, job: Job) -> Result<(), Job> {
        match &self.ways_in {
            Some(WaysIn { jobs, .. }) => {
                jobs.try_send((client, job)).map_err(|error| error.into_inner().1)
            }
            None => Err(job),
        }
    }
}

impl<C> Accounts<C> {
    /// Hands over what is to be written down, without waiting. What is said is on disk
    /// `limits::RECORDS_WAIT` later, or lost when the database cannot be written, which is
    /// logged. A sanction is written at once, and acknowledged from the thread that writes,
    /// in any case: with `false` also when that fails.
    ///
    /// # Errors
    /// The record itself, not acknowledged: as many wait as may. What is said leaves some
    /// places to sanctions.
    pub fn record(&self, record: Record) -> Result<(), Record> {
        let most_said = limits::RECORDS_MAX - limits::RECORDS_RESERVED;
        match &self.ways_in {
            Some(WaysIn { entries, .. })
                if matches!(record, Record::Said { .. }) && entries.len() >= most_said =>
            {
                Err(record)
            }
            Some(WaysIn { entries, .. }) => {
                entries.try_send(record.into()).map_err(|error| error.into_inner().into())
            }
            None => Err(record),
        }
    }

    /// What was kept by earlier servers: the latest messages within `limits`, and the
    /// sanctions that are not over at `now`. The rest is deleted, if it can be. Waits for
    /// the database: it is asked once, before anything is recorded.
    ///
    /// # Errors
    /// The database cannot be read. Numbers would be given twice if the server went on
    /// without; it should not.
    pub fn kept(&self, limits: HistoryLimits, now: UnixSeconds) -> Result<Kept, OpenError> {
        let no_answer = || OpenErrorKind::NoAnswer.at(&self.path);
        let WaysIn { database, .. } = self.ways_in.as_ref().ok_or_else(no_answer)?;
        database.kept(limits, now).map_err(|_| no_answer())?
    }

    /// Ends the threads as dropping does, but waits as long as it takes: for whoever opens
    /// the file again.
    pub fn close(mut self) {
        self.stop();
        let _ = self.stopped.recv();
    }

    /// A hash thread lets go of the keeper when it ends, and the keeper ends after the
    /// last: `stopped` is disconnected then, and never holds a message.
    fn stop(&mut self) {
        self.ways_in = None;
        while self.waiting.try_recv().is_ok() {}
    }
}

impl<C> Drop for Accounts<C> {
    fn drop(&mut self) {
        self.stop();
        let _ = self.stopped.recv_timeout(limits::ACCOUNTS_STOP_WAIT);
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(body).map(drop)
}
