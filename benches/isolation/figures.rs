//! From rounds to figures: medians, and medians of the ratios within pairs.
//!
//! Knows numbers. Knows no text, and not how anything was measured.

use hdrhistogram::Histogram;

use crate::nuisance::Nuisance;
use crate::rounds::Round;

/// From here on the harness counts as the limit.
const HARNESS_BUSY_MAX: f64 = 0.8;

/// A round without and the round with that came right after it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Nobody disturbed.
    pub without: Round,
    /// Somebody did.
    pub with: Round,
}

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

/// A latency with a nuisance, and how it compares with that without.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Without: the median of the rounds, in microseconds.
    pub without: f64,
    /// With: the same.
    pub with: f64,
    /// The median of the ratios, pair by pair.
    pub ratio: f64,
    /// The least and the most of the ratios.
    pub range: (f64, f64),
}

/// The pairs of one nuisance.
#[derive(Debug)]
pub struct Row {
    /// Which. None: nothing was with either, which shows what the method makes of nothing.
    pub nuisance: Option<Nuisance>,
    /// Its rounds.
    pub pairs: Vec<Pair>,
    /// Why there are no more.
    pub failure: Option<String>,
}

impl Row {
    /// The name in the table.
    pub fn name(&self) -> &'static str {
        self.nuisance.map_or("nothing", Nuisance::name)
    }

    /// The figure of `rank`. None if nothing was measured.
    pub fn figure(&self, rank: Rank) -> Option<Figure> {
        let values: Vec<(f64, f64)> = self
            .pairs
            .iter()
            .map(|pair| (rank.of(&pair.without.latencies), rank.of(&pair.with.latencies)))
            .collect();
        let summary = if rank == Rank::Max { most } else { median };
        let ratios: Vec<f64> = values.iter().map(|(without, with)| with / without).collect();
        Some(Figure {
            without: summary(values.iter().map(|value| value.0).collect())?,
            with: summary(values.iter().map(|value| value.1).collect())?,
            range: (-most(ratios.iter().map(|ratio| -ratio).collect())?, most(ratios.clone())?),
            ratio: median(ratios)?,
        })
    }

    /// The median of something of the rounds with the nuisance.
    pub fn with(&self, of: impl Fn(&Round) -> f64) -> Option<f64> {
        median(self.pairs.iter().map(|pair| of(&pair.with)).collect())
    }

    /// Whether the p99 is as promised.
    pub fn is_met(&self) -> Option<bool> {
        Some(self.figure(Rank::P99)?.ratio <= self.nuisance?.target())
    }

    /// Whether the harness had so much to do that latencies may be its own.
    pub fn is_limited_by_harness(&self) -> bool {
        self.with(|round| round.harness_busy + round.disturber_busy)
            .is_some_and(|busy| busy > HARNESS_BUSY_MAX)
    }
}

/// What the method makes of nothing: each round without, compared with the one before it.
pub fn nothing(rows: &[Row]) -> Row {
    let rounds: Vec<&Round> =
        rows.iter().flat_map(|row| &row.pairs).map(|pair| &pair.without).collect();
    let pair = |both: &[&Round]| Pair { without: (*both[0]).clone(), with: (*both[1]).clone() };
    Row { nuisance: None, pairs: rounds.windows(2).map(pair).collect(), failure: None }
}

fn most(values: Vec<f64>) -> Option<f64> {
    values.into_iter().max_by(f64::total_cmp)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
