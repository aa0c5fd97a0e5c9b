//! From rounds to figures: medians, and medians of the ratios within pairs.
//!
//! Knows numbers. Knows no text, and not how anything was measured.

use crate::contest::{Pair, PhaseOutcome};
use crate::phases::Measured;
use crate::rank::Rank;

/// From here on the harness counts as the limit, if the server was less busy.
const HARNESS_BUSY_MAX: f64 = 0.8;

/// A value and how it compares with the floor's.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// The median of the rounds.
    pub value: f64,
    /// The median of the ratios to the floor, pair by pair.
    pub ratio: f64,
}

/// The figure that `of` takes from each round. None if no round has it.
pub fn figure<T>(pairs: &[Pair<T>], of: impl Fn(&T) -> Option<f64>) -> Option<Figure> {
    let both = pairs.iter().filter_map(|pair| Some((of(&pair.floor)?, of(&pair.subject)?)));
    let (values, ratios): (Vec<_>, Vec<_>) =
        both.map(|(floor, subject)| (subject, subject / floor)).unzip();
    Some(Figure { value: median(values)?, ratio: median(ratios)? })
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

/// What a phase gives figures of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Server CPU per delivery, in microseconds.
    Cpu,
    /// Deliveries a second.
    Throughput,
    /// The part of the time in which the harness was at work.
    HarnessBusy,
    /// The part of the time in which the server was at work.
    ServerBusy,
    /// A percentile of the latency of deliveries, in microseconds.
    Each(Rank),
    /// A percentile over messages of the time until the last recipient heard them.
    Last(Rank),
}

impl Quantity {
    fn of(self, measured: &Measured) -> Option<f64> {
        match self {
            Self::Cpu => Some(measured.cpu_us()),
            Self::Throughput => Some(measured.throughput()),
            Self::HarnessBusy => Some(measured.harness_busy),
            Self::ServerBusy => Some(measured.server_busy()),
            Self::Each(rank) => measured.latencies.as_ref().map(|l| rank.of(&l.each)),
            Self::Last(rank) => measured.latencies.as_ref().map(|l| rank.of(&l.last)),
        }
    }
}

impl PhaseOutcome {
    /// The figure of `quantity`. None if nothing was measured.
    pub fn figure(&self, quantity: Quantity) -> Option<Figure> {
        if let Quantity::Each(Rank::Max) | Quantity::Last(Rank::Max) = quantity {
            let most = |of: fn(&Pair<Measured>) -> &Measured| {
                let values = self.pairs.iter().filter_map(|pair| quantity.of(of(pair)));
                values.max_by(f64::total_cmp)
            };
            let (floor, value) = (most(|pair| &pair.floor)?, most(|pair| &pair.subject)?);
            return Some(Figure { value, ratio: value / floor });
        }
        figure(&self.pairs, |measured| quantity.of(measured))
    }

    /// Whether the harness, not the server, decided how fast it went.
    pub fn is_limited_by_harness(&self) -> bool {
        let value = |quantity| self.figure(quantity).map_or(0.0, |figure| figure.value);
        let harness = value(Quantity::HarnessBusy);
        harness > HARNESS_BUSY_MAX && harness > value(Quantity::ServerBusy)
    }

    /// The least and the most nanoseconds of a cache line between the CPUs.
    pub fn cache_line_ns(&self) -> Option<(f64, f64)> {
        self.pairs
            .iter()
            .flat_map(|pair| [&pair.floor, &pair.subject])
            .filter_map(|measured| measured.cache_line_ns)
            .flatten()
            .map(|ns| (ns, ns))
            .reduce(|(least, most), (ns, _)| (least.min(ns), most.max(ns)))
    }

    /// Deliveries of all rounds of the subject.
    pub fn deliveries(&self) -> u64 {
        self.pairs.iter().map(|pair| pair.subject.deliveries).sum()
    }
}
