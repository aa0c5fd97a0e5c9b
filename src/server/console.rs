//! The operator's standard input, read by a thread of its own.
//!
//! Knows lines and the mailbox. Knows no room. The end of input is not the end of the
//! server: it may have been started without any.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};
use std::thread;

use super::mailbox::{Mail, Postbox};
use crate::limits;

/// Starts to listen for `shutdown`.
///
/// # Errors
/// The system has no more threads.
pub fn start(postbox: Postbox) -> io::Result<()> {
    if terminal_is_anothers() {
        log::info!("started in the background: shutdown is not heard here, signals are");
        return Ok(());
    }
    thread::Builder::new()
        .name("console".into())
        .spawn(move || listen(io::stdin().lock(), &postbox))?;
    Ok(())
}

/// Whether standard input is a terminal that another job has. Reading from it would stop
/// the whole process, and the room with it.
fn terminal_is_anothers() -> bool {
    let input = io::stdin();
    let owner = rustix::termios::tcgetpgrp(&input);
    input.is_terminal() && owner.is_ok_and(|owner| owner != rustix::process::getpgrp())
}

fn listen(mut input: impl BufRead, postbox: &Postbox) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = limits::CONSOLE_LINE_BYTES_MAX as u64;
        match input.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        match line.trim_ascii() {
            b"shutdown" => {
                postbox.post(Mail::ShutDown);
                return;
            }
            b"" => {}
            // Whoever reads standard output may have gone.
            _ => drop(writeln!(io::stdout(), "Type shutdown to end the server.")),
        }
    }
}
