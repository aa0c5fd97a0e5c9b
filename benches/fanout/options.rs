//! The bench's own command line, and what it comes to.
//!
//! Knows clap and defaults. Knows nothing of how anything is measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::phases::Phase;
use crate::subjects::Subject;

/// What a chat server pays for a delivery: chinwag, the floor, and others, on this machine.
#[derive(Debug, Parser)]
#[command(name = "fanout", max_term_width = 100)]
pub struct Options {
    /// Sizes of the room [default: 10,100,1000; with --quick 10,100].
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub clients: Vec<u32>,
    /// Also with this many idle connections, beside 1,000 that chat.
    #[arg(long, value_name = "COUNT")]
    pub idle: Option<u32>,
    /// Also the other servers that are installed, and a thread per client.
    #[arg(long)]
    pub peers: bool,
    /// Only these, besides the floor.
    #[arg(
        long,
        value_name = "SUBJECTS",
        value_enum,
        value_delimiter = ',',
        conflicts_with = "peers"
    )]
    pub only: Vec<Subject>,
    /// Some ten seconds in all, for a look or for CI: figures are rough.
    #[arg(long)]
    pub quick: bool,
    /// Deliveries a second of the phases at a rate.
    #[arg(long, value_name = "RATES", value_delimiter = ',', default_value = "100000", value_parser = clap::value_parser!(u32).range(1_000..))]
    pub rates: Vec<u32>,
    /// Rounds of each phase, floor and subject in turn [default: 5; with --quick 2].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Milliseconds of a round [default: 300; with --quick 100].
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub time: Option<u32>,
    /// Write every figure to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw latency and CPU per delivery over the size of the room into this file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    pub bench: bool,
    /// Be the floor on this port.
    #[arg(long, hide = true, value_name = "PORT")]
    pub floor: Option<u16>,
    /// Be the relay with a thread per client on this port.
    #[arg(long, hide = true, value_name = "PORT")]
    pub threads: Option<u16>,
}

impl Options {
    /// The sizes of the room, from small to large.
    pub fn clients(&self) -> Vec<usize> {
        let mut clients: Vec<usize> = match (self.clients.as_slice(), self.quick) {
            ([], true) => vec![10, 100],
            ([], false) => vec![10, 100, 1_000],
            (clients, _) => clients.iter().map(|&count| count as usize).collect(),
        };
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    /// What is compared with the floor.
    pub fn subjects(&self) -> Vec<Subject> {
        if !self.only.is_empty() {
            return self.only.iter().copied().filter(|&s| s != Subject::Floor).collect();
        }
        let mut subjects = vec![Subject::Nickname, Subject::Accounts];
        if self.peers {
            subjects.extend(Subject::PEERS);
        }
        subjects
    }

    /// The phases, in the order of the tables.
    pub fn phases(&self) -> Vec<Phase> {
        let mut phases: Vec<Phase> = self.rates.iter().map(|&rate| Phase::Paced { rate }).collect();
        phases.extend(
            [(10, 1), (1, 64), (10, 64)]
                .map(|(speakers, window)| Phase::Window { speakers, window }),
        );
        phases
    }

    /// Rounds of each phase.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 }) as usize
    }

    /// Log-in storms of each subject and size.
    pub fn storms(&self) -> usize {
        if self.quick { 1 } else { self.rounds().min(3) }
    }

    /// Time of a round.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.time.unwrap_or(if self.quick { 100 } else { 300 }).into())
    }
}
