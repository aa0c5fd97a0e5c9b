//! SIGINT and SIGTERM: the first ends the server as `shutdown` does, the second at once.
//!
//! Knows signals and the mailbox. Knows no room.

use std::io;
use std::process;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::mailbox::{Mail, Postbox};

/// The status of a program that a signal has ended is this and the signal's number.
const KILLED: i32 = 128;

/// Starts to listen.
///
/// # Errors
/// The system has no more threads or descriptors.
pub fn start(postbox: Postbox) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            log::info!("a signal: shutting down; another ends the server at once");
            postbox.post(Mail::ShutDown);
        }
        if let Some(signal) = signals.next() {
            process::exit(KILLED + signal);
        }
    })?;
    Ok(())
}
