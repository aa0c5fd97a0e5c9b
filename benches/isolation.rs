//! The isolation bench: what those who read cost by those who do not, and by floods.
//!
//! `cargo bench --bench isolation -- --help` lists what it can do. The server is the real
//! program on one CPU, the harness one thread on another. Healthy clients chat throughout
//! in one room of one server; rounds without a nuisance and with it take turns, and only
//! neighbours are compared. The room is one of `accounts`, since there alone somebody can
//! guess passwords; to the fan-out the protocol makes no difference.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a bench prints, and its counts are far below what a float holds exactly"
)]
// Modules of a program: what is public in them is so for this file.
#![allow(unreachable_pub, reason = "one program, no API")]
// What this bench shares with the fan-out bench, it does not use all of.
#![allow(dead_code, reason = "the fan-out bench uses the rest, and is checked for it")]

#[path = "fanout/accounts_database.rs"]
mod accounts_database;
#[path = "fanout/arrivals.rs"]
mod arrivals;
#[path = "fanout/crowd.rs"]
mod crowd;
#[path = "fanout/dialect.rs"]
mod dialect;
#[path = "isolation/figures.rs"]
mod figures;
#[path = "isolation/floods.rs"]
mod floods;
#[path = "fanout/ledger.rs"]
mod ledger;
#[path = "fanout/machine.rs"]
mod machine;
#[path = "isolation/nuisance.rs"]
mod nuisance;
#[path = "isolation/options.rs"]
mod options;
#[path = "fanout/processes.rs"]
mod processes;
#[path = "fanout/rank.rs"]
mod rank;
#[path = "isolation/report.rs"]
mod report;
#[path = "isolation/rounds.rs"]
mod rounds;
#[path = "isolation/stalled.rs"]
mod stalled;
#[path = "fanout/subjects.rs"]
mod subjects;
#[path = "fanout/visits.rs"]
mod visits;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::arrivals::Visit;
use crate::crowd::Crowd;
use crate::figures::{Pair, Row};
use crate::machine::Cpus;
use crate::options::Options;
use crate::report::Report;
use crate::subjects::Subject;
use crate::visits::Visits;

/// How long it may take until everybody is in the room.
const ARRIVAL_WAIT: Duration = Duration::from_secs(60);
/// How many pairs that somebody else disturbed are measured again, in all: the bench must
/// end in time on a machine that is never its own.
const AGAIN_MAX: usize = 5;
/// Connections beside those of the room: floods, and files.
const DESCRIPTORS_RESERVED: u64 = 1_500;

fn main() -> ExitCode {
    if std::env::args_os().len() < 2 {
        // `cargo test --all-targets` runs benches without an argument.
        println!("This is a bench: cargo bench --bench isolation -- --help");
        return ExitCode::SUCCESS;
    }
    run(&Options::parse()).unwrap_or_else(|error| {
        eprintln!("isolation: {error}");
        ExitCode::FAILURE
    })
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let start = Instant::now();
    let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
    if u64::from(options.clients) + DESCRIPTORS_RESERVED > descriptors {
        return Err(format!("too many clients for the descriptor limit of {descriptors}").into());
    }
    let cpus = Cpus::choose();
    let scratch = tempfile::tempdir()?;
    processes::end_with_us(scratch.path().to_owned())?;

    let nuisances = options.nuisances();
    let row = |&nuisance| Row { nuisance: Some(nuisance), pairs: Vec::new(), failure: None };
    let mut rows: Vec<Row> = nuisances.iter().map(row).collect();
    let mut visit = open(options, scratch.path(), cpus)?;
    // Warms up, and would fail if the room does not work at all.
    rounds::round(&mut visit, None, options)?;
    let mut again = if options.quick { 0 } else { AGAIN_MAX };
    // Round by round through all: what changes on the machine in a minute hits all alike.
    for number in 1..=options.rounds() {
        for row in &mut rows {
            if row.failure.is_some() {
                continue;
            }
            let at = start.elapsed().as_secs();
            eprintln!("[{at:>4} s] round {number}: {}", row.name());
            let mut outcome = pair(&mut visit, row, options);
            while again > 0 && outcome.as_ref().is_ok_and(|pair| !pair.is_steady()) {
                again -= 1;
                outcome = pair(&mut visit, row, options);
            }
            match outcome {
                Ok(pair) => row.pairs.push(pair),
                Err(error) => {
                    row.failure = Some(format!("{error}{}", visit.server.said()));
                    // The room is in disorder: the next gets a new one.
                    drop(visit);
                    visit = open(options, scratch.path(), cpus)?;
                }
            }
        }
    }
    drop(visit);
    rows.insert(0, figures::nothing(&rows));
    let report = Report { options, cpus, took: start.elapsed(), rows };
    println!("{report}");
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", report.json()))?;
    }
    // A missed target is told, and for a person to judge; a lost delivery is a failure.
    let failed = report.rows.iter().any(|row| row.failure.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn pair(visit: &mut Visit, row: &Row, options: &Options) -> Result<Pair, Box<dyn Error>> {
    let without = rounds::round(visit, None, options)?;
    let with = rounds::round(visit, row.nuisance, options)?;
    Ok(Pair { without, with })
}

/// Starts a server with accounts for all, and lets the healthy ones in.
fn open(options: &Options, scratch: &Path, cpus: Cpus) -> Result<Visit, Box<dyn Error>> {
    let subject = Subject::Accounts;
    let healthy = options.healthy();
    let server = subject.start(scratch, cpus, options.clients as usize)?;
    let mut crowd = Crowd::new(subject, server.port(), healthy)?;
    let deadline = Instant::now() + ARRIVAL_WAIT;
    crowd.arrive(healthy, true, subject.in_flight(), deadline)?;
    crowd.settle(deadline)?;
    let (witness, left) = (healthy - 1, Vec::new());
    crowd.ledger.visits = Some(Visits { first: healthy, witness, joined: 0, left, heard: 0 });
    Ok(Visit { server, crowd })
}
