//! The control socket as a file: made, taken over from a server that was killed, removed.
//!
//! Nobody but its owner may connect, from the first moment on. Two servers that start at
//! the same time keep out of each other's way by a lock on the directory, which leaves
//! nothing behind.
//!
//! Knows paths, modes and sockets. Knows not what is said over them.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::place;
use crate::limits;
use crate::protocol::text;

/// A control socket cannot be made. Its text is one line.
#[derive(Debug)]
pub struct ControlError {
    /// The socket, or the directory that it should lie in.
    pub path: PathBuf,
    /// The reason.
    pub fault: Fault,
}

/// Why a control socket cannot be made.
#[derive(Debug)]
pub enum Fault {
    /// More bytes than the address of a socket holds.
    TooLong,
    /// A server answers there.
    InUse,
    /// Something else has this name. It is left alone.
    NotASocket,
    /// The directory is a file or a symbolic link.
    NotADirectory,
    /// The directory belongs to somebody else.
    Anothers,
    /// Others may use the directory: its mode.
    Open(u32),
    /// The system refuses: what, and why.
    System(&'static str, io::Error),
}

impl Fault {
    /// This reason, at `path`.
    pub(super) fn at(self, path: &Path) -> ControlError {
        ControlError { path: path.to_owned(), fault: self }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        match &self.fault {
            Fault::TooLong => {
                let bytes = self.path.as_os_str().len();
                write!(f, "{path} has {bytes} bytes, and a socket's path about 100 at the most")
            }
            Fault::InUse => write!(f, "another server answers at {path}"),
            Fault::NotASocket => write!(f, "{path} is something else already"),
            Fault::NotADirectory => write!(f, "{path} is no directory"),
            Fault::Anothers => write!(f, "the directory {path} belongs to another user"),
            Fault::Open(mode) => {
                write!(f, "the directory {path} is open to others (mode {mode:o}, not 700)")
            }
            Fault::System(what, error) => write!(f, "cannot {what} {path}: {error}"),
        }
    }
}

impl std::error::Error for ControlError {}

/// A path for people to read. It may hold anything; this is one line of a terminal.
pub(super) fn shown(path: &Path) -> String {
    text::clean(&path.to_string_lossy()).into_owned()
}

/// A socket that callers can connect to. Its file goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
    port: Option<u16>,
}

impl ControlSocket {
    /// A socket at `path`.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn at(path: &Path) -> Result<Self, ControlError> {
        let (listener, file) = claim(path).map_err(|fault| fault.at(path))?;
        Ok(Self { listener, file, port: None })
    }

    /// A socket where `chinwag admin --port PORT` looks for it.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn of_port(port: u16) -> Result<Self, ControlError> {
        // There always is one.
        let directory = place::directories().into_iter().next().unwrap_or_default();
        place::make(&directory)?;
        let socket = Self::at(&directory.join(place::name(port)))?;
        Ok(Self { port: Some(port), ..socket })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The options by which `chinwag admin` finds it, as a shell takes them.
    pub fn options(&self) -> String {
        match self.port {
            Some(port) => format!("--port {port}"),
            None => format!("--control {}", quoted(&shown(self.path()))),
        }
    }
}

/// In quotes, if a shell would take it for something else.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// A socket's file, removed when dropped, if it is still the same.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// What tells a file from another of the same name.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Who has moved it away and put another there wants that one to stay. No other server
        // has: it takes over from dead ones only.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove {}: {error}", shown(&self.path));
        }
    }
}

fn claim(path: &Path) -> Result<(UnixListener, SocketFile), Fault> {
    let system = |what| move |error| Fault::System(what, error);
    let address = SockAddr::unix(path).map_err(|_| Fault::TooLong)?;
    let _held = hold(path);
    if leftover(path, &address)? {
        log::info!("{} was left behind: taken over", shown(path));
        fs::remove_file(path).map_err(system("remove"))?;
    }
    let socket = socket().map_err(system("make a socket for"))?;
    // On Linux the file takes its mode from the socket. Without it there is nothing to set.
    let socket = File::from(OwnedFd::from(socket));
    let _ = socket.set_permissions(Permissions::from_mode(0o600));
    let socket = Socket::from(OwnedFd::from(socket));
    socket.bind(&address).map_err(system("make the control socket"))?;
    let identity = identity(path).map_err(system("find"))?;
    let file = SocketFile { path: path.to_owned(), identity };
    // Elsewhere it has the mode that the umask leaves; nobody can connect before `listen`.
    let mode = fs::symlink_metadata(path).map_err(system("find"))?.mode() & 0o777;
    if mode != 0o600 {
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(system("protect"))?;
    }
    socket.listen(limits::CONTROL_BACKLOG).map_err(system("listen at"))?;
    Ok((UnixListener::from(OwnedFd::from(socket)), file))
}

fn socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM, None)
}

/// Whether there is a socket at `path` that nobody listens on any more.
fn leftover(path: &Path, address: &SockAddr) -> Result<bool, Fault> {
    let cannot_tell = |error| Fault::System("tell whether a server answers at", error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Fault::System("look at", error)),
        Ok(found) if !found.file_type().is_socket() => return Err(Fault::NotASocket),
        Ok(_) => {}
    }
    let socket = socket().map_err(cannot_tell)?;
    // A queue of callers that is full says "would block" rather than have us wait.
    socket.set_nonblocking(true).map_err(cannot_tell)?;
    match socket.connect(address) {
        Ok(()) => Err(Fault::InUse),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Err(Fault::InUse),
            io::ErrorKind::ConnectionRefused => Ok(true),
            // Its server has ended meanwhile.
            io::ErrorKind::NotFound => Ok(false),
            _ => Err(cannot_tell(error)),
        },
    }
}

/// Keeps other servers from making sockets in the directory of `path` until the file that is
/// returned is closed. Where directories cannot be locked, two servers would have to start
/// within the same millisecond to need it.
fn hold(path: &Path) -> Option<File> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = File::open(directory).ok()?;
    let until = Instant::now() + limits::CONTROL_CLAIM_WAIT;
    loop {
        match directory.try_lock() {
            Ok(()) => return Some(directory),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;

    fn fault(path: &Path) -> Fault {
        ControlSocket::at(path).unwrap_err().fault
    }

    #[test]
    fn only_its_owner_may_connect_and_it_goes() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("control");
        let socket = ControlSocket::at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        assert!(matches!(fault(&path), Fault::InUse));
        drop(socket);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_that_nobody_listens_on_is_taken_over() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("control");
        drop(UnixListener::bind(&path).unwrap());
        let _socket = ControlSocket::at(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_not_ours_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("control");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(fault(&path), Fault::NotASocket));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let link = scratch.path().join("link");
        symlink("nowhere", &link).unwrap();
        assert!(matches!(fault(&link), Fault::NotASocket));

        let path = scratch.path().join("ours");
        let socket = ControlSocket::at(&path).unwrap();
        fs::rename(&path, scratch.path().join("moved")).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(socket);
        assert_eq!(fs::read(&path).unwrap(), b"another's");
    }

    #[test]
    fn a_full_queue_of_callers_is_a_server_too() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("control");
        let address = SockAddr::unix(&path).unwrap();
        let _socket = ControlSocket::at(&path).unwrap();
        let caller = || {
            let caller = socket().unwrap();
            caller.set_nonblocking(true).unwrap();
            caller.connect(&address).is_ok().then_some(caller)
        };
        let callers: Vec<Socket> = std::iter::from_fn(caller).take(1_000).collect();
        assert!(callers.len() < 1_000);
        assert!(matches!(fault(&path), Fault::InUse));
    }

    #[test]
    fn texts_are_one_line_that_names_the_path() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
        assert!(matches!(fault(&path), Fault::TooLong));
        let text = ControlSocket::at(&path).unwrap_err().to_string();
        assert!(text.contains("205 bytes") && !text.contains('\n'), "{text}");
        let text = Fault::Open(0o755).at(Path::new("/tmp/a\nb")).to_string();
        assert!(text.contains("mode 755") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn one_of_many_that_start_at_once_has_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("control");
        drop(UnixListener::bind(&path).unwrap());
        let made: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| ControlSocket::at(&path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn options_can_be_typed_as_they_are() {
        assert_eq!(quoted("/run/chinwag-1/a.sock"), "/run/chinwag-1/a.sock");
        assert_eq!(quoted("/my dir/it's"), r"'/my dir/it'\''s'");
    }
}
