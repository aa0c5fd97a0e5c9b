//! Who someone is: name, user name, password; and the password file.
//!
//! Knows the rules shared with the server. Knows no connection and asks nobody. A password
//! lives in buffers that are wiped.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::ClientError;
use crate::limits;
use crate::protocol::text::{self, Field};

/// What one signs up and logs in with.
#[derive(Clone)]
pub(super) struct Credentials {
    /// The name others see.
    pub(super) name: String,
    /// The name of the account.
    pub(super) user_name: String,
    /// The password.
    pub(super) password: Zeroizing<String>,
}

/// What was given as options, checked. What is `None` may be asked.
#[derive(Default)]
pub(super) struct Given {
    pub(super) name: Option<String>,
    pub(super) user_name: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
}

impl Given {
    /// Reads and checks what was given.
    ///
    /// # Errors
    /// The password file cannot be read, or a rule is broken.
    pub(super) fn new(
        name: Option<&str>,
        user_name: Option<&str>,
        password_file: Option<&Path>,
    ) -> Result<Self, ClientError> {
        let checked = |option, field, value: &str| {
            text::check(field, value).map_err(|rule| ClientError::Given { option, rule })
        };
        if let Some(name) = name {
            checked("--name", Field::Name, name)?;
        }
        if let Some(user_name) = user_name {
            checked("--user", Field::UserName, user_name)?;
        }
        let password = password_file.map(read_password_file).transpose()?;
        if let Some(password) = &password {
            checked("--password-file", Field::Password, password)?;
        }
        Ok(Self {
            name: name.map(str::to_owned),
            user_name: user_name.map(str::to_owned),
            password,
        })
    }

    /// Everything was given.
    pub(super) fn is_complete(&self) -> bool {
        self.name.is_some() && self.user_name.is_some() && self.password.is_some()
    }
}

/// The first line of the file at `path`.
fn read_password_file(path: &Path) -> Result<Zeroizing<String>, ClientError> {
    let failed = |source| ClientError::PasswordFile { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    // One buffer of the full size: a growing one would leave copies behind.
    let mut bytes = Zeroizing::new([0; limits::PASSWORD_FILE_BYTES_MAX]);
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    first_line(&bytes[..length]).map_err(failed)
}

fn first_line(bytes: &[u8]) -> io::Result<Zeroizing<String>> {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok("") => Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is empty")),
        Ok(line) => Ok(Zeroizing::new(line.to_owned())),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for bytes in [&b"se cret"[..], b"se cret\n", b"se cret\r\n", b"se cret\nmore"] {
            assert_eq!(first_line(bytes).expect("password").as_str(), "se cret");
        }
        for bytes in [&b""[..], b"\nsecret", b"\r\n", b"\xff\n"] {
            assert!(first_line(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_was_given_is_checked_and_never_quoted() {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), "cana:ry\n").expect("write");
        let error = Given::new(Some("lior"), Some("user"), Some(file.path())).err().expect("rule");
        assert!(error.to_string().starts_with("--password-file: "), "{error}");
        assert!(!error.to_string().contains("cana"), "{error}");
        assert!(!format!("{error:?}").contains("cana"));
        assert!(Given::new(Some("a(b"), None, None).is_err());
        assert!(Given::new(None, Some("abc"), None).is_err());
        assert!(!Given::new(Some("lior"), Some("user"), None).expect("given").is_complete());
    }
}
