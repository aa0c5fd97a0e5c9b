//! A person in front of a terminal, and the terminal as it is seen: for tests of the bundled
//! client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{
    Child, CommandBuilder, ExitStatus, MasterPty, PtySize, SlavePty, native_pty_system,
};
use rustix::process::{Pid, Signal};

use super::{DEADLINE, Fake, Peer};

pub(crate) const CANARY: &str = "canary-word";

/// What the client says when it is in the room.
pub(crate) const LOGGED_IN: &str =
    "Logged in as lior. Type a line to say it; /help tells more, exit() leaves.";

/// The terminal's line discipline: shows what is typed, waits for whole lines, makes Ctrl-C
/// a signal (`ECHO`, `ICANON`, `ISIG`).
const COOKED: u64 = 0o10 | 0o2 | 0o1;
const ECHO: u64 = 0o10;

/// What the terminal has shown, and whether more can come.
struct Shown {
    text: String,
    screen: vt100::Parser,
    over: bool,
}

/// A person in front of a terminal. Waits for what is shown, never for time to pass.
pub(crate) struct Person {
    master: Box<dyn MasterPty + Send>,
    /// Keeps the terminal's settings to be looked at after the program has ended.
    _slave: Box<dyn SlavePty + Send>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    /// What was waited for ends here.
    read_to: usize,
}

/// Rows and columns.
pub(crate) type Size = (u16, u16);

fn size_of((rows, cols): Size) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

impl Person {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[], (24, 200))
    }

    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)], size: Size) -> Self {
        let pair = native_pty_system().openpty(size_of(size)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_chinwag"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHINWAG_")
                || name == "NO_COLOR"
                || name == "TERM_PROGRAM"
            {
                command.env_remove(name);
            }
        }
        command.env("TERM", "xterm-256color");
        command.env("TZ", "UTC");
        for (name, value) in variables {
            command.env(name, value);
        }
        command.arg("connect");
        command.args(arguments);
        let child = pair.slave.spawn_command(command).unwrap();
        let mut screen = pair.master.try_clone_reader().unwrap();
        let keyboard = pair.master.take_writer().unwrap();
        let cells = |count| NonZeroU16::new(count).unwrap();
        let shown = Arc::new((
            Mutex::new(Shown {
                text: String::new(),
                screen: vt100::Parser::new(cells(size.0), cells(size.1), 100_000),
                over: false,
            }),
            Condvar::new(),
        ));
        let theirs = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A character may be cut between two reads, which the emulator does not bear.
            let mut pending = Vec::new();
            loop {
                let count = screen.read(&mut buffer).unwrap_or(0);
                let mut shown = theirs.0.lock().unwrap();
                pending.extend_from_slice(&buffer[..count]);
                let whole = match std::str::from_utf8(&pending) {
                    Err(error) if count > 0 && error.error_len().is_none() => error.valid_up_to(),
                    _ => pending.len(),
                };
                shown.screen.process(&pending[..whole]);
                shown.text.push_str(&String::from_utf8_lossy(&pending[..whole]));
                pending.drain(..whole);
                shown.over = count == 0;
                theirs.1.notify_all();
                if shown.over {
                    return;
                }
            }
        });
        Self { master: pair.master, _slave: pair.slave, keyboard, child, shown, read_to: 0 }
    }

    /// Waits until `text` is shown, behind what was waited for before.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) {
        let (lock, changed) = &*self.shown;
        let until = Instant::now() + DEADLINE;
        let mut shown = lock.lock().unwrap();
        loop {
            if let Some(at) = shown.text[self.read_to..].find(text) {
                self.read_to += at + text.len();
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!shown.over && !left.is_zero(), "no {text:?} in {:?}", shown.text);
            shown = changed.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Everything shown so far, escape codes and all.
    pub(crate) fn seen(&self) -> String {
        self.shown.0.lock().unwrap().text.clone()
    }

    /// Waits until the lines on the screen, and those that have left it at the top, are as
    /// wanted. Rows that a long line was wrapped into are one line.
    #[track_caller]
    pub(crate) fn awaits_lines(&self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        let (lock, changed) = &*self.shown;
        let until = Instant::now() + DEADLINE;
        let mut shown = lock.lock().unwrap();
        loop {
            let lines = lines_of(shown.screen.screen_mut());
            if wanted(&lines) {
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!shown.over && !left.is_zero(), "{what}: {lines:#?}");
            shown = changed.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Waits until this stands behind the prompt, and nothing else below it.
    #[track_caller]
    pub(crate) fn awaits_input(&self, line: &str) {
        self.awaits_lines(&format!("input {line:?}"), |lines| {
            input(lines) == Some(line.to_owned())
        });
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        lines_of(self.shown.0.lock().unwrap().screen.screen_mut())
    }

    /// Row and column of the cursor.
    pub(crate) fn cursor(&self) -> (u16, u16) {
        self.shown.0.lock().unwrap().screen.screen().cursor_position()
    }

    pub(crate) fn resize(&self, (rows, cols): Size) {
        let mut shown = self.shown.0.lock().unwrap();
        let cells = |count| NonZeroU16::new(count).unwrap();
        shown.screen.set_size(cells(rows), cells(cols));
        self.master.resize(size_of((rows, cols))).unwrap();
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.presses(keys.as_bytes());
    }

    pub(crate) fn presses(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
        self.keyboard.flush().unwrap();
    }

    pub(crate) fn answers(&mut self, prompt: &str, line: &str) {
        self.sees(prompt);
        self.types(&format!("{line}\n"));
    }

    /// Answers when what is typed is no longer shown.
    pub(crate) fn answers_hidden(&mut self, prompt: &str, keys: &str) {
        self.sees(prompt);
        self.awaits_echo(false);
        self.types(keys);
    }

    #[track_caller]
    pub(crate) fn awaits_echo(&self, wanted: bool) {
        let until = Instant::now() + DEADLINE;
        while self.settings() & ECHO != if wanted { ECHO } else { 0 } {
            assert!(Instant::now() < until, "echo stays {}", !wanted);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn settings(&self) -> u64 {
        let settings = self.master.get_termios().unwrap();
        u64::from(settings.local_flags.bits())
    }

    pub(crate) fn signals(&self, signal: Signal) {
        let id = self.child.process_id().and_then(|id| i32::try_from(id).ok());
        rustix::process::kill_process(id.and_then(Pid::from_raw).unwrap(), signal).unwrap();
    }

    /// The program ends by itself: everything shown, and how it ended. The terminal is as it
    /// was before.
    pub(crate) fn ends(self) -> (String, ExitStatus) {
        let (shown, _, status) = self.ends_on_screen();
        (shown, status)
    }

    /// The same, and the lines on the screen.
    pub(crate) fn ends_on_screen(mut self) -> (String, Vec<String>, ExitStatus) {
        let until = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                self.child.kill().unwrap();
                panic!("still runs after {:?}", self.seen());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(self.settings() & COOKED, COOKED, "the terminal was left as it must not be");
        // What a dead program has written is all there once its terminal is closed.
        let Self { _slave, shown, .. } = self;
        drop(_slave);
        let (lock, changed) = &*shown;
        let mut shown = lock.lock().unwrap();
        while !shown.over && Instant::now() < until {
            shown = changed.wait_timeout(shown, Duration::from_millis(100)).unwrap().0;
        }
        assert!(!shown.screen.screen().bracketed_paste(), "the terminal still marks pastes");
        let lines = lines_of(shown.screen.screen_mut());
        (shown.text.clone(), lines, status)
    }

    #[track_caller]
    pub(crate) fn ends_with(self, status: u32, last_line: &str) -> String {
        let (shown, lines, ended) = self.ends_on_screen();
        assert_eq!(ended.exit_code(), status, "{shown:?}");
        assert_eq!(lines.last().map(String::as_str), Some(last_line), "{shown:?}");
        assert!(!shown.contains(CANARY), "{shown:?}");
        shown
    }
}

/// What is being typed. The editor itself moves on to the next row.
fn input(lines: &[String]) -> Option<String> {
    let at = lines.iter().rposition(|line| line.starts_with("> "))?;
    lines[at..].concat().strip_prefix("> ").map(str::to_owned)
}

/// A row of the screen.
struct Row {
    text: String,
    /// It goes on in the next one.
    wrapped: bool,
    /// Only its last column is empty: no room for a wide character.
    narrow_end: bool,
    begins_wide: bool,
}

fn row_of(screen: &vt100::Screen, row: u16, columns: u16) -> Row {
    let full = |column| {
        screen.cell(row, column).is_some_and(|c| c.has_contents() || c.is_wide_continuation())
    };
    Row {
        text: (0..columns)
            .map(|column| screen.cell(row, column).map_or("", vt100::Cell::contents))
            .collect(),
        wrapped: screen.row_wrapped(row),
        narrow_end: !full(columns - 1) && full(columns - 2),
        begins_wide: screen.cell(row, 0).is_some_and(vt100::Cell::is_wide),
    }
}

/// Every line on the screen and above it, up to the last that has something in it.
fn lines_of(screen: &mut vt100::Screen) -> Vec<String> {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let above = screen.scrollback_len();
    let mut all = Vec::new();
    while all.len() < above + usize::from(rows) {
        // As many rows as one look shows, from the oldest on.
        screen.set_scrollback(above.saturating_sub(all.len()));
        let seen = all.len() - (above - screen.scrollback());
        all.extend((u16::try_from(seen).unwrap()..rows).map(|row| row_of(screen, row, columns)));
    }
    screen.set_scrollback(0);
    let mut lines = Vec::new();
    let mut line = String::new();
    for (at, row) in all.iter().enumerate() {
        line.push_str(&row.text);
        let pushed = row.narrow_end && all.get(at + 1).is_some_and(|next| next.begins_wide);
        if !row.wrapped && !pushed {
            lines.push(std::mem::take(&mut line));
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// A server that lior, from the command line, logs in to; then the script.
pub(crate) fn room(script: impl FnOnce(&mut Peer) + Send + 'static) -> Fake {
    Fake::start(move |door| {
        let mut lior = door.accept();
        lior.logs_in(b"True\n");
        script(&mut lior);
        lior.close();
    })
}

impl Peer {
    /// lior wants to log in, and gets this answer.
    pub(crate) fn logs_in(&mut self, answer: &[u8]) {
        self.expect(b"[NEW]:login:lior:user:canary-word:\n");
        self.send(answer);
    }
}

/// lior at a terminal, in the room.
pub(crate) fn lior_at(
    server: &Fake,
    options: &[&str],
    variables: &[(&str, &str)],
    size: Size,
) -> Person {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{CANARY}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let address = server.address();
    let given = [&address, "--name", "lior", "--user", "user", "--password-file", path];
    let mut person = Person::start_with(&[&given[..], options].concat(), variables, size);
    person.sees(&format!("{LOGGED_IN}\r\n"));
    person
}

pub(crate) fn lior_with(server: &Fake, options: &[&str], variables: &[(&str, &str)]) -> Person {
    lior_at(server, options, variables, (24, 200))
}

pub(crate) fn lior_in(server: &Fake) -> Person {
    lior_with(server, &[], &[])
}

/// The lines between the greeting and the last one.
pub(crate) fn transcript(lines: &[String]) -> Vec<&str> {
    assert_eq!(lines[0], LOGGED_IN);
    lines[1..lines.len() - 1].iter().map(String::as_str).collect()
}
