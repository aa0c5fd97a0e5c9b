//! What goes wrong with the database, and when that is worth a line in the log: when it
//! begins and when it ends, not how often it is met.
//!
//! Knows errors and whether the last try worked. Knows no table.

use std::fmt;
use std::path::Path;

use log::{error, info};
use rusqlite::ErrorCode;

use super::open_error::{OpenError, OpenErrorKind};

/// Why the store did not do what it was asked.
pub(super) enum Trouble {
    Sqlite(rusqlite::Error),
    Reopening(OpenError),
    MemoryLost,
}

impl Trouble {
    pub(super) fn is_read_only(&self) -> bool {
        self.code() == Some(ErrorCode::ReadOnly)
    }

    /// Another process holds the database.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// Nothing is wrong with the connection.
    pub(super) fn is_passing(&self) -> bool {
        self.is_busy() || self.code() == Some(ErrorCode::DiskFull)
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Reopening(_) | Self::MemoryLost => None,
        }
    }

    /// The same for who starts a server on `path`.
    pub(super) fn at(self, path: &Path) -> OpenError {
        match self {
            Self::Sqlite(error) => OpenErrorKind::from(error).at(path),
            Self::Reopening(error) => error,
            Self::MemoryLost => OpenErrorKind::NoAnswer.at(path),
        }
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
pub(super) struct Health {
    what: &'static str,
    well: bool,
}

impl Health {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, well: true }
    }

    /// Logs an error that follows a success, and a success that follows an error.
    pub(super) fn note<T>(&mut self, result: Result<T, Trouble>) -> Option<T> {
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
