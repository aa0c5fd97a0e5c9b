//! What is said, on its way to the server: over one connection after another.
//!
//! Knows bytes and the stream they go to. Knows neither what they mean nor what comes back.
//! Bounded: who types is told, and never waits.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::limits;

/// The way out.
#[derive(Debug, Default)]
pub(super) struct Wire {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stream: Option<Arc<TcpStream>>,
    /// May hold a password.
    queue: VecDeque<Zeroizing<Vec<u8>>>,
    bytes: usize,
    leaving: bool,
    /// Grows with everything that goes out or comes in.
    progress: u64,
}

/// Why a line was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsaid {
    /// There is no connection now.
    NotConnected,
    /// The server takes nothing, and too much waits already.
    Full,
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the queue as good as it was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line to be sent, without its line feed.
    pub(super) fn say(&self, line: &str) -> Result<(), Unsaid> {
        let mut state = self.state();
        if state.stream.is_none() {
            return Err(Unsaid::NotConnected);
        }
        if state.bytes + line.len() > limits::SAID_QUEUE_BYTES_MAX {
            return Err(Unsaid::Full);
        }
        // Of the right size from the start: a growing buffer would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(line.len() + 1));
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        state.bytes += bytes.len();
        state.queue.push_back(bytes);
        self.changed.notify_all();
        Ok(())
    }

    /// From now on `stream` is the connection. False: the person has left.
    pub(super) fn connect(&self, stream: Arc<TcpStream>) -> bool {
        let mut state = self.state();
        if state.leaving {
            return false;
        }
        state.stream = Some(stream);
        self.changed.notify_all();
        true
    }

    /// The connection is gone. What waited for it waits for the next one.
    pub(super) fn disconnect(&self) {
        if let Some(stream) = self.state().stream.take() {
            // Whoever writes to it must not wait for a peer that is only half gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Nothing more will be said. False: there is nobody to say goodbye to.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state();
        state.leaving = true;
        self.changed.notify_all();
        state.stream.is_some()
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.state().leaving
    }

    /// Waits, unless the person leaves.
    pub(super) fn pause(&self, wait: Duration) {
        drop(self.changed.wait_timeout_while(self.state(), wait, |state| !state.leaving));
    }

    /// Something was heard.
    pub(super) fn note_progress(&self) {
        self.state().progress += 1;
    }

    /// Differs when something went out or came in.
    pub(super) fn progress(&self) -> u64 {
        self.state().progress
    }

    /// Sends what is said, to the end; `word` last. For a thread of its own: a write may
    /// wait for the server.
    pub(super) fn speak(&self, word: &[u8]) {
        loop {
            let mut state = self
                .changed
                .wait_while(self.state(), |state| {
                    let nothing = state.stream.is_none() || state.queue.is_empty();
                    nothing && !state.leaving
                })
                .unwrap_or_else(PoisonError::into_inner);
            let Some(stream) = state.stream.clone() else { return };
            let Some(bytes) = state.queue.pop_front() else {
                drop(state);
                // Failures here are noticed by who hears.
                let _ = (&*stream).write_all(word);
                let _ = stream.shutdown(Shutdown::Write);
                return;
            };
            state.bytes -= bytes.len();
            drop(state);
            let sent = (&*stream).write_all(&bytes);
            let mut state = self.state();
            state.progress += 1;
            let current = state.stream.as_ref().is_some_and(|now| Arc::ptr_eq(now, &stream));
            if sent.is_err() && current {
                // Who hears notices, and says so. This line may have arrived: it is not said
                // twice.
                state.stream = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::TcpListener;

    fn pair() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let ours = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        (Arc::new(ours), listener.accept().expect("accept").0)
    }

    #[test]
    fn everything_is_said_before_the_last_word() {
        let wire = Arc::new(Wire::default());
        let (ours, mut theirs) = pair();
        assert_eq!(wire.say("early"), Err(Unsaid::NotConnected));
        assert!(wire.connect(ours));
        wire.say("one").expect("said");
        wire.say("two").expect("said");
        assert!(wire.leave());
        wire.speak(b"bye\n");
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).expect("heard");
        assert_eq!(heard, "one\ntwo\nbye\n");
        assert!(!wire.connect(pair().0), "who has left does not come back");
    }

    #[test]
    fn what_waits_goes_to_the_next_connection() {
        let wire = Arc::new(Wire::default());
        assert!(wire.connect(pair().0));
        wire.say("one").expect("said");
        wire.disconnect();
        assert_eq!(wire.say("two"), Err(Unsaid::NotConnected));
        let (ours, mut theirs) = pair();
        assert!(wire.connect(ours));
        assert!(wire.leave());
        wire.speak(b"");
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).expect("heard");
        assert_eq!(heard, "one\n");
    }

    #[test]
    fn without_a_connection_one_just_leaves() {
        let wire = Wire::default();
        assert!(!wire.leave() && wire.is_leaving());
        wire.speak(b"bye");
        wire.pause(Duration::from_secs(3_600));
    }

    #[test]
    fn what_waits_is_bounded() {
        let wire = Wire::default();
        let (ours, _theirs) = pair();
        assert!(wire.connect(ours));
        let line = "x".repeat(limits::SAID_LINE_BYTES_MAX);
        let mut taken = 0;
        while wire.say(&line).is_ok() {
            taken += line.len();
        }
        assert_eq!(wire.say(&line), Err(Unsaid::Full));
        assert!(taken <= limits::SAID_QUEUE_BYTES_MAX);
        wire.say("still short enough").expect("said");
    }
}
