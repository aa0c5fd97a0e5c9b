//! What is to be shown, on its way from the thread that hears to the one that types.
//!
//! Knows lines that are dressed. Bounded: who hears waits, and TCP holds the server back.
//! Nothing is shown from here; whoever owns the screen takes a batch at a time.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::dress::Shown;
use crate::client::chat::End;
use crate::limits;

/// The lines that wait, and how the room ended.
#[derive(Debug)]
pub(super) struct Board {
    bell: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Shown>,
    bytes: usize,
    /// A line is being typed: the editor shows what comes, once it is nudged.
    editing: bool,
    /// The editor was nudged and has not taken a batch since.
    nudged: bool,
    over: Option<End>,
    /// That it is over was noticed, or there is nobody to notice it any more.
    noticed: bool,
    reminded: bool,
}

impl Board {
    /// `bell`: a batch with one's own name in it rings.
    pub(super) fn new(bell: bool) -> Self {
        Self { bell, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the lines as good as they were.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, and waits while there is no room for it.
    pub(super) fn add(&self, shown: Shown) {
        let state = self
            .changed
            .wait_while(self.state(), |state| state.bytes >= limits::SHOWN_QUEUE_BYTES_MAX)
            .unwrap_or_else(PoisonError::into_inner);
        self.put(state, shown);
    }

    /// Adds a line of whoever takes the batches, who must not wait.
    pub(super) fn add_own(&self, shown: Shown) {
        self.put(self.state(), shown);
    }

    fn put(&self, mut state: MutexGuard<'_, State>, shown: Shown) {
        state.bytes += cost(&shown);
        state.lines.push_back(shown);
        drop(state);
        self.changed.notify_all();
    }

    /// A bounded part of what waits, each line with its line feed.
    pub(super) fn batch(&self) -> String {
        self.take(self.state())
    }

    /// The same for the editor, which from now on shows what comes when it is nudged.
    pub(super) fn batch_while_editing(&self) -> String {
        let mut state = self.state();
        state.editing = true;
        state.nudged = false;
        self.take(state)
    }

    fn take(&self, mut state: MutexGuard<'_, State>) -> String {
        let mut batch = String::new();
        let mut rings = false;
        for _ in 0..limits::SHOWN_BATCH_LINES_MAX {
            if batch.len() >= limits::SHOWN_BATCH_BYTES_MAX {
                break;
            }
            let Some(shown) = state.lines.pop_front() else { break };
            state.bytes -= cost(&shown);
            batch.push_str(&shown.text);
            batch.push('\n');
            rings |= shown.bell;
        }
        if rings && self.bell {
            batch.push('\x07');
        }
        drop(state);
        self.changed.notify_all();
        batch
    }

    /// The editor is left: a nudge would only reach the bare screen.
    pub(super) fn stop_editing(&self) {
        self.state().editing = false;
    }

    /// Waits until the editor needs a nudge to show what waits. False: it is over.
    pub(super) fn wait_for_nudge(&self) -> bool {
        let mut state = self
            .changed
            .wait_while(self.state(), |state| {
                let needed = state.editing && !state.nudged && !state.lines.is_empty();
                !needed && !state.noticed
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.nudged = true;
        !state.noticed
    }

    /// Nothing more will be heard.
    pub(super) fn finish(&self, end: End) {
        self.state().over = Some(end);
        self.changed.notify_all();
    }

    /// How it ended, if it did. Whoever asks has noticed then.
    pub(super) fn over(&self) -> Option<End> {
        let over = self.state().over;
        if over.is_some() {
            self.stop_reminding();
        }
        over
    }

    /// Nobody types any more: from now on nobody is reminded that it is over. True if
    /// somebody was.
    pub(super) fn stop_reminding(&self) -> bool {
        let mut state = self.state();
        state.noticed = true;
        self.changed.notify_all();
        state.reminded
    }

    /// Reminds whoever types that it is over, again and again, until it is noticed.
    pub(super) fn remind(&self, interval: Duration, remind: impl Fn()) {
        let mut state = self.state();
        while !state.noticed {
            // Not without the lock: nobody is reminded who has just noticed. Nor is who
            // answers another question, and looks here after it.
            if state.editing {
                state.reminded = true;
                remind();
            }
            let waited = self.changed.wait_timeout_while(state, interval, |state| !state.noticed);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a while until there is something to show, or it is over.
    pub(super) fn wait(&self, wait: Duration) {
        drop(self.changed.wait_timeout_while(self.state(), wait, |state| {
            state.lines.is_empty() && state.over.is_none()
        }));
    }
}

/// What a line takes up, an empty one too.
fn cost(shown: &Shown) -> usize {
    shown.text.len() + size_of::<Shown>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn line(text: &str) -> Shown {
        Shown { text: text.to_owned(), bell: false }
    }

    #[test]
    fn batches_are_bounded_and_lose_nothing() {
        let board = Board::new(true);
        for n in 0..limits::SHOWN_BATCH_LINES_MAX + 1 {
            board.add_own(line(&n.to_string()));
        }
        assert_eq!(board.batch().lines().count(), limits::SHOWN_BATCH_LINES_MAX);
        assert_eq!(board.batch(), format!("{}\n", limits::SHOWN_BATCH_LINES_MAX));
        assert_eq!(board.batch(), "");
        for _ in 0..3 {
            board.add_own(line(&"x".repeat(limits::SHOWN_BATCH_BYTES_MAX - 1)));
        }
        assert_eq!(board.batch().lines().count(), 1);
        assert_eq!(board.batch().lines().count(), 1);
    }

    #[test]
    fn a_batch_rings_once() {
        for (bell, batch) in [(true, "a\nb\n\x07"), (false, "a\nb\n")] {
            let board = Board::new(bell);
            for text in ["a", "b"] {
                board.add_own(Shown { text: text.to_owned(), bell: true });
            }
            assert_eq!(board.batch(), batch);
        }
    }

    #[test]
    fn who_hears_waits_for_room() {
        let board = Arc::new(Board::new(false));
        let theirs = Arc::clone(&board);
        let count = 3 * limits::SHOWN_QUEUE_BYTES_MAX / 1_000;
        let hears = std::thread::spawn(move || {
            for _ in 0..count {
                theirs.add(line(&"x".repeat(1_000)));
            }
        });
        let mut heard = 0;
        while heard < count {
            board.wait(Duration::from_secs(30));
            assert!(board.state().bytes < limits::SHOWN_QUEUE_BYTES_MAX + 1_100);
            heard += board.batch().lines().count();
        }
        hears.join().expect("hears");
        assert_eq!(heard, count);
    }

    #[test]
    fn the_editor_is_nudged_once_for_what_waits() {
        let board = Arc::new(Board::new(false));
        assert_eq!(board.batch_while_editing(), "");
        board.add_own(line("a"));
        assert!(board.wait_for_nudge());
        let theirs = Arc::clone(&board);
        let nudges = std::thread::spawn(move || theirs.wait_for_nudge());
        board.add_own(line("b"));
        assert_eq!(board.batch_while_editing(), "a\nb\n");
        board.add_own(line("c"));
        assert!(nudges.join().expect("nudges"), "what came after the batch needs another");
        board.finish(End::Lost);
        assert_eq!(board.over(), Some(End::Lost));
        assert!(!board.wait_for_nudge());
    }

    #[test]
    fn who_types_is_reminded_until_it_is_noticed() {
        let board = Arc::new(Board::new(false));
        assert_eq!(board.over(), None);
        board.batch_while_editing();
        board.finish(End::Left);
        let (remind, reminded) = std::sync::mpsc::channel();
        let theirs = Arc::clone(&board);
        let reminds = std::thread::spawn(move || {
            theirs.remind(Duration::from_millis(1), || remind.send(()).expect("heard"));
        });
        for _ in 0..3 {
            reminded.recv().expect("reminded");
        }
        assert_eq!(board.over(), Some(End::Left));
        reminds.join().expect("reminds");
        assert!(board.stop_reminding() && !Board::new(false).stop_reminding());
        board.remind(Duration::ZERO, || panic!("it was noticed"));
    }
}
