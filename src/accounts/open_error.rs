//! Why the accounts cannot be opened, in words that say what to do.
//!
//! Knows reasons. Opens nothing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::password::HashError;
use crate::protocol::text;

/// The accounts cannot be opened. Its text is one line.
#[derive(Debug)]
pub struct OpenError {
    /// The file, as far as it was resolved.
    pub path: PathBuf,
    /// The reason.
    pub kind: OpenErrorKind,
}

/// Why the accounts cannot be opened.
#[derive(Debug)]
pub enum OpenErrorKind {
    /// No `--data`, and the system does not say where the user's home is.
    NoHome,
    /// Another server holds the file.
    InUse,
    /// The lock beside the file cannot be taken.
    CannotLock(io::Error),
    /// There is no such file, or nothing in it, where one is needed.
    Absent,
    /// A directory, pipe or device.
    NotAFile,
    /// The file cannot be read or created.
    Io(io::Error),
    /// Not a SQLite file.
    NotADatabase,
    /// A SQLite file of another program.
    Foreign,
    /// Made by a later chinwag.
    Newer {
        /// The version of its tables.
        version: u32,
    },
    /// A SQLite file with broken pages, and what is broken.
    Damaged(String),
    /// SQLite refuses, and says why.
    Sqlite(rusqlite::Error),
    /// Passwords cannot be hashed.
    Hash(HashError),
    /// The system gives no thread.
    Thread(io::Error),
    /// The thread of the database failed; it has logged why.
    NoAnswer,
}

impl OpenErrorKind {
    /// This reason, for the file `path`.
    pub(super) fn at(self, path: &Path) -> OpenError {
        OpenError { path: path.to_owned(), kind: self }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path may hold anything; this is one line of a terminal.
        let path = self.path.to_string_lossy();
        let path = text::clean(&path);
        match &self.kind {
            OpenErrorKind::NoHome => {
                f.write_str("there is no home directory to keep the accounts in; give --data FILE")
            }
            OpenErrorKind::InUse => {
                write!(f, "another chinwag serves {path}; stop it, or give another --data FILE")
            }
            OpenErrorKind::CannotLock(error) => {
                write!(
                    f,
                    "{path}.lock cannot be locked ({error}); make its directory writable, or give another --data FILE"
                )
            }
            OpenErrorKind::Absent => {
                write!(
                    f,
                    "there are no accounts in {path}; a server creates it, or give the right --data FILE"
                )
            }
            OpenErrorKind::NotAFile => {
                write!(f, "{path} is not a file; give --data FILE")
            }
            OpenErrorKind::Io(error) => {
                write!(f, "{path} cannot be opened: {error}; mend it, or give another --data FILE")
            }
            OpenErrorKind::NotADatabase => {
                write!(
                    f,
                    "{path} is not a database, or damaged; left as it is: restore it, or give another --data FILE"
                )
            }
            OpenErrorKind::Foreign => {
                write!(
                    f,
                    "{path} is a database of another program; left as it is: give another --data FILE"
                )
            }
            OpenErrorKind::Newer { version } => {
                write!(
                    f,
                    "{path} was made by a later chinwag (version {version}); left as it is: use that one, or give another --data FILE"
                )
            }
            OpenErrorKind::Damaged(found) => {
                let found = found.lines().next().unwrap_or_default();
                write!(
                    f,
                    "{path} is damaged ({found}); left as it is: restore it, or give another --data FILE"
                )
            }
            OpenErrorKind::Sqlite(error) => {
                write!(f, "{path} cannot be used: {error}; mend it, or give another --data FILE")
            }
            OpenErrorKind::Hash(error) => write!(f, "{error}"),
            OpenErrorKind::Thread(error) => {
                write!(f, "no thread for the accounts: {error}; raise the limit of threads")
            }
            OpenErrorKind::NoAnswer => {
                write!(f, "{path} is not answered for: its thread failed, see above; start again")
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            OpenErrorKind::CannotLock(error)
            | OpenErrorKind::Io(error)
            | OpenErrorKind::Thread(error) => Some(error),
            OpenErrorKind::Sqlite(error) => Some(error),
            OpenErrorKind::Hash(error) => Some(error),
            OpenErrorKind::NoHome
            | OpenErrorKind::InUse
            | OpenErrorKind::Absent
            | OpenErrorKind::NotAFile
            | OpenErrorKind::NotADatabase
            | OpenErrorKind::Foreign
            | OpenErrorKind::Newer { .. }
            | OpenErrorKind::Damaged(_)
            | OpenErrorKind::NoAnswer => None,
        }
    }
}
