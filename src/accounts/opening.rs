//! Finding, checking, creating and locking the file of the accounts.
//!
//! Knows paths, modes, the file's header and the lock beside it. Knows no account. A file
//! that is refused keeps every byte: it is looked at before SQLite may write, since SQLite
//! leaves a log beside whatever it opens for writing.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::open_error::{OpenError, OpenErrorKind};
use super::schema::{self, MigrateError};
use super::store::Store;
use crate::limits;

/// Where the accounts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In this file, which is created when it is absent or empty.
    File(PathBuf),
    /// In memory: they end with the server.
    Memory,
}

impl Location {
    /// What `--data` means: a file, `:memory:`, or without it the default file.
    ///
    /// # Errors
    /// Without it only: the system does not say where the user's home is.
    pub fn of(data: Option<&Path>) -> Result<Self, OpenError> {
        match data {
            Some(path) if path == Path::new(":memory:") => Ok(Self::Memory),
            Some(path) => Ok(Self::File(path.to_owned())),
            None => default_path().map(Self::File),
        }
    }
}

/// `chinwag/accounts.db` in the user's data directory (XDG).
///
/// # Errors
/// The system does not say where the user's home is.
pub fn default_path() -> Result<PathBuf, OpenError> {
    let directories = etcetera::choose_base_strategy()
        .map_err(|_| OpenErrorKind::NoHome.at(Path::new("chinwag/accounts.db")))?;
    Ok(directories.data_dir().join("chinwag").join("accounts.db"))
}

/// A database opened by a server.
pub(super) struct Served {
    pub(super) store: Store,
    /// The file, symbolic links resolved; none in memory.
    pub(super) path: Option<PathBuf>,
    /// Held as long as the server lives, and never unlinked: a lock on a file that has no
    /// name any more keeps nobody out.
    pub(super) lock: Option<File>,
}

/// Opens the accounts for a server: creates what is absent, keeps other servers out.
///
/// # Errors
/// See [`OpenError`].
pub(super) fn serve(location: &Location) -> Result<Served, OpenError> {
    let given = match location {
        Location::File(path) => path,
        Location::Memory => {
            let store = Connection::open_in_memory().map_err(MigrateError::from);
            let store = store.and_then(|connection| prepare(connection, true));
            let store = store.map_err(|error| migration(error).at(Path::new(":memory:")))?;
            return Ok(Served { store, path: None, lock: None });
        }
    };
    let path = create(given).map_err(|kind| kind.at(given))?;
    // Before the lock, which leaves a file beside it; the pages after it, when no other
    // server is changing them.
    let serve = || {
        let empty = header(&path)? == Header::Empty;
        let lock = lock(&path)?;
        if !empty {
            check_pages(&path)?;
        }
        let store = prepare(connect(&path)?, true).map_err(migration)?;
        Ok(Served { store, path: Some(path.clone()), lock: Some(lock) })
    };
    serve().map_err(|kind: OpenErrorKind| kind.at(&path))
}

/// Opens an existing file beside the server that may be using it.
///
/// # Errors
/// See [`OpenError`].
pub(super) fn visit(given: &Path) -> Result<Store, OpenError> {
    let visit = || {
        let path = fs::canonicalize(given).map_err(OpenErrorKind::from)?;
        if header(&path)? == Header::Empty {
            return Err(OpenErrorKind::Absent);
        }
        check_pages(&path)?;
        prepare(connect(&path)?, false).map_err(migration)
    };
    visit().map_err(|kind| kind.at(given))
}

/// Opens a server's file once more, after trouble. Only while the process has no other
/// connection to it: closing the file after the look at its header drops SQLite's locks.
///
/// # Errors
/// See [`OpenError`].
pub(super) fn reopen(path: &Path) -> Result<Store, OpenError> {
    let reopen = || match header(path)? {
        Header::Empty => Err(OpenErrorKind::Absent),
        Header::Ours => prepare(connect(path)?, false).map_err(migration),
    };
    reopen().map_err(|kind| kind.at(path))
}

/// The real path of `given`, after creating it, empty, with the directories above it.
fn create(given: &Path) -> Result<PathBuf, OpenErrorKind> {
    if !given.try_exists()? {
        if let Some(parent) = given.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(OpenErrorKind::Io)?;
        }
        // SQLite gives its logs the mode of the database.
        let created = OpenOptions::new().append(true).create(true).mode(0o600).open(given);
        created.map_err(OpenErrorKind::Io)?;
    }
    Ok(fs::canonicalize(given)?)
}

#[derive(PartialEq, Eq)]
enum Header {
    Empty,
    Ours,
}

/// Looks at the file's first bytes (<https://sqlite.org/fileformat.html>, 1.3), without
/// SQLite, so that nothing changes. Whose file it is always stands there, not in the log.
fn header(path: &Path) -> Result<Header, OpenErrorKind> {
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(OpenErrorKind::NotAFile);
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    let number = |at: usize| {
        let bytes = header.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    if header.is_empty() {
        return Ok(Header::Empty);
    }
    if header.len() < HEADER_BYTES || !header.starts_with(b"SQLite format 3\0") {
        return Err(OpenErrorKind::NotADatabase);
    }
    match (number(APPLICATION_ID_AT), number(USER_VERSION_AT)) {
        (Some(schema::APPLICATION_ID), Some(version)) => {
            if usize::try_from(version).is_ok_and(|version| version <= schema::MIGRATIONS.len()) {
                Ok(Header::Ours)
            } else {
                Err(OpenErrorKind::Newer { version })
            }
        }
        _ => Err(OpenErrorKind::Foreign),
    }
}

const HEADER_BYTES: usize = 100;
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// Has SQLite look for damage, without writing. A log beside the file belongs to it and is
/// read too; if there is none, none is made. With a journal beside it the file is what a
/// killed process left half written, and ours by its header: SQLite mends it when it opens.
fn check_pages(path: &Path) -> Result<(), OpenErrorKind> {
    if beside(path, "-journal").exists() {
        return Ok(());
    }
    let mut uri = OsString::from("file:").into_encoded_bytes();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(byte),
            byte => uri.extend_from_slice(format!("%{byte:02x}").as_bytes()),
        }
    }
    uri.extend_from_slice(if beside(path, "-wal").exists() {
        b"?mode=ro"
    } else {
        b"?immutable=1"
    });
    // Every byte is ASCII now.
    let uri = String::from_utf8_lossy(&uri).into_owned();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(limits::DATABASE_BUSY_WAIT)?;
    let version = schema::version(&connection)?;
    if version as usize > schema::MIGRATIONS.len() {
        return Err(OpenErrorKind::Newer { version });
    }
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(OpenErrorKind::Damaged(found)) }
}

/// Keeps other servers out until the file that is returned is closed.
fn lock(path: &Path) -> Result<File, OpenErrorKind> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(beside(path, ".lock"))
        .map_err(OpenErrorKind::CannotLock)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenErrorKind::InUse),
        Err(TryLockError::Error(error)) => Err(OpenErrorKind::CannotLock(error)),
    }
}

/// Never creates: a file that has gone is not to come back empty.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // SQLite gives its logs the mode that the file has at the time. Those made while it was
    // read-only would keep it so for ever. What cannot be set here shows in use.
    if let Ok(metadata) = fs::metadata(path) {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::set_permissions(beside(path, suffix), metadata.permissions());
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The tables first, the write-ahead log after: a file is marked as ours before anything
/// of it can stand in the log alone.
fn prepare(connection: Connection, as_server: bool) -> Result<Store, MigrateError> {
    let mut store = Store::new(connection)?;
    store.migrate()?;
    if as_server && store.is_behind() {
        log::warn!(
            "the accounts' database is an older chinwag's and cannot be written: nothing said is kept, no ban and no mute"
        );
    }
    if as_server && !store.use_write_ahead_log()? {
        log::warn!("the accounts' file system has no write-ahead log; sign-ups may be slow");
    }
    Ok(store)
}

fn migration(error: MigrateError) -> OpenErrorKind {
    match error {
        MigrateError::Newer { version } => OpenErrorKind::Newer { version },
        MigrateError::Sqlite(error) => error.into(),
    }
}

impl From<io::Error> for OpenErrorKind {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::IsADirectory => Self::NotAFile,
            _ => Self::Io(error),
        }
    }
}

impl From<rusqlite::Error> for OpenErrorKind {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Sqlite(error),
        }
    }
}
