//! What is told of many latencies.
//!
//! Knows a histogram. Knows no round.

use hdrhistogram::Histogram;

/// A percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// The median.
    P50,
    /// 99 %.
    P99,
    /// 99.9 %.
    P999,
    /// The most: of all rounds, not their median.
    Max,
}

impl Rank {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::P50, Self::P99, Self::P999, Self::Max];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Max => "max",
        }
    }

    /// Of one round, in microseconds.
    pub fn of(self, latencies: &Histogram<u64>) -> f64 {
        let nanoseconds = match self {
            Self::P50 => latencies.value_at_quantile(0.5),
            Self::P99 => latencies.value_at_quantile(0.99),
            Self::P999 => latencies.value_at_quantile(0.999),
            Self::Max => latencies.max(),
        };
        nanoseconds as f64 / 1e3
    }
}
