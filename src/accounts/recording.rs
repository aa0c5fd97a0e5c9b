//! What is on its way to the disk: the keeper's queue, and the messages it has gathered.
//!
//! Knows records and when they are due. Knows no SQL and no thread.

use std::sync::Arc;
use std::time::Instant;

use super::records::{Acknowledge, Record, Said, SanctionChange};
use crate::limits;

/// A [`Record`] in the keeper's queue.
pub(super) enum Entry {
    Said { said: Arc<Said>, forget_before: i64 },
    Sanction(SanctionChange, Answer),
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        match record {
            Record::Said { said, forget_before } => Self::Said { said, forget_before },
            Record::Sanction(change, acknowledge) => {
                Self::Sanction(change, Answer(Some(acknowledge)))
            }
        }
    }
}

impl From<Entry> for Record {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Said { said, forget_before } => Self::Said { said, forget_before },
            Entry::Sanction(change, mut answer) => {
                Self::Sanction(change, answer.0.take().unwrap_or_else(|| Box::new(|_| {})))
            }
        }
    }
}

/// Whoever waits for it hears something in any case: dropped, it is a no.
pub(super) struct Answer(Option<Acknowledge>);

impl Answer {
    /// Whether it is on disk.
    pub(super) fn give(mut self, done: bool) {
        if let Some(acknowledge) = self.0.take() {
            acknowledge(done);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(acknowledge) = self.0.take() {
            acknowledge(false);
        }
    }
}

/// Messages to be written in one transaction.
pub(super) struct Batch {
    pub(super) said: Vec<Arc<Said>>,
    /// What has a lower number is beyond what is kept.
    pub(super) forget_before: i64,
    /// When it is to be written.
    due: Instant,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { said: Vec::new(), forget_before: i64::MIN, due: Instant::now() }
    }

    /// When it is to be written; never, while it is empty.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.said.is_empty()).then_some(self.due)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// Nothing may be added before it is written.
    pub(super) fn is_full(&self) -> bool {
        self.said.len() >= limits::RECORDS_BATCH
    }

    pub(super) fn add(&mut self, said: Arc<Said>, forget_before: i64, now: Instant) {
        if self.said.is_empty() {
            self.due = now + limits::RECORDS_WAIT;
        }
        self.said.push(said);
        self.forget_before = forget_before;
        if self.is_full() {
            self.due = now;
        }
    }

    /// Another try later.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.due = now + limits::RECORDS_WAIT;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::records::{SanctionKind, SanctionTarget};
    use super::*;

    fn said(number: i64) -> Arc<Said> {
        Arc::new(Said { number, at: 0, name: "lior".into(), text: "hello".into() })
    }

    #[test]
    fn a_batch_is_due_after_a_while_or_when_it_is_full() {
        let mut batch = Batch::new();
        let now = Instant::now();
        assert_eq!(batch.due(), None);
        batch.add(said(1), 0, now);
        batch.add(said(2), 0, now + limits::RECORDS_PAUSE);
        assert_eq!(batch.due(), Some(now + limits::RECORDS_WAIT), "since the first");
        for number in 3..limits::RECORDS_BATCH as i64 {
            batch.add(said(number), number, now);
        }
        assert!(!batch.is_full());
        batch.add(said(0), 7, now);
        assert!(batch.is_full());
        assert_eq!((batch.due(), batch.forget_before), (Some(now), 7));
    }

    #[test]
    fn whoever_waits_is_answered_once() {
        let (answers, heard) = mpsc::channel();
        let entry = || {
            let answers = answers.clone();
            let lift = SanctionChange::Lift(SanctionKind::Ban, SanctionTarget::Name("a".into()));
            Entry::from(Record::Sanction(lift, Box::new(move |done| answers.send(done).unwrap())))
        };
        drop(entry());
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [false]);
        let Entry::Sanction(_, answer) = entry() else { panic!() };
        answer.give(true);
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [true]);
        // Given back, it is the caller's to answer.
        let Record::Sanction(_, acknowledge) = Record::from(entry()) else { panic!() };
        assert_eq!(heard.try_iter().count(), 0);
        acknowledge(false);
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [false]);
    }
}
