//! The tables of the accounts' database, and how older ones become newer ones.
//!
//! Knows SQL that defines. Knows no path, and not what the rows are used for.

use rusqlite::{Connection, TransactionBehavior};

/// Marks a SQLite file as ours ("chwn"), in the header at every version.
pub(super) const APPLICATION_ID: u32 = 0x6368_776e;

/// Each entry takes the database from the version of its position to the next. An entry
/// that has been released never changes.
pub(super) const MIGRATIONS: &[&str] = &[
    // AUTOINCREMENT: a key is never used again, so that the session of a removed account
    // cannot be taken for one of a newer account. The trigger leaves the removal's trace
    // also when a foreign hand deletes the row.
    "CREATE TABLE account (
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
    END;",
    // What was said bears a name, not an account: it stays when the account is removed, and
    // in the room are names that never had one. The key of a sanction is what its target is
    // compared by, the target is what the operator typed.
    "CREATE TABLE history (
        number INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        name TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE TABLE sanction (
        kind TEXT NOT NULL,
        target_kind TEXT NOT NULL,
        target_key TEXT NOT NULL,
        target TEXT NOT NULL,
        until INTEGER,
        PRIMARY KEY (kind, target_kind, target_key)
    ) STRICT, WITHOUT ROWID;",
];

/// The version from which on there are accounts.
pub(super) const ACCOUNTS_VERSION: u32 = 1;

/// Why a database was not brought up to date.
#[derive(Debug)]
pub(super) enum MigrateError {
    /// A later chinwag made it.
    Newer {
        /// Its version.
        version: u32,
    },
    /// SQLite refused.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for MigrateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The version `connection`'s database is at; 0 for an empty one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings the database to the last of `migrations`, whole or not at all.
///
/// # Errors
/// A newer database, which stays as it is; what SQLite says.
pub(super) fn migrate(
    connection: &mut Connection,
    migrations: &[&str],
) -> Result<(), MigrateError> {
    // Checked without a write lock: a database that is read-only but up to date will do.
    if pending(connection, migrations)?.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Once more, now that nobody else can change it.
    for migration in pending(&transaction, migrations)? {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", migrations.len() as u32)?;
    transaction.commit()?;
    // Whoever opens the file first reads its header without SQLite: the version must not
    // stand in the write-ahead log alone.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

fn pending<'a>(
    connection: &Connection,
    migrations: &'a [&'a str],
) -> Result<&'a [&'a str], MigrateError> {
    let version = version(connection)?;
    usize::try_from(version)
        .ok()
        .and_then(|done| migrations.get(done..))
        .ok_or(MigrateError::Newer { version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_pending_runs() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x)"]).unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x)", "CREATE TABLE b (x)"]).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
        connection.execute_batch("SELECT a.x, b.x FROM a, b").unwrap();
        let newer = migrate(&mut connection, &["CREATE TABLE a (x)"]);
        assert!(matches!(newer, Err(MigrateError::Newer { version: 2 })));
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = migrate(&mut connection, &["CREATE TABLE a (x)", "CREATE TABLE a (x)"]);
        assert!(matches!(broken, Err(MigrateError::Sqlite(_))));
        assert_eq!(version(&connection).unwrap(), 0);
        connection.execute_batch("CREATE TABLE a (x)").unwrap();
    }
}
