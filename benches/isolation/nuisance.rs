//! The closed set of what disturbs a room, what is promised of each, and how each is begun.
//!
//! Knows names, targets and counts. How a disturber behaves is in `stalled` and `floods`.

use std::io;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::floods::{Connections, WrongLogIns};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::stalled::Stalled;

/// What disturbs the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Nuisance {
    /// One client that never reads.
    One,
    /// A tenth of the clients never read.
    Tenth,
    /// Connections that come, say nothing or garbage, and go.
    Connections,
    /// Log-ins with wrong passwords.
    LogIns,
}

impl Nuisance {
    /// All, in the order of the table.
    pub const ALL: [Self; 4] = [Self::One, Self::Tenth, Self::Connections, Self::LogIns];

    /// The name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one never reads",
            Self::Tenth => "a tenth never read",
            Self::Connections => "flood of connections",
            Self::LogIns => "flood of log-ins",
        }
    }

    /// The p99 that is promised, as a ratio to that without the nuisance.
    pub const fn target(self) -> f64 {
        match self {
            Self::One => 1.1,
            Self::Tenth | Self::Connections | Self::LogIns => 2.0,
        }
    }

    /// How long it goes on before the measurement begins. Who stalls is closed after 2 s: a
    /// crowd of them needs as long until it comes and goes evenly. A single one is there,
    /// over its soft limit, throughout the round; its end is a notice as anybody's.
    pub fn lead(self, round: Duration) -> Duration {
        match self {
            Self::Tenth if round < Duration::from_secs(1) => Duration::from_secs(1),
            Self::Tenth => Duration::from_secs(2),
            Self::One | Self::Connections | Self::LogIns => Duration::from_millis(200),
        }
    }

    /// Begins it.
    pub fn begin(self, options: &Options, port: u16, lead: Duration) -> Disturber {
        let (first, now) = (options.healthy(), Instant::now());
        match self {
            Self::One => Disturber::Stalled(Stalled::new(port, first, 1, Duration::ZERO, now)),
            Self::Tenth => {
                Disturber::Stalled(Stalled::new(port, first, options.reserved(), lead, now))
            }
            Self::Connections => Disturber::Connections(Connections::new(port, options.flood, now)),
            Self::LogIns => Disturber::LogIns(WrongLogIns::new(port, options.guessers as usize)),
        }
    }
}

/// A nuisance under way. Dropping it ends it: all its connections are closed.
#[derive(Debug)]
pub enum Disturber {
    /// Clients that never read.
    Stalled(Stalled),
    /// Connections that come and go.
    Connections(Connections),
    /// Wrong log-ins.
    LogIns(WrongLogIns),
}

impl Disturber {
    /// Does at most one small thing, so that the harness is never kept from its clocks for
    /// long. Whether there was anything to do.
    ///
    /// # Errors
    /// A connection could not be made.
    pub fn step(&mut self, ledger: &mut Ledger) -> io::Result<bool> {
        match self {
            Self::Stalled(stalled) => stalled.step(ledger),
            Self::Connections(connections) => connections.step(),
            Self::LogIns(log_ins) => log_ins.step(),
        }
    }

    /// How much it has done so far: clients closed as stalled, connections made, log-ins
    /// refused.
    pub fn done(&self) -> u64 {
        match self {
            Self::Stalled(stalled) => stalled.closed(),
            Self::Connections(connections) => connections.made(),
            Self::LogIns(log_ins) => log_ins.refused(),
        }
    }
}
