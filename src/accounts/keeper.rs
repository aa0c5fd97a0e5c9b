//! The thread that keeps the database: answers the hash threads, writes down what was said
//! and whom the operator shuts out, watches for accounts removed by another process, and
//! opens the database again after trouble.
//!
//! Knows the one connection of the server. Knows no password and no client. One thread
//! alone touches SQLite: no lock, a fixed number of descriptors, and `:memory:` is no
//! special case. Between two questions there is at most one transaction of what is written
//! down, and questions, however many, do not keep it from being written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crossbeam_channel::{Receiver, Select, TryRecvError};
use log::{error, warn};

use super::health::{Health, Trouble};
use super::open_error::OpenError;
use super::opening::{self, Served};
use super::query::{Query, Replacement, Unavailable};
use super::recording::{Answer, Batch, Entry};
use super::records::{HistoryLimits, Kept, SanctionChange, UnixSeconds};
use super::store::Store;
use super::{AccountId, SignUpRefusal};
use crate::limits;

/// The database and what is known of its health.
pub(super) struct Keeper {
    /// None after trouble, until it can be opened again.
    pub(super) store: Option<Store>,
    path: Option<PathBuf>,
    last_removal: i64,
    batch: Batch,
    /// Messages that could not be written since that was last told.
    unwritten: usize,
    reading: Health,
    writing: Health,
    replacing: Health,
    recording: Health,
    sanctioning: Health,
    watching: Health,
}

/// What was found in the queue of what is to be written down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    Empty,
    MayHoldMore,
    /// Nobody can add anything.
    Over,
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
            batch: Batch::new(),
            unwritten: 0,
            reading: Health::new("read for log-ins"),
            writing: Health::new("written for sign-ups"),
            replacing: Health::new("written for new passwords"),
            recording: Health::new("written for history"),
            sanctioning: Health::new("written for bans and mutes"),
            watching: Health::new("watched for removed accounts"),
        })
    }

    /// Answers, and writes down, until nobody can ask or add anything any more and
    /// everything that came is written.
    pub(super) fn run(
        mut self,
        queries: &Receiver<Query>,
        entries: &Receiver<Entry>,
        removed: impl Fn(AccountId),
    ) {
        let mut next_watch = Instant::now() + limits::ACCOUNT_WATCH_INTERVAL;
        let (mut queue, mut asked) = (Queue::Empty, true);
        while asked || queue != Queue::Over || !self.batch.is_empty() {
            self.wait(asked.then_some(queries), entries, queue, next_watch);
            // The store is sound after a panic: a transaction that is dropped is undone.
            let turn = catch_unwind(AssertUnwindSafe(|| {
                match queries.try_recv() {
                    Ok(query) => self.answer(query),
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => asked = false,
                }
                queue = self.take_in(entries, !asked);
                // Also when there is no pause.
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
        self.tell_unwritten();
    }

    /// Waits until there may be something to do.
    fn wait(
        &self,
        queries: Option<&Receiver<Query>>,
        entries: &Receiver<Entry>,
        queue: Queue,
        next_watch: Instant,
    ) {
        let gathering = !self.batch.is_empty();
        let at_once = match queue {
            Queue::Empty => false,
            Queue::MayHoldMore => !self.batch.is_full(),
            Queue::Over => gathering,
        };
        if at_once {
            return;
        }
        let mut select = Select::new();
        if let Some(queries) = queries {
            select.recv(queries);
        }
        // Whoever gathers looks again after a pause.
        let pause = gathering.then(|| Instant::now() + limits::RECORDS_PAUSE);
        if queue == Queue::Empty && !gathering {
            select.recv(entries);
        }
        let until = [self.batch.due(), pause].into_iter().flatten().fold(next_watch, Instant::min);
        let _ = select.ready_deadline(until);
    }

    /// Writes down what was gathered if it is time, else gathers, up to the first sanction,
    /// which is written at once. At the end of the server no try is put off.
    fn take_in(&mut self, entries: &Receiver<Entry>, at_the_end: bool) -> Queue {
        if self.batch.due().is_some_and(|due| due <= Instant::now()) {
            self.write_batch(at_the_end);
            return Queue::MayHoldMore;
        }
        while !self.batch.is_full() {
            match entries.try_recv() {
                Ok(Entry::Said { said, forget_before }) => {
                    self.batch.add(said, forget_before, Instant::now());
                }
                Ok(Entry::Sanction(change, answer)) => {
                    self.sanction(&change, answer);
                    break;
                }
                Err(TryRecvError::Empty) => return Queue::Empty,
                Err(TryRecvError::Disconnected) => {
                    self.write_batch(true);
                    return Queue::Over;
                }
            }
        }
        Queue::MayHoldMore
    }

    /// What cannot be written is counted and lost. Another process that is in the way is
    /// soon gone, so there is another try, unless it is the `last`.
    fn write_batch(&mut self, last: bool) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, Batch::new());
        let count = batch.said.len();
        // Until it is known to be on disk: also when this panics.
        self.unwritten += count;
        let write = |store: &mut Store| store.write_history(&batch.said, batch.forget_before);
        let written = self.attempt_writing(write);
        let again = !last && written.as_ref().is_err_and(Trouble::is_busy);
        if self.recording.note(written).is_some() {
            self.unwritten -= count;
            self.tell_unwritten();
        } else if again {
            self.unwritten -= count;
            self.batch = batch;
            self.batch.postpone(Instant::now());
        }
    }

    fn tell_unwritten(&mut self) {
        let count = std::mem::take(&mut self.unwritten);
        if count > 0 {
            warn!("the accounts' database lacks {count} messages of the history");
        }
    }

    fn sanction(&mut self, change: &SanctionChange, answer: Answer) {
        let changed = self.attempt_writing(|store| store.change_sanction(change));
        answer.give(self.sanctioning.note(changed).is_some());
    }

    fn answer(&mut self, query: Query) {
        // Nobody may be left to hear the answer; then it is not needed.
        match query {
            Query::Find { user_name, reply } => {
                let found = self.attempt(|store| store.find(&user_name));
                let _ = reply.send(self.reading.note(found).ok_or(Unavailable));
            }
            Query::Insert { account, reply } => {
                let inserted = self.attempt_writing(|store| store.insert(&account));
                let inserted = self.writing.note(inserted);
                let _ = reply.send(inserted.unwrap_or(Err(SignUpRefusal::CannotStore)));
            }
            Query::PasswordHash { account, reply } => {
                let found = self.attempt(|store| store.password_hash(account));
                let _ = reply.send(self.reading.note(found).ok_or(Unavailable));
            }
            Query::ReplacePassword { replacement, reply } => {
                let Replacement { account, verified, new } = replacement;
                let replaced =
                    self.attempt_writing(|store| store.replace_password(account, &verified, &new));
                let _ = reply.send(self.replacing.note(replaced).ok_or(Unavailable));
            }
            Query::Kept { limits, now, reply } => {
                let _ = reply.send(self.kept(limits, now));
            }
            #[cfg(test)]
            Query::Run(run) => run(self),
        }
    }

    /// What can be read counts, whether or not the rest can be deleted.
    fn kept(&mut self, limits: HistoryLimits, now: UnixSeconds) -> Result<Kept, OpenError> {
        let recovered = self
            .attempt(|store| store.kept(limits, now))
            .map_err(|trouble| trouble.at(self.path.as_deref().unwrap_or(Path::new(":memory:"))))?;
        if recovered.left_out > 0 {
            let count = recovered.left_out;
            warn!("{count} messages, bans or mutes in the accounts' database cannot be read");
        }
        let forgotten = self.attempt_writing(|store| store.forget_others(&recovered, now));
        self.recording.note(forgotten);
        Ok(recovered.kept)
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
            let trouble = Trouble::Sqlite(error);
            if !trouble.is_passing() && self.path.is_some() {
                self.store = None;
            }
            trouble
        })
    }

    /// The same, for what changes the database: the file may be read-only no more, and that
    /// shows on a new connection only.
    fn attempt_writing<T>(
        &mut self,
        mut action: impl FnMut(&mut Store) -> rusqlite::Result<T>,
    ) -> Result<T, Trouble> {
        match self.attempt(&mut action) {
            Err(trouble) if trouble.is_read_only() => self.attempt(action),
            outcome => outcome,
        }
    }
}
