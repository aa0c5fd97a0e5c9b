//! A scripted server for tests of the bundled client: byte-exact, every wait bounded.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

#[cfg(unix)]
pub(crate) mod person;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here takes, even on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A port that nobody listens on.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that follows a script.
pub(crate) struct Fake {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    script: JoinHandle<()>,
}

impl Fake {
    pub(crate) fn start(script: impl FnOnce(&Door) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let script = std::thread::spawn(move || script(&Door(listener)));
        Self { port, script }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The script was followed to its end.
    pub(crate) fn done(self) {
        if let Err(panic) = self.script.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Where clients come in.
pub(crate) struct Door(TcpListener);

impl Door {
    pub(crate) fn accept(&self) -> Peer {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.0.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(DEADLINE)).unwrap();
                    stream.set_write_timeout(Some(DEADLINE)).unwrap();
                    return Peer(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < until, "no client came");
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("accept: {error}"),
            }
        }
    }
}

/// A client, seen by the server.
pub(crate) struct Peer(TcpStream);

impl Peer {
    /// These bytes come next.
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let mut got = Vec::new();
        while got.len() < bytes.len() {
            let mut one = [0];
            match self.0.read(&mut one) {
                Ok(1) => got.push(one[0]),
                end => panic!("expected {:?}, got {:?}, then {end:?}", show(bytes), show(&got)),
            }
            assert!(bytes.starts_with(&got), "expected {:?}, got {:?}", show(bytes), show(&got));
        }
    }

    /// Everything up to the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        rest
    }

    /// The client has said its last word.
    pub(crate) fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "more than expected: {:?}", show(&rest));
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Closes as the server does: the last words arrive.
    pub(crate) fn close(self) {
        let _ = self.0.shutdown(Shutdown::Write);
        let _ = self.0.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = std::io::copy(&mut (&self.0).take(64 * 1024), &mut std::io::sink());
    }
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
