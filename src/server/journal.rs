//! Log lines about connections: so many a second, the rest counted.
//!
//! Knows the log facade and moments. Knows no connection: who logs says what. A flood of
//! connections must neither fill the operator's disk nor cost the loop its time.

use std::fmt;
use std::time::{Duration, Instant};

use log::Level;

use crate::limits;

const SECOND: Duration = Duration::from_secs(1);

/// The lines of the second at hand.
#[derive(Debug, Default)]
pub struct Journal {
    second_began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Journal {
    /// Logs a line, unless there were too many of late.
    pub fn line(&mut self, level: Level, line: fmt::Arguments<'_>, now: Instant) {
        if level > log::max_level() {
            return;
        }
        self.tick(now);
        if self.lines < limits::LOG_LINES_PER_SECOND {
            self.second_began.get_or_insert(now);
            self.lines += 1;
            log::log!(level, "{line}");
        } else {
            self.left_out += 1;
        }
    }

    /// Begins another second if this one is over, saying how many lines were left out.
    pub fn tick(&mut self, now: Instant) {
        if self.second_began.is_some_and(|began| began + SECOND <= now) {
            if self.left_out > 0 {
                log::warn!("{} more log lines in a second were left out", self.left_out);
            }
            *self = Self::default();
        }
    }

    /// When lines that were left out are to be counted.
    pub fn deadline(&self) -> Option<Instant> {
        (self.left_out > 0).then_some(self.second_began? + SECOND)
    }
}
