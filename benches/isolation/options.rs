//! The bench's own command line, and what it comes to.
//!
//! Knows clap and defaults. Knows nothing of how anything is measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::nuisance::Nuisance;

/// What clients that stall or flood cost the healthy ones: their fan-out latency, with and
/// without, in turn.
#[derive(Debug, Parser)]
#[command(name = "isolation", max_term_width = 100)]
pub struct Options {
    /// Size of the room; a tenth of it is reserved for those who stall.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    pub clients: u32,
    /// Deliveries a second that the healthy clients are offered by their one speaker.
    #[arg(long, value_name = "RATE", default_value_t = 45_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub rate: u32,
    /// Only these.
    #[arg(long, value_name = "NUISANCES", value_enum, value_delimiter = ',')]
    pub only: Vec<Nuisance>,
    /// Some ten seconds in all, for a look or for CI: figures are rough.
    #[arg(long)]
    pub quick: bool,
    /// Pairs of rounds, without and with, of each nuisance [default: 5; with --quick 2].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Milliseconds of a round [default: 1500; with --quick 300].
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u32).range(100..=60_000))]
    pub time: Option<u32>,
    /// Connections a second of the flood of connections.
    #[arg(long, value_name = "RATE", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub flood: u32,
    /// Connections that try wrong passwords, each again as soon as it is refused.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub guessers: u32,
    /// Write every figure to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// Who may stall.
    pub fn reserved(&self) -> usize {
        self.clients as usize / 10
    }

    /// Who is in the room throughout, and reads.
    pub fn healthy(&self) -> usize {
        self.clients as usize - self.reserved()
    }

    /// What is measured, in the order of the table.
    pub fn nuisances(&self) -> Vec<Nuisance> {
        Nuisance::ALL
            .into_iter()
            .filter(|nuisance| self.only.is_empty() || self.only.contains(nuisance))
            .collect()
    }

    /// Pairs of each nuisance.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 }) as usize
    }

    /// Time of a round.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.time.unwrap_or(if self.quick { 300 } else { 1_500 }).into())
    }
}
