//! Accounts: sign-up and log-in, on threads of their own.
//!
//! Jobs go in through a bounded queue, verdicts come out through a function that the owner
//! lends (the server posts them to its mailbox). Knows passwords, hashes and the database.
//! Knows of a connection only an opaque `client` value, which it hands back.
//!
//! ```text
//!             jobs (bounded)                     queries
//! event loop ───────────────► hash threads ──────────────► keeper ──► SQLite
//!      ▲                      worker, password             keeper, store, schema, opening
//!      └── verdicts ────────────┘                            │
//!      └── removed accounts ─────────────────────────────────┘
//! ```
//!
//! `command` is `chinwag accounts`: another process, on the same file, beside the server.

pub mod command;
mod keeper;
mod open_error;
mod opening;
mod password;
pub mod records;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use zeroize::Zeroizing;

use self::keeper::{Database, Keeper};
pub use self::open_error::{OpenError, OpenErrorKind};
pub use self::opening::{Location, default_path};
use self::password::Passwords;
pub use self::password::{HashCost, HashError};
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
/// threads after the job at hand, and waits for that no longer than
/// `limits::ACCOUNTS_STOP_WAIT`.
pub struct Accounts<C> {
    /// None only while dropping.
    jobs: Option<Sender<(C, Job)>>,
    waiting: Receiver<(C, Job)>,
    /// Disconnected when the keeper has closed the database.
    stopped: Receiver<()>,
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
        // Every hash thread waits for its answer, so there are never more queries.
        let (query, queries) = bounded(hash_threads);
        let (running, stopped) = bounded(0);
        let tell = post.clone();
        spawn("accounts-database".to_owned(), move || {
            keeper.run(&queries, |account| tell(Notice::Removed(account)));
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
        Ok(Self { jobs: Some(jobs), waiting, stopped })
    }

    /// Hands over what is to be written down, without waiting.
    ///
    /// # Errors
    /// The record itself: as many wait as may.
    pub fn record(&self, record: records::Record) -> Result<(), records::Record> {
        Err(record)
    }

    /// Hands over a job without waiting; its verdict comes through `post`, with `client`.
    ///
    /// # Errors
    /// The job itself: as many wait as may. There is room again after a verdict.
    pub fn submit(&self, client: C, job: Job) -> Result<(), Job> {
        match &self.jobs {
            Some(jobs) => jobs.try_send((client, job)).map_err(|error| error.into_inner().1),
            None => Err(job),
        }
    }
}

impl<C> Accounts<C> {
    /// Ends the threads as dropping does, but waits as long as it takes: for whoever opens
    /// the file again.
    pub fn close(mut self) {
        self.stop();
        let _ = self.stopped.recv();
    }

    /// A hash thread lets go of the keeper when it ends, and the keeper ends after the
    /// last: `stopped` is disconnected then, and never holds a message.
    fn stop(&mut self) {
        self.jobs = None;
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
