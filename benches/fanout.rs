//! The fan-out bench: what a delivery costs, of chinwag and others, and what no server on
//! this machine can be cheaper than.
//!
//! `cargo bench --bench fanout -- --help` lists what it can do. The servers run as
//! processes on one CPU, the harness is one thread on another; every delivery is checked;
//! every figure is also given as a ratio to the floor, measured in turn with it. The files
//! beside this one each do one thing; this one puts them in order.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a bench prints, and its counts are far below what a float holds exactly"
)]
// Modules of a program: what is public in them is so for this file.
#![allow(unreachable_pub, reason = "one program, no API")]

#[path = "fanout/accounts_database.rs"]
mod accounts_database;
#[path = "fanout/arrivals.rs"]
mod arrivals;
#[path = "fanout/contest.rs"]
mod contest;
#[path = "fanout/crowd.rs"]
mod crowd;
#[path = "fanout/dialect.rs"]
mod dialect;
#[path = "fanout/figures.rs"]
mod figures;
#[path = "fanout/floor.rs"]
mod floor;
#[path = "fanout/json.rs"]
mod json;
#[path = "fanout/ledger.rs"]
mod ledger;
#[path = "fanout/machine.rs"]
mod machine;
#[path = "fanout/options.rs"]
mod options;
#[path = "fanout/phases.rs"]
mod phases;
#[path = "fanout/plot.rs"]
mod plot;
#[path = "fanout/processes.rs"]
mod processes;
#[path = "fanout/rank.rs"]
mod rank;
#[path = "fanout/report.rs"]
mod report;
#[path = "fanout/subjects.rs"]
mod subjects;
#[path = "fanout/system_calls.rs"]
mod system_calls;
#[path = "fanout/threads.rs"]
mod threads;
#[path = "fanout/visits.rs"]
mod visits;

use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::arrivals::Size;
use crate::contest::Contest;
use crate::machine::Cpus;
use crate::options::Options;
use crate::report::Report;

/// How many chat beside idle connections.
const CHATTING_BESIDE_IDLE: usize = 1_000;

fn main() -> ExitCode {
    if std::env::args_os().len() < 2 {
        // `cargo test --all-targets` runs benches without an argument.
        println!("This is a bench: cargo bench --bench fanout -- --help");
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let outcome = match (options.floor, options.threads) {
        (Some(port), _) => floor::run(port).map(|()| ExitCode::SUCCESS),
        (_, Some(port)) => threads::run(port).map(|()| ExitCode::SUCCESS),
        _ => run(&options),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("fanout: {error}");
        ExitCode::FAILURE
    })
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let start = Instant::now();
    let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
    let cpus = Cpus::choose();
    let scratch = tempfile::tempdir()?;
    processes::end_with_us(scratch.path().to_owned())?;
    let (subjects, missing): (Vec<_>, Vec<_>) =
        options.subjects().into_iter().partition(|subject| subject.is_installed());

    let mut sizes: Vec<Size> =
        options.clients().into_iter().map(|chatting| Size { chatting, idle: 0 }).collect();
    if let Some(idle) = options.idle {
        sizes.push(Size { chatting: CHATTING_BESIDE_IDLE, idle: idle as usize });
    }
    if let Some(size) = sizes.iter().find(|size| size.all() as u64 + 100 > descriptors) {
        return Err(format!(
            "{} connections do not fit the descriptor limit of {descriptors}",
            size.all()
        )
        .into());
    }

    let contest = Contest {
        options,
        cpus,
        scratch: scratch.path(),
        descriptors: usize::try_from(descriptors).unwrap_or(usize::MAX),
        start,
    };
    for &subject in subjects.iter().filter(|subject| subject.is_ours()) {
        // A server that does not work at all is no row of a table.
        contest.try_out(subject)?;
    }
    let mut report = Report::new(options, cpus, missing);
    for size in sizes {
        report.add(size, contest.run(size, &subjects)?);
    }
    report.took = start.elapsed();

    println!("{report}");
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", report.json()))?;
    }
    if let Some(path) = &options.svg {
        plot::draw(&report, path)?;
    }
    // What fails of chinwag fails the bench; a peer's trouble is only told.
    let ours_failed = report.failures().any(|(_, subject, _)| subject.is_ours());
    Ok(if ours_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
