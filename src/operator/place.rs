//! Where a server's control socket lies when nobody says where.
//!
//! `chinwag/PORT.sock` in the user's runtime directory (`XDG_RUNTIME_DIR`), or
//! `chinwag-UID/PORT.sock` in the directory for temporary files. Either directory is ours
//! alone: where others may write, one of them could pose as the server.
//!
//! Knows paths, owners and modes. Knows no socket.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::socket::{ControlError, Fault};

/// The directories in which servers may have their sockets. A new server takes the first;
/// who looks for one looks in all: a server that the system has started knows nothing of a
/// session's runtime directory.
pub(super) fn directories() -> Vec<PathBuf> {
    directories_of(env::var_os("XDG_RUNTIME_DIR"), &env::temp_dir(), user())
}

fn directories_of(runtime: Option<OsString>, temporary: &Path, user: u32) -> Vec<PathBuf> {
    // As the specification has it, a relative path is none.
    let runtime = runtime.map(PathBuf::from).filter(|path| path.is_absolute());
    let runtime = runtime.map(|path| path.join("chinwag"));
    // Where most systems have it, for who was not told (`su`, cron).
    let usual = PathBuf::from(format!("/run/user/{user}/chinwag"));
    let usual = Some(usual).filter(|usual| Some(usual) != runtime.as_ref());
    let temporary = temporary.join(format!("chinwag-{user}"));
    runtime.into_iter().chain([temporary]).chain(usual).collect()
}

/// The name of the socket of a server on `port`.
pub(super) fn name(port: u16) -> String {
    format!("{port}.sock")
}

/// The ports of the sockets in `directory`, in order. Servers may have left them behind.
pub(super) fn ports(directory: &Path) -> Vec<u16> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let port = |name: OsString| name.to_str()?.strip_suffix(".sock")?.parse().ok();
    let mut ports: Vec<u16> = entries.filter_map(|entry| port(entry.file_name())).collect();
    ports.sort_unstable();
    ports
}

/// Makes `directory`, unless it is there.
///
/// # Errors
/// It cannot be made, or what is there is not ours alone.
pub(super) fn make(directory: &Path) -> Result<(), ControlError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Fault::System("make the directory", error).at(directory))
        }
        _ => check(directory).map(|_| ()),
    }
}

/// Whether `directory` is there.
///
/// # Errors
/// What is there is not ours alone.
pub(super) fn check(directory: &Path) -> Result<bool, ControlError> {
    check_for(directory, user()).map_err(|fault| fault.at(directory))
}

fn check_for(directory: &Path, user: u32) -> Result<bool, Fault> {
    // Without following a link: whoever made it would choose where it leads.
    let found = match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found.map_err(|error| Fault::System("look at", error))?,
    };
    match found.mode() & 0o777 {
        _ if !found.is_dir() => Err(Fault::NotADirectory),
        _ if found.uid() != user => Err(Fault::Anothers),
        mode if mode & 0o077 != 0 => Err(Fault::Open(mode)),
        _ => Ok(true),
    }
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_runtime_directory_comes_first() {
        let of = |runtime: Option<&str>| {
            let paths = directories_of(runtime.map(OsString::from), Path::new("/tmp"), 1_000);
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(Some("/run/user/1000")), ["/run/user/1000/chinwag", "/tmp/chinwag-1000"]);
        let usual = ["/tmp/chinwag-1000", "/run/user/1000/chinwag"];
        for none in [Some("run"), Some(""), None] {
            assert_eq!(of(none), usual, "{none:?}");
        }
    }

    #[test]
    fn a_directory_must_be_ours_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("chinwag");
        assert!(!check(&directory).unwrap());
        make(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        make(&directory).unwrap();
        assert!(check(&directory).unwrap());
        assert!(matches!(check_for(&directory, user() + 1), Err(Fault::Anothers)));

        let link = scratch.path().join("link");
        symlink(&directory, &link).unwrap();
        assert!(matches!(make(&link).unwrap_err().fault, Fault::NotADirectory));

        for mode in [0o755, 0o710, 0o701, 0o1777] {
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(make(&directory).unwrap_err().fault, Fault::Open(m) if m == mode & 0o777)
            );
        }
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(make(&file).unwrap_err().fault, Fault::NotADirectory));
        let below = scratch.path().join("nowhere/chinwag");
        assert!(matches!(make(&below).unwrap_err().fault, Fault::System(..)));
    }

    #[test]
    fn ports_are_told_from_other_files() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["23791.sock", "4000.sock", "4000.sock.old", "x.sock", "99999.sock"] {
            fs::write(scratch.path().join(name), "").unwrap();
        }
        assert_eq!(ports(scratch.path()), [4_000, 23_791]);
        assert!(ports(&scratch.path().join("nowhere")).is_empty());
    }
}
