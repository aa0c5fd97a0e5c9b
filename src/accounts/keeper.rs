//! The thread that keeps the database: answers the hash threads, watches for accounts
//! removed by another process, and opens the database again after trouble.
//!
//! Knows the one connection of the server. Knows no password and no client. One thread
//! alone touches SQLite: no lock, a fixed number of descriptors, and `:memory:` is no
//! special case. Log lines tell when trouble begins and ends, not how often it is met.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{error, info};
use rusqlite::ErrorCode;

use super::open_error::OpenError;
use super::opening::{self, Served};
use super::store::{Found, NewAccount, Store};
use super::{AccountId, SignUpRefusal};
use crate::limits;

/// The keeper failed while it answered; it has logged why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unavailable;

/// What the keeper is asked.
pub(super) enum Query {
    Find {
        user_name: String,
        reply: Sender<Result<Option<Found>, Unavailable>>,
    },
    Insert {
        account: NewAccount,
        reply: Sender<Result<(), SignUpRefusal>>,
    },
    /// Tests break things from here.
    #[cfg(test)]
    Run(Box<dyn FnOnce(&mut Keeper) + Send>),
}

/// A hash thread's way to the keeper.
#[derive(Clone)]
pub(super) struct Database(pub(super) Sender<Query>);

impl Database {
    /// The account of exactly this user name.
    ///
    /// # Errors
    /// The database fails.
    pub(super) fn find(&self, user_name: String) -> Result<Option<Found>, Unavailable> {
        self.ask(|reply| Query::Find { user_name, reply })?
    }

    /// Creates an account, durably.
    ///
    /// # Errors
    /// The inner ones: why not. The outer one: the keeper failed.
    pub(super) fn insert(
        &self,
        account: NewAccount,
    ) -> Result<Result<(), SignUpRefusal>, Unavailable> {
        self.ask(|reply| Query::Insert { account, reply })
    }

    /// A keeper that panics drops the reply's sender: nobody waits for ever.
    fn ask<T>(&self, query: impl FnOnce(Sender<T>) -> Query) -> Result<T, Unavailable> {
        let (reply, answer) = bounded(1);
        self.0.send(query(reply)).map_err(|_| Unavailable)?;
        answer.recv().map_err(|_| Unavailable)
    }
}

/// The database and what is known of its health.
pub(super) struct Keeper {
    /// None after trouble, until it can be opened again.
    pub(super) store: Option<Store>,
    path: Option<PathBuf>,
    last_removal: i64,
    reading: Health,
    writing: Health,
    watching: Health,
}

impl Keeper {
    /// Removals from now on will be told.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn new(served: Served) -> rusqlite::Result<Self> {
        Ok(Self {
            last_removal: served.store.last_removal()?,
            store: Some(served.store),
            path: served.path,
            reading: Health::new("read for log-ins"),
            writing: Health::new("written for sign-ups"),
            watching: Health::new("watched for removed accounts"),
        })
    }

    /// Answers until nobody can ask any more.
    pub(super) fn run(mut self, queries: &Receiver<Query>, removed: impl Fn(AccountId)) {
        let mut next_watch = Instant::now() + limits::ACCOUNT_WATCH_INTERVAL;
        loop {
            let query = match queries.recv_deadline(next_watch) {
                Ok(query) => Some(query),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // The store is sound after a panic: a transaction that is dropped is undone.
            let turn = catch_unwind(AssertUnwindSafe(|| {
                if let Some(query) = query {
                    self.answer(query);
                }
                // Also when queries come without a pause.
                if Instant::now() >= next_watch {
                    self.watch(&removed);
                }
            }));
            if turn.is_err() {
                error!("the accounts' database thread panicked; it goes on");
            }
            if Instant::now() >= next_watch {
                next_watch = Instant::now() + limits::ACCOUNT_WATCH_INTERVAL;
            }
        }
    }

    fn answer(&mut self, query: Query) {
        // Nobody may be left to hear the answer; then it is not needed.
        match query {
            Query::Find { user_name, reply } => {
                let found = self.attempt(|store| store.find(&user_name));
                let _ = reply.send(self.reading.note(found).ok_or(Unavailable));
            }
            Query::Insert { account, reply } => {
                let mut inserted = self.attempt(|store| store.insert(&account));
                // The file may be read-only no more: that shows on a new connection only.
                if inserted.as_ref().is_err_and(Trouble::is_read_only) {
                    inserted = self.attempt(|store| store.insert(&account));
                }
                let inserted = self.writing.note(inserted);
                let _ = reply.send(inserted.unwrap_or(Err(SignUpRefusal::CannotStore)));
            }
            #[cfg(test)]
            Query::Run(run) => run(self),
        }
    }

    /// Tells the accounts removed since the last look.
    fn watch(&mut self, removed: impl Fn(AccountId)) {
        let last = self.last_removal;
        let removals = self.attempt(|store| store.removals_after(last));
        for removal in self.watching.note(removals).unwrap_or_default() {
            self.last_removal = removal.number;
            removed(removal.account);
        }
    }

    /// Does something with the store, opened again if need be. After an error that a new
    /// connection may cure (a file that was read-only stays so for its descriptor), the
    /// connection is given up; a database in memory never is.
    fn attempt<T>(
        &mut self,
        action: impl FnOnce(&mut Store) -> rusqlite::Result<T>,
    ) -> Result<T, Trouble> {
        let store = match (&mut self.store, &self.path) {
            (Some(store), _) => store,
            (None, Some(path)) => {
                self.store.insert(opening::reopen(path).map_err(Trouble::Reopening)?)
            }
            (None, None) => return Err(Trouble::MemoryLost),
        };
        action(store).map_err(|error| {
            let passing = matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            );
            if !passing && self.path.is_some() {
                self.store = None;
            }
            Trouble::Sqlite(error)
        })
    }
}

/// Why the store did not do what it was asked.
enum Trouble {
    Sqlite(rusqlite::Error),
    Reopening(OpenError),
    MemoryLost,
}

impl Trouble {
    fn is_read_only(&self) -> bool {
        matches!(self, Self::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::ReadOnly))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Reopening(error) => error.fmt(f),
            Self::MemoryLost => f.write_str("the database in memory is gone"),
        }
    }
}

/// Whether something works, for the log.
struct Health {
    what: &'static str,
    well: bool,
}

impl Health {
    fn new(what: &'static str) -> Self {
        Self { what, well: true }
    }

    /// Logs an error that follows a success, and a success that follows an error.
    fn note<T>(&mut self, result: Result<T, Trouble>) -> Option<T> {
        let was_well = std::mem::replace(&mut self.well, result.is_ok());
        match &result {
            Ok(_) if !was_well => info!("the accounts' database can be {} again", self.what),
            Err(error) if was_well => {
                error!("the accounts' database cannot be {}: {error}", self.what);
            }
            _ => {}
        }
        result.ok()
    }
}
