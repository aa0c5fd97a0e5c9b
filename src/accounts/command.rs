//! `chinwag accounts`: list, remove, reset a password, also beside a running server.
//!
//! Knows the terminal and the store. Knows no thread and no server: what it changes, the
//! server finds in the database.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::open_error::OpenError;
use super::opening::{self, Location};
use super::password::{HashCost, HashError, Passwords};
use super::store::{Listed, Store};
use crate::cli::{AccountsCommand, AccountsOptions};
use crate::limits;
use crate::protocol::text::{self, Field, TextError};

/// `chinwag accounts` did not do what it was asked. Its text is one line, without secrets.
#[derive(Debug)]
pub enum CommandError {
    /// The database cannot be opened.
    Open(OpenError),
    /// `--data :memory:`.
    InMemory,
    /// SQLite refuses.
    Database(rusqlite::Error),
    /// No account has this user name.
    NoAccount {
        /// The user name asked for.
        user: String,
    },
    /// The new password cannot be read.
    PasswordUnread(io::Error),
    /// The new password breaks a rule.
    PasswordRule(TextError),
    /// The password typed again is another one.
    PasswordsDiffer,
    /// The new password cannot be hashed.
    Hash(HashError),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::InMemory => {
                f.write_str("accounts in memory end with their server; give --data FILE")
            }
            Self::Database(error) => write!(f, "the accounts' database: {error}"),
            Self::NoAccount { user } => {
                let user = text::clean(user);
                write!(f, "no account has the user name {user}; see `chinwag accounts list`")
            }
            Self::PasswordUnread(error) => write!(f, "the password cannot be read: {error}"),
            Self::PasswordRule(error) => error.fmt(f),
            Self::PasswordsDiffer => f.write_str("the two passwords differ; nothing was changed"),
            Self::Hash(error) => error.fmt(f),
            Self::Output(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl std::error::Error for CommandError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Database(error) => Some(error),
            Self::PasswordUnread(error) | Self::Output(error) => Some(error),
            Self::PasswordRule(error) => Some(error),
            Self::Hash(error) => Some(error),
            Self::InMemory | Self::NoAccount { .. } | Self::PasswordsDiffer => None,
        }
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<rusqlite::Error> for CommandError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<HashError> for CommandError {
    fn from(error: HashError) -> Self {
        Self::Hash(error)
    }
}

/// Does what `options` ask for. What a removed person said stays in the history.
///
/// # Errors
/// See [`CommandError`]; nothing was changed then.
pub fn run(options: &AccountsOptions) -> Result<(), CommandError> {
    let Location::File(path) = Location::of(options.data.as_deref())? else {
        return Err(CommandError::InMemory);
    };
    let mut store = opening::visit(&path)?;
    match &options.command {
        AccountsCommand::List => print(&table(&store.list()?)),
        AccountsCommand::Remove { user } => {
            if !store.remove(user)? {
                return Err(CommandError::NoAccount { user: user.clone() });
            }
            print(&format!("{} is removed\n", text::clean(user)))
        }
        AccountsCommand::ResetPassword { user, password_file } => {
            reset_password(&store, user, password_file.as_deref())?;
            print(&format!("{} has a new password\n", text::clean(user)))
        }
    }
}

fn reset_password(store: &Store, user: &str, file: Option<&Path>) -> Result<(), CommandError> {
    let no_account = || CommandError::NoAccount { user: user.to_owned() };
    // Nobody is asked for a password that has no use.
    store.find(user)?.ok_or_else(no_account)?;
    let password = new_password(file)?;
    let hash = Passwords::new(HashCost::default())?.hash(&password)?;
    // It may have been removed in the meantime.
    if store.set_password(user, &hash)? { Ok(()) } else { Err(no_account()) }
}

fn new_password(file: Option<&Path>) -> Result<Zeroizing<String>, CommandError> {
    let unread = CommandError::PasswordUnread;
    let ask = |prompt| rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(unread);
    let terminal = file.is_none() && io::stdin().is_terminal();
    let password = match file {
        Some(file) => first_line(File::open(file).map_err(unread)?).map_err(unread)?,
        None if terminal => ask("New password: ")?,
        None => {
            let input = io::stdin().as_fd().try_clone_to_owned().map_err(unread)?;
            first_line(File::from(input)).map_err(unread)?
        }
    };
    text::check(Field::Password, &password).map_err(CommandError::PasswordRule)?;
    if terminal && ask("Once more: ")? != password {
        return Err(CommandError::PasswordsDiffer);
    }
    Ok(password)
}

/// The first line without its end. Byte by byte: a buffer would keep the password.
fn first_line(mut input: impl Read) -> io::Result<Zeroizing<String>> {
    // One more than may be, so that what is too long is seen to be, and the line's end.
    let bytes_max = (limits::PASSWORD_CHARS_MAX + 1) * char::MAX.len_utf8() + "\r\n".len();
    let mut line = Zeroizing::new(Vec::with_capacity(bytes_max));
    let mut byte = [0];
    while line.len() < bytes_max && !line.ends_with(b"\n") {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => line.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = std::str::from_utf8(&line)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Zeroizing::new(text.to_owned()))
}

/// Aligned columns below a headline. What a foreign hand wrote to the database must not
/// act on the terminal.
fn table(accounts: &[Listed]) -> String {
    let headline = ["USER NAME", "NAME", "SIGNED UP"].map(str::to_owned);
    let rows = accounts.iter().map(|account| {
        [&account.user_name, &account.name, &account.signed_up]
            .map(|cell| text::clean(cell).into_owned())
    });
    let rows: Vec<_> = std::iter::once(headline).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    let line = |[user_name, name, signed_up]: &[String; 3]| {
        format!("{user_name:first$}  {name:second$}  {signed_up}\n")
    };
    rows.iter().map(line).collect()
}

fn print(text: &str) -> Result<(), CommandError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read it has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(CommandError::Output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line() {
        let first = |bytes: &[u8]| first_line(bytes).map(|line| line.to_string());
        assert_eq!(first(b"secret\nmore\n").unwrap(), "secret");
        assert_eq!(first(b"secret\r\n").unwrap(), "secret");
        assert_eq!(first(b"secret").unwrap(), "secret");
        assert_eq!(first(b"").unwrap(), "");
        assert_eq!(first(b"\xff\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
        let longest = "\u{10ffff}".repeat(limits::PASSWORD_CHARS_MAX);
        assert_eq!(first(format!("{longest}\r\n").as_bytes()).unwrap(), longest);
        let longer = first("x".repeat(100_000).as_bytes()).unwrap();
        assert!(text::check(Field::Password, &longer).is_err());
    }

    #[test]
    fn the_table_is_aligned_and_harmless() {
        let account = |user_name: &str, name: &str| Listed {
            user_name: user_name.to_owned(),
            name: name.to_owned(),
            signed_up: "2026-01-02T03:04:05Z".to_owned(),
        };
        let table = table(&[account("zoe1", "Zo\u{eb}"), account("a-long-user", "\u{1b}[31mred")]);
        assert_eq!(
            table,
            "USER NAME    NAME  SIGNED UP\n\
             zoe1         Zo\u{eb}   2026-01-02T03:04:05Z\n\
             a-long-user  red   2026-01-02T03:04:05Z\n"
        );
    }
}
