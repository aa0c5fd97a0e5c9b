//! The control socket of a running server: one caller after another, one command each.
//!
//! Knows the socket, lines and the way to the loop. Knows no room. Who may connect is for
//! the mode of the file to say; a caller that stalls is dropped after a while.

use std::io::{self, BufRead as _, BufReader};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::exchange::{self, Within};
use super::line::{self, Line};
use super::socket::{ControlSocket, SocketFile};
use super::{Answer, Errand, OperatorCommand};
use crate::limits;

/// A control socket that is served. When it is dropped, its file goes and the answer under
/// way is given.
#[derive(Debug)]
pub struct Control {
    file: Option<SocketFile>,
    turns: Arc<Turns>,
}

/// Serves `socket`, posting what is asked for.
///
/// # Errors
/// The system has no more threads.
pub fn start(socket: ControlSocket, post: impl Fn(Errand) + Send + 'static) -> io::Result<Control> {
    let turns = Arc::new(Turns::default());
    let ControlSocket { listener, file, .. } = socket;
    let control = Control { file: Some(file), turns: Arc::clone(&turns) };
    thread::Builder::new()
        .name("control".into())
        .spawn(move || listen(&listener, &turns, &post))?;
    Ok(control)
}

impl Drop for Control {
    fn drop(&mut self) {
        // The file before the listener: a new server must not find it and hear nobody.
        self.file = None;
        self.turns.end();
    }
}

/// Whether an answer is under way. The process must not end amid the one to `shutdown`.
#[derive(Debug, Default)]
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answering: bool,
    over: bool,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Two flags are never half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an answer may be begun.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        state.answering = !state.over;
        state.answering
    }

    fn done(&self) {
        self.lock().answering = false;
        self.changed.notify_all();
    }

    fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        let answering = |state: &mut State| state.answering;
        // A caller that takes longer for its answer does without.
        drop(self.changed.wait_timeout_while(state, limits::CONTROL_STOP_WAIT, answering));
    }
}

fn listen(listener: &UnixListener, turns: &Turns, post: &impl Fn(Errand)) {
    loop {
        match listener.accept() {
            Ok((caller, _)) => {
                if let Err(error) = serve(&caller, turns, post) {
                    log::debug!("a caller of the control socket is dropped: {error}");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                log::warn!("the control socket: {error}");
                thread::sleep(limits::CONTROL_ACCEPT_RETRY);
            }
        }
    }
}

fn serve(caller: &UnixStream, turns: &Turns, post: &impl Fn(Errand)) -> io::Result<()> {
    let until = Instant::now() + limits::CONTROL_CALLER_WAIT;
    let mut input = BufReader::new(Within::new(caller, until));
    let line = match line::read(&mut input) {
        // Somebody had a look whether there is a server.
        Ok(Line::End) => return Ok(()),
        Ok(line) => line,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            return answer(caller, &Answer::refused("no command came in time"));
        }
        Err(error) => return Err(error),
    };
    match line {
        Line::Whole(line) => {
            if !turns.begin() {
                return Ok(());
            }
            let answered = answer(caller, &carry_out(&line, post));
            turns.done();
            answered
        }
        // Half of `shutdown 10m` is not what was meant.
        Line::Unfinished(_) => answer(caller, &Answer::refused("the line has no end")),
        Line::NotText => answer(caller, &Answer::refused(line::NOT_TEXT)),
        Line::TooLong => {
            answer(caller, &Answer::refused(line::too_long()))?;
            // What is closed unread would cost the caller the answer.
            input.skip_until(b'\n').map(drop)
        }
        Line::End => Ok(()),
    }
}

fn carry_out(line: &str, post: &impl Fn(Errand)) -> Answer {
    match OperatorCommand::parse(line) {
        Ok(command) => {
            super::ask(command, post).unwrap_or_else(|| Answer::refused("the server has ended"))
        }
        Err(error) => Answer::refused(error.to_string()),
    }
}

fn answer(caller: &UnixStream, answer: &Answer) -> io::Result<()> {
    let until = Instant::now() + limits::CONTROL_CALLER_WAIT;
    exchange::write_answer(&mut Within::new(caller, until), answer)?;
    caller.shutdown(Shutdown::Write)
}
