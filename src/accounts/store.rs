//! Accounts as rows: every question asked of the database, and every change to it.
//!
//! Knows SQL and the keys a name is unique by. Knows hashes only as text, no password, no
//! thread, and not where the database lies.

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};

use super::schema::{self, MigrateError};
use super::{AccountId, SignUpRefusal};
use crate::limits;
use crate::protocol::text::NameKeys;

/// An open database.
pub(super) struct Store {
    pub(super) connection: Connection,
    behind: bool,
}

/// An account to be created.
pub(super) struct NewAccount {
    /// The name others see.
    pub(super) name: String,
    /// The unique name of the account.
    pub(super) user_name: String,
    /// A PHC string.
    pub(super) password_hash: String,
}

/// What a log-in is compared with.
pub(super) struct Found {
    /// The account's key.
    pub(super) id: AccountId,
    /// The name others see.
    pub(super) name: String,
    /// A PHC string.
    pub(super) password_hash: String,
}

/// A line of `chinwag accounts list`.
pub(super) struct Listed {
    /// The unique name of the account.
    pub(super) user_name: String,
    /// The name others see.
    pub(super) name: String,
    /// UTC, ISO 8601, to the second.
    pub(super) signed_up: String,
}

/// A trace of an account that was removed.
pub(super) struct Removal {
    /// Grows with every removal.
    pub(super) number: i64,
    /// The account that is no more.
    pub(super) account: AccountId,
}

impl Store {
    /// Takes `connection` into use: every commit is on disk when it returns, and another
    /// process that holds the database is waited for.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn new(connection: Connection) -> rusqlite::Result<Self> {
        connection.busy_timeout(limits::DATABASE_BUSY_WAIT)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // What is forgotten is not to be read in the file either.
        connection.pragma_update(None, "secure_delete", "ON")?;
        Ok(Self { connection, behind: false })
    }

    /// Brings the tables up to date. Where an older database cannot be written, its accounts
    /// can be read all the same: it stays behind until it can.
    ///
    /// # Errors
    /// A newer database; what SQLite says.
    pub(super) fn migrate(&mut self) -> Result<(), MigrateError> {
        self.behind = false;
        match schema::migrate(&mut self.connection, schema::MIGRATIONS) {
            Err(MigrateError::Sqlite(error))
                if cannot_write(&error)
                    && schema::version(&self.connection)? >= schema::ACCOUNTS_VERSION =>
            {
                self.behind = true;
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Whether only the accounts are there.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Goes before whatever is written to tables that an older database lacks.
    ///
    /// # Errors
    /// It cannot be written yet.
    pub(super) fn catch_up(&mut self) -> rusqlite::Result<()> {
        if self.behind {
            match schema::migrate(&mut self.connection, schema::MIGRATIONS) {
                // A later chinwag beside this one was first: the tables are there.
                Ok(()) | Err(MigrateError::Newer { .. }) => self.behind = false,
                Err(MigrateError::Sqlite(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Turns the write-ahead log on: readers do not wait for writers. Some file systems
    /// cannot; there the database works all the same, so the answer is only worth a word.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn use_write_ahead_log(&self) -> rusqlite::Result<bool> {
        let mode: String =
            self.connection.query_row("PRAGMA journal_mode=WAL", [], |r| r.get(0))?;
        Ok(mode == "wal" || mode == "memory")
    }

    /// The account of exactly this user name.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn find(&self, user_name: &str) -> rusqlite::Result<Option<Found>> {
        let sql = "SELECT id, name, password_hash FROM account WHERE user_name = ?1";
        self.connection
            .query_row(sql, [user_name], |row| {
                Ok(Found {
                    id: AccountId(row.get(0)?),
                    name: row.get(1)?,
                    password_hash: row.get(2)?,
                })
            })
            .optional()
    }

    /// The hash of this account's password.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn password_hash(&self, account: AccountId) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT password_hash FROM account WHERE id = ?1";
        self.connection.query_row(sql, [account.0], |row| row.get(0)).optional()
    }

    /// Replaces the hash `verified` by `new`. `false`: it was replaced meanwhile, or the
    /// account removed.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn replace_password(
        &self,
        account: AccountId,
        verified: &str,
        new: &str,
    ) -> rusqlite::Result<bool> {
        let sql = "UPDATE account SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2";
        Ok(self.connection.execute(sql, params![account.0, verified, new])? > 0)
    }

    /// Creates an account. It is on disk when this returns `Ok(Ok(()))`.
    ///
    /// # Errors
    /// The inner ones: a name that is taken. The outer ones: what SQLite says.
    pub(super) fn insert(
        &mut self,
        account: &NewAccount,
    ) -> rusqlite::Result<Result<(), SignUpRefusal>> {
        let user_name_folded = NameKeys::of(&account.user_name).folded;
        let keys = NameKeys::of(&account.name);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let taken: Option<bool> = transaction
            .query_row(
                "SELECT user_name_folded = ?1 FROM account
                 WHERE user_name_folded = ?1 OR name_folded = ?2 OR name_skeleton = ?3
                 ORDER BY 1 DESC LIMIT 1",
                params![user_name_folded, keys.folded, keys.skeleton],
                |row| row.get(0),
            )
            .optional()?;
        match taken {
            Some(true) => return Ok(Err(SignUpRefusal::UserNameTaken)),
            Some(false) => return Ok(Err(SignUpRefusal::NameTaken)),
            None => {}
        }
        transaction.execute(
            "INSERT INTO account
                 (user_name, user_name_folded, name, name_folded, name_skeleton, password_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                account.user_name,
                user_name_folded,
                account.name,
                keys.folded,
                keys.skeleton,
                account.password_hash,
            ],
        )?;
        transaction.commit()?;
        Ok(Ok(()))
    }

    /// Every account, by user name.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn list(&self) -> rusqlite::Result<Vec<Listed>> {
        let sql = "SELECT user_name, name, strftime('%Y-%m-%dT%H:%M:%SZ', signed_up, 'unixepoch')
                   FROM account ORDER BY user_name_folded";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(Listed { user_name: row.get(0)?, name: row.get(1)?, signed_up: row.get(2)? })
        })?;
        rows.collect()
    }

    /// Removes an account and leaves a trace of it, in one commit. Of the traces the last
    /// `limits::REMOVED_REMEMBERED` stay. What that person said stays in the history.
    /// `false`: there was no such account.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn remove(&mut self, user_name: &str) -> rusqlite::Result<bool> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let removed =
            transaction.execute("DELETE FROM account WHERE user_name = ?1", [user_name])?;
        transaction.execute(
            "DELETE FROM removal WHERE number <= (SELECT max(number) FROM removal) - ?1",
            [limits::REMOVED_REMEMBERED as i64],
        )?;
        transaction.commit()?;
        Ok(removed > 0)
    }

    /// Replaces an account's hash. `false`: there is no such account.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn set_password(&self, user_name: &str, hash: &str) -> rusqlite::Result<bool> {
        let sql = "UPDATE account SET password_hash = ?2 WHERE user_name = ?1";
        Ok(self.connection.execute(sql, [user_name, hash])? > 0)
    }

    /// The number of the last removal; 0 before the first.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn last_removal(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("SELECT ifnull(max(number), 0) FROM removal", [], |r| r.get(0))
    }

    /// The removals after number `last`, in order.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn removals_after(&self, last: i64) -> rusqlite::Result<Vec<Removal>> {
        let sql = "SELECT number, account FROM removal WHERE number > ?1 ORDER BY number";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([last], |row| {
            Ok(Removal { number: row.get(0)?, account: AccountId(row.get(1)?) })
        })?;
        rows.collect()
    }
}

/// The file is read-only, or the disk full.
fn cannot_write(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::DiskFull))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        let mut store = Store::new(Connection::open_in_memory().unwrap()).unwrap();
        store.migrate().unwrap();
        store
    }

    fn account(name: &str, user_name: &str) -> NewAccount {
        NewAccount {
            name: name.to_owned(),
            user_name: user_name.to_owned(),
            password_hash: "hash".to_owned(),
        }
    }

    #[test]
    fn names_are_unique_by_what_people_see() {
        let mut store = store();
        let mut sign_up = |name, user_name| store.insert(&account(name, user_name)).unwrap();
        assert_eq!(sign_up("lior", "lior1"), Ok(()));
        assert_eq!(sign_up("dana", "lior1"), Err(SignUpRefusal::UserNameTaken));
        assert_eq!(sign_up("dana", "LIOR1"), Err(SignUpRefusal::UserNameTaken));
        assert_eq!(sign_up("lior", "lior1"), Err(SignUpRefusal::UserNameTaken));
        assert_eq!(sign_up("lior", "other"), Err(SignUpRefusal::NameTaken));
        assert_eq!(sign_up("Lior", "other"), Err(SignUpRefusal::NameTaken));
        assert_eq!(sign_up("li\u{43e}r", "other"), Err(SignUpRefusal::NameTaken), "Cyrillic o");
        assert_eq!(sign_up("dana", "other"), Ok(()));
        assert_eq!(sign_up("lior1", "lior"), Ok(()), "user names and names do not mix");
    }

    #[test]
    fn a_commit_is_on_disk_when_it_returns() {
        let full = 2; // <https://sqlite.org/pragma.html#pragma_synchronous>
        let found: i64 =
            store().connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(found, full);
    }

    #[test]
    fn an_older_database_on_a_full_disk_has_its_accounts_and_catches_up() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, &schema::MIGRATIONS[..1]).unwrap();
        connection.execute_batch("PRAGMA max_page_count = 1").unwrap(); // raised to what is in use
        let mut store = Store::new(connection).unwrap();
        store.migrate().unwrap();
        assert!(store.is_behind());
        assert!(store.find("lior1").unwrap().is_none());
        assert!(cannot_write(&store.catch_up().unwrap_err()));
        store.connection.execute_batch("PRAGMA max_page_count = 1000000").unwrap();
        store.catch_up().unwrap();
        assert!(!store.is_behind());
        assert_eq!(schema::version(&store.connection).unwrap(), schema::MIGRATIONS.len() as u32);
    }

    #[test]
    fn user_names_are_found_exactly() {
        let mut store = store();
        store.insert(&account("lior", "lior1")).unwrap().unwrap();
        assert!(store.find("lior1").unwrap().is_some_and(|found| found.name == "lior"));
        assert!(store.find("Lior1").unwrap().is_none());
    }

    #[test]
    fn a_removed_key_is_never_used_again() {
        let mut store = store();
        store.insert(&account("lior", "lior1")).unwrap().unwrap();
        let first = store.find("lior1").unwrap().unwrap().id;
        assert!(store.remove("lior1").unwrap());
        assert!(!store.remove("lior1").unwrap());
        store.insert(&account("lior", "lior1")).unwrap().unwrap();
        assert_ne!(store.find("lior1").unwrap().unwrap().id, first);
        let removals = store.removals_after(0).unwrap();
        assert_eq!(removals.iter().map(|r| r.account).collect::<Vec<_>>(), [first]);
    }

    #[test]
    fn traces_of_removals_are_bounded() {
        let mut store = store();
        for _ in 0..limits::REMOVED_REMEMBERED + 3 {
            store.insert(&account("lior", "lior1")).unwrap().unwrap();
            store.remove("lior1").unwrap();
        }
        let removals = store.removals_after(0).unwrap();
        assert_eq!(removals.len(), limits::REMOVED_REMEMBERED);
        assert_eq!(removals.last().unwrap().number, store.last_removal().unwrap());
    }
}
