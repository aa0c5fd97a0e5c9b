//! The chat itself, on two threads: one says, this one hears.
//!
//! Knows the socket, and when a connection that ends was meant to. Knows neither what is
//! said nor how it is shown.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::error::ClientError;
use super::link;
use super::say::Mouth;
use super::show::{self, Ear};

/// How a chat ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// We left, and the server closed.
    Left,
    /// We left, and the server did not close in time.
    NoFarewell,
    /// We left, and the connection broke: our last words may be lost.
    CutOff,
    /// The server said that it is shutting down.
    ServerShutDown,
    /// The connection ended, or broke, and nobody had asked for it.
    Lost,
    /// Nobody reads what we show.
    OutputClosed,
}

/// How one leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave {
    /// What is sent last.
    pub(super) word: &'static [u8],
    /// How long the server may stay silent afterwards.
    pub(super) wait: Duration,
}

/// What both threads see.
#[derive(Default)]
struct Shared {
    /// We have left, or are about to.
    leaving: AtomicBool,
    /// The server did not close in time.
    given_up: AtomicBool,
    /// Grows with everything heard.
    heard: AtomicU64,
}

/// Says what the mouth yields and lets `ear` hear what arrives, until either ends it.
/// `make_mouth` is called on the thread that says.
///
/// # Errors
/// The thread cannot be started, or what is heard cannot be shown.
pub(super) fn run(
    stream: &TcpStream,
    make_mouth: impl FnOnce() -> Mouth + Send + 'static,
    leave: Leave,
    ear: &mut dyn Ear,
) -> Result<End, ClientError> {
    let shared = Arc::new(Shared::default());
    // Dropped when hearing ends: what the other thread waits for after its last word.
    let (_over, until_over) = mpsc::channel::<()>();
    let theirs = Arc::clone(&shared);
    let out = stream.try_clone().map_err(ClientError::io("share the connection"))?;
    std::thread::Builder::new()
        .name("says".to_owned())
        .spawn(move || say(&out, make_mouth(), leave, &theirs, &until_over))
        .map_err(ClientError::io("start a thread"))?;
    hear(stream, ear, &shared)
}

fn say(
    mut stream: &TcpStream,
    mut mouth: Mouth,
    leave: Leave,
    shared: &Shared,
    until_over: &mpsc::Receiver<()>,
) {
    while let Some(words) = mouth() {
        if stream.write_all(&words).is_err() {
            // The connection is gone: whoever hears it notices, and says so.
            return;
        }
    }
    shared.leaving.store(true, Ordering::SeqCst);
    // Failures here, too, are noticed by hearing.
    let _ = stream.write_all(leave.word);
    let _ = stream.shutdown(Shutdown::Write);
    loop {
        let before = shared.heard.load(Ordering::SeqCst);
        match until_over.recv_timeout(leave.wait) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        if before == shared.heard.load(Ordering::SeqCst) {
            shared.given_up.store(true, Ordering::SeqCst);
            // Wakes whoever hears.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn hear(mut stream: &TcpStream, ear: &mut dyn Ear, shared: &Shared) -> Result<End, ClientError> {
    let mut buffer = vec![0; 16 * 1024];
    // Something may have arrived together with the last answer before the chat.
    let mut count = 0;
    loop {
        match ear.hear(&buffer[..count]) {
            Ok(false) => {}
            Ok(true) => return Ok(End::ServerShutDown),
            Err(error) => {
                link::close_politely(stream);
                return unshown(error);
            }
        }
        let broken = match stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(arrived) => {
                shared.heard.fetch_add(1, Ordering::SeqCst);
                count = arrived;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                count = 0;
                continue;
            }
            Err(_) => true,
        };
        return match ear.end() {
            Ok(true) => Ok(End::ServerShutDown),
            Err(error) => unshown(error),
            Ok(false) if shared.given_up.load(Ordering::SeqCst) => Ok(End::NoFarewell),
            Ok(false) if !shared.leaving.load(Ordering::SeqCst) => Ok(End::Lost),
            Ok(false) if broken => Ok(End::CutOff),
            Ok(false) => Ok(End::Left),
        };
    }
}

/// What is heard cannot be shown: because nobody reads it any more, or for another reason.
fn unshown(error: io::Error) -> Result<End, ClientError> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(End::OutputClosed),
        _ => Err(show::failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::show::{ByteEar, Look};
    use std::net::TcpListener;

    const WORDS: &[u8] = b"said\n";

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let ours = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        (ours, listener.accept().expect("accept").0)
    }

    fn once() -> Mouth {
        let mut words = Some(WORDS.to_vec());
        Box::new(move || words.take())
    }

    fn silent() -> Mouth {
        Box::new(|| {
            loop {
                std::thread::park();
            }
        })
    }

    fn chat(ours: &TcpStream, mouth: fn() -> Mouth, wait: u64) -> (End, Vec<u8>) {
        let look = Look { clean: false, colour: false };
        let mut ear = ByteEar { look, out: Vec::new(), unfinished: Vec::new() };
        let leave = Leave { word: b"bye", wait: Duration::from_millis(wait) };
        let end = run(ours, mouth, leave, &mut ear).expect("thread");
        (end, ear.out)
    }

    #[test]
    fn leaving_says_everything_and_hears_everything() {
        let (ours, mut theirs) = pair();
        let server = std::thread::spawn(move || {
            let mut heard = Vec::new();
            theirs.read_to_end(&mut heard).expect("read");
            theirs.write_all(b"farewell").expect("write");
            heard
        });
        assert_eq!(chat(&ours, once, 30_000), (End::Left, b"farewell".to_vec()));
        assert_eq!(server.join().expect("server"), b"said\nbye");
    }

    #[test]
    fn a_server_that_never_closes_is_given_up() {
        let (ours, _theirs) = pair();
        assert_eq!(chat(&ours, once, 50).0, End::NoFarewell);
    }

    #[test]
    fn a_server_that_still_talks_is_not_given_up() {
        let (ours, mut theirs) = pair();
        let server = std::thread::spawn(move || {
            theirs.read_to_end(&mut Vec::new()).expect("read");
            for _ in 0..20 {
                theirs.write_all(b".").expect("write");
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        assert_eq!(chat(&ours, once, 1_000), (End::Left, vec![b'.'; 20]));
        server.join().expect("server");
    }

    #[test]
    fn a_reset_after_the_last_word_is_told_apart() {
        let (ours, mut theirs) = pair();
        let server = std::thread::spawn(move || {
            // Closing with something unread resets the connection.
            theirs.read_exact(&mut [0; WORDS.len()]).expect("read");
            assert_eq!(theirs.peek(&mut [0]).expect("the last word has arrived"), 1);
        });
        assert_eq!(chat(&ours, once, 30_000).0, End::CutOff);
        server.join().expect("server");
    }

    #[test]
    fn a_connection_that_ends_by_itself_is_lost() {
        let (ours, theirs) = pair();
        drop(theirs);
        assert_eq!(chat(&ours, silent, 30_000).0, End::Lost);
    }
}
