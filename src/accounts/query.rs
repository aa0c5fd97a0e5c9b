//! What the hash threads, and whoever starts the server, ask the keeper.
//!
//! Knows questions and the way back for their answers. Knows no SQL.

use crossbeam_channel::{Sender, bounded};

#[cfg(test)]
use super::keeper::Keeper;
use super::open_error::OpenError;
use super::records::{HistoryLimits, Kept, UnixSeconds};
use super::store::{Found, NewAccount};
use super::{AccountId, SignUpRefusal};

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
    PasswordHash {
        account: AccountId,
        reply: Sender<Result<Option<String>, Unavailable>>,
    },
    ReplacePassword {
        replacement: Replacement,
        reply: Sender<Result<bool, Unavailable>>,
    },
    Kept {
        limits: HistoryLimits,
        now: UnixSeconds,
        reply: Sender<Result<Kept, OpenError>>,
    },
    /// Tests break things from here.
    #[cfg(test)]
    Run(Box<dyn FnOnce(&mut Keeper) + Send>),
}

/// One hash for another.
pub(super) struct Replacement {
    pub(super) account: AccountId,
    /// What it must be still.
    pub(super) verified: String,
    pub(super) new: String,
}

/// A way to the keeper.
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

    /// The hash of this account's password.
    ///
    /// # Errors
    /// The database fails.
    pub(super) fn password_hash(&self, account: AccountId) -> Result<Option<String>, Unavailable> {
        self.ask(|reply| Query::PasswordHash { account, reply })?
    }

    /// Replaces a hash, durably. `false`: it is another one by now, or the account is gone.
    ///
    /// # Errors
    /// The database fails.
    pub(super) fn replace_password(&self, replacement: Replacement) -> Result<bool, Unavailable> {
        self.ask(|reply| Query::ReplacePassword { replacement, reply })?
    }

    /// What was kept, and from now on no more than that.
    ///
    /// # Errors
    /// The inner ones: the database cannot be read. The outer one: the keeper failed.
    pub(super) fn kept(
        &self,
        limits: HistoryLimits,
        now: UnixSeconds,
    ) -> Result<Result<Kept, OpenError>, Unavailable> {
        self.ask(|reply| Query::Kept { limits, now, reply })
    }

    /// A keeper that panics drops the reply's sender: nobody waits for ever.
    fn ask<T>(&self, query: impl FnOnce(Sender<T>) -> Query) -> Result<T, Unavailable> {
        let (reply, answer) = bounded(1);
        self.0.send(query(reply)).map_err(|_| Unavailable)?;
        answer.recv().map_err(|_| Unavailable)
    }
}
