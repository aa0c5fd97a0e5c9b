//! What was said in the room, the latest of it.
//!
//! Knows texts, names and numbers. Knows no disk: what is kept here is handed out to be
//! written down, and handed in again at the next start. Bounded by count and by bytes; what
//! is over is forgotten here and, by its number, on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::accounts::records::{HistoryLimits, Said, UnixSeconds};

/// The latest that was said.
#[derive(Debug)]
pub(super) struct History {
    limits: HistoryLimits,
    said: VecDeque<Arc<Said>>,
    /// Bytes of names and texts in `said`.
    bytes: usize,
    next_number: i64,
}

impl History {
    /// Nothing was said yet.
    pub(super) fn new(limits: HistoryLimits) -> Self {
        Self { limits, said: VecDeque::new(), bytes: 0, next_number: 1 }
    }

    /// Whether anything is kept at all.
    pub(super) fn is_kept(&self) -> bool {
        self.limits.messages > 0
    }

    /// Goes on from what was kept before, oldest first.
    pub(super) fn restore(&mut self, kept: Vec<Said>) {
        for said in kept {
            self.next_number = self.next_number.max(said.number.saturating_add(1));
            self.push(Arc::new(said));
        }
    }

    /// Keeps what was said. Returns it as it is to be written down, with the number below
    /// which everything is forgotten. `None`: nothing is kept.
    pub(super) fn record(
        &mut self,
        name: &str,
        text: &str,
        at: UnixSeconds,
    ) -> Option<(Arc<Said>, i64)> {
        if !self.is_kept() {
            return None;
        }
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        let said = Arc::new(Said { number, at, name: name.into(), text: text.into() });
        self.push(Arc::clone(&said));
        let forget_before = self.said.front().map_or(number, |oldest| oldest.number);
        Some((said, forget_before))
    }

    fn push(&mut self, said: Arc<Said>) {
        self.bytes += bytes_of(&said);
        self.said.push_back(said);
        while (self.said.len() > self.limits.messages || self.bytes > self.limits.bytes)
            && let Some(oldest) = self.said.pop_front()
        {
            self.bytes -= bytes_of(&oldest);
        }
    }

    /// The latest `count`, oldest first, as far as `bytes_max` hold them, of which each takes
    /// as many as `bytes_of` says.
    pub(super) fn latest(
        &self,
        count: usize,
        bytes_max: usize,
        bytes_of: impl Fn(&Said) -> usize,
    ) -> Vec<Arc<Said>> {
        let mut room = bytes_max;
        let fits = |said: &&Arc<Said>| {
            let bytes = bytes_of(said);
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        };
        let mut latest: Vec<_> =
            self.said.iter().rev().take(count).take_while(fits).cloned().collect();
        latest.reverse();
        latest
    }

    /// How many messages and bytes are kept.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.said.len(), self.bytes)
    }
}

fn bytes_of(said: &Said) -> usize {
    said.name.len() + said.text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(history: &History, count: usize) -> Vec<String> {
        history
            .latest(count, usize::MAX, bytes_of)
            .iter()
            .map(|said| said.text.to_string())
            .collect()
    }

    #[test]
    fn the_latest_are_kept_by_count_and_by_bytes() {
        let mut history = History::new(HistoryLimits { messages: 3, bytes: 20 });
        for n in 1..=5 {
            let (said, forget_before) = history.record("ana", &n.to_string(), 0).unwrap();
            assert_eq!((said.number, forget_before), (n, (n - 2).max(1)));
        }
        assert_eq!(texts(&history, 9), ["3", "4", "5"]);
        assert_eq!(texts(&history, 2), ["4", "5"]);
        let (_, forget_before) = history.record("ana", "12345678901234", 0).unwrap();
        assert_eq!(forget_before, 6, "17 bytes leave no room for 4 more");
        assert_eq!(history.size(), (1, 17));
        history.record("ana", "123456789012345678901", 0).unwrap();
        assert_eq!(history.size(), (0, 0), "too long to be kept at all");
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        let mut history = History::new(HistoryLimits { messages: 2, bytes: 1_000 });
        let said = |number| Said { number, at: 0, name: "ana".into(), text: "hi".into() };
        history.restore(vec![said(7), said(8), said(11)]);
        assert_eq!(history.size().0, 2);
        assert_eq!(history.record("ana", "on", 0).unwrap().0.number, 12);
    }

    #[test]
    fn an_answer_is_bounded() {
        let mut history = History::new(HistoryLimits { messages: 100, bytes: 1 << 20 });
        for n in 0..20 {
            history.record("ana", &format!("{n:07}"), 0);
        }
        let numbers = |bytes_max| -> Vec<i64> {
            history.latest(20, bytes_max, bytes_of).iter().map(|said| said.number).collect()
        };
        assert_eq!(numbers(35), [18, 19, 20]);
        assert_eq!(numbers(9), Vec::<i64>::new());
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_to_be() {
        let mut history = History::new(HistoryLimits { messages: 0, bytes: 1_000 });
        assert_eq!(history.record("ana", "hi", 0), None);
        assert!(!history.is_kept() && history.latest(5, 1_000, bytes_of).is_empty());
    }
}
