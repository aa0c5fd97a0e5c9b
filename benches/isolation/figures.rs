//! From rounds to figures: medians, and medians of the ratios within pairs.
//!
//! Knows numbers. Knows no text, and not how anything was measured.

use hdrhistogram::Histogram;

use crate::nuisance::Nuisance;
use crate::rank::Rank;
use crate::rounds::Round;

/// From here on the harness counts as the limit.
const HARNESS_BUSY_MAX: f64 = 0.8;

/// From here on a round was disturbed by somebody who is not of the bench: the harness did
/// not have its CPU, or, without a nuisance, the server did not.
const HARNESS_RAN_MIN: f64 = 0.97;
const SERVER_WAITED_MAX: f64 = 0.02;

/// A round without and the round with that came right after it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Nobody disturbed.
    pub without: Round,
    /// Somebody did.
    pub with: Round,
}

impl Pair {
    /// Whether the machine was the bench's own.
    pub fn is_steady(&self) -> bool {
        self.without.server_waited <= SERVER_WAITED_MAX
            && [&self.without, &self.with].iter().all(|round| round.harness_ran >= HARNESS_RAN_MIN)
    }
}

/// A latency with a nuisance, and how it compares with that without.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Without: of all rounds together, in microseconds.
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
        let ratios = self
            .pairs
            .iter()
            .map(|pair| rank.of(&pair.with.latencies) / rank.of(&pair.without.latencies));
        let ratios: Vec<f64> = ratios.collect();
        Some(Figure {
            without: rank
                .of(&together(&self.pairs.iter().map(|pair| &pair.without).collect::<Vec<_>>())?),
            with: rank
                .of(&together(&self.pairs.iter().map(|pair| &pair.with).collect::<Vec<_>>())?),
            range: (
                ratios.iter().copied().min_by(f64::total_cmp)?,
                ratios.iter().copied().max_by(f64::total_cmp)?,
            ),
            ratio: median(ratios)?,
        })
    }

    /// Whether, for want of others, some of the rounds were disturbed by somebody who is
    /// not of the bench.
    pub fn is_unsteady(&self) -> bool {
        !self.pairs.iter().all(Pair::is_steady)
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

/// The latencies of all rounds. None if there are no rounds.
fn together(rounds: &[&Round]) -> Option<Histogram<u64>> {
    let (first, others) = rounds.split_first()?;
    Some(others.iter().fold(first.latencies.clone(), |all, round| all + &round.latencies))
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
