//! All figures as tables that a person can read.
//!
//! Knows text. What a figure is, and how it was come by, is decided elsewhere.

use std::fmt;
use std::fs;
use std::time::Duration;

use crate::arrivals::{Memory, Size, Storm};
use crate::contest::{PhaseOutcome, Row};
use crate::figures::{Figure, Quantity, figure};
use crate::machine::Cpus;
use crate::options::Options;
use crate::phases::Phase;
use crate::rank::Rank;
use crate::subjects::Subject;

/// Everything measured in a run.
#[derive(Debug)]
pub struct Report {
    /// What was asked for, in words.
    pub settings: String,
    /// Where it ran, in words.
    pub machine: String,
    /// Peers that are not installed.
    pub missing: Vec<Subject>,
    /// How long it all took.
    pub took: Duration,
    /// Size by size; the floor's row is first.
    pub sizes: Vec<(Size, Vec<Row>)>,
}

impl Report {
    /// Nothing measured yet.
    pub fn new(options: &Options, cpus: Cpus, missing: Vec<Subject>) -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("processor unknown", |(_, model)| model);
        Self {
            settings: format!(
                "{} rounds of {} ms a phase, floor and subject in turn",
                options.rounds(),
                options.time().as_millis()
            ),
            machine: format!("{model}, Linux {}; {}", kernel.trim(), cpus.describe()),
            missing,
            took: Duration::ZERO,
            sizes: Vec::new(),
        }
    }

    /// Adds what was measured in rooms of `size`.
    pub fn add(&mut self, size: Size, rows: Vec<Row>) {
        self.sizes.push((size, rows));
    }

    /// Everything that failed: where, whose, and why.
    pub fn failures(&self) -> impl Iterator<Item = (String, Subject, &str)> {
        self.sizes.iter().flat_map(|(size, rows)| {
            rows.iter().flat_map(move |row| {
                let mut before = None;
                let phases = row.phases.iter().filter_map(move |outcome| {
                    let failure = outcome.failure.as_deref()?;
                    // A room that does not fill fails all its phases: told once.
                    if before.replace(failure) == Some(failure) {
                        return None;
                    }
                    Some((format!("{}, {}", describe(*size), outcome.phase.name()), failure))
                });
                let storm = row.storms.as_ref().err().map(|e| ("log-in storm", e.as_str()));
                let memory = row.memory.as_ref().and_then(|memory| memory.as_ref().err());
                let memory = memory.map(|error| ("memory", error.as_str()));
                let others = storm.into_iter().chain(memory);
                let others =
                    others.map(move |(what, e)| (format!("{}, {what}", describe(*size)), e));
                phases.chain(others).map(|(place, failure)| (place, row.subject, failure))
            })
        })
    }

    fn deliveries(&self) -> u64 {
        let rows = self.sizes.iter().flat_map(|(_, rows)| rows);
        rows.flat_map(|row| &row.phases).map(PhaseOutcome::deliveries).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nFan-out: {}; {} s in all", self.settings, self.took.as_secs())?;
        writeln!(f, "{}", self.machine)?;
        writeln!(
            f,
            "{} deliveries of 64 bytes, each checked: in order, once, none lost",
            grouped(self.deliveries() as f64)
        )?;
        writeln!(
            f,
            "1.00x is the floor: a bare loop, one read of a speaker and one send to each \
             recipient a round"
        )?;
        if self.rows().any(|row| row.subject.has_accounts()) {
            writeln!(
                f,
                "accounts: the database was filled beforehand with argon2id hashes of the \
                 cheapest setting (8 KiB, 1 pass); real ones cost a log-in some 15 ms of CPU"
            )?;
        }
        for subject in &self.missing {
            writeln!(f, "{}: not installed, skipped", subject.name())?;
        }
        for (size, rows) in &self.sizes {
            self.write_size(f, *size, rows)?;
        }
        for (place, subject, failure) in self.failures() {
            writeln!(f, "\nFAILED: {}, {place}: {failure}", subject.name())?;
        }
        if self.rows().any(|row| row.phases.iter().any(PhaseOutcome::is_limited_by_harness)) {
            writeln!(
                f,
                "\n* the harness was busier than the server, and at its end: the server was not \
                 at its"
            )?;
        }
        if self.rows().any(|row| row.phases.iter().any(|o| o.failure.is_some())) {
            writeln!(f, "\n! of the rounds before the one that failed")?;
        }
        if self.rows().any(|row| row.phases.iter().any(|outcome| outcome.unsteady)) {
            writeln!(f, "\n~ the price of a cache line changed within rounds, tried repeatedly")?;
        }
        Ok(())
    }
}

impl Report {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sizes.iter().flat_map(|(_, rows)| rows)
    }

    fn write_size(&self, f: &mut fmt::Formatter<'_>, size: Size, rows: &[Row]) -> fmt::Result {
        let Some(first) = rows.first() else { return Ok(()) };
        let place = describe(size);
        writeln!(f, "\n=== {place} ===")?;
        let phases: Vec<Phase> = first.phases.iter().map(|outcome| outcome.phase).collect();
        let names: Vec<String> = phases.iter().map(|phase| phase.name()).collect();
        let by_phase = |title: &str, quantity: Quantity, write: fn(f64) -> String| {
            let mut table = Table::new(title, names.iter().cloned());
            for row in rows {
                table.row(row.subject, row.phases.iter().map(|o| cell(o, quantity, write)));
            }
            table
        };
        by_phase("server CPU per delivery, us", Quantity::Cpu, |us| format!("{us:.3}")).write(f)?;
        for (index, phase) in phases.iter().enumerate() {
            if !matches!(phase, Phase::Paced { .. }) {
                continue;
            }
            let title = format!("latency at {}, us", phase.name());
            let ranks = || {
                Rank::ALL.into_iter().map(|rank| (rank, "")).chain([
                    (Rank::P50, "last "),
                    (Rank::P99, "last "),
                    (Rank::Max, "last "),
                ])
            };
            let headers = ranks().map(|(rank, last)| format!("{last}{}", rank.name()));
            let mut table = Table::new(&title, headers);
            for row in rows {
                let quantity = |(rank, last): (Rank, &str)| {
                    if last.is_empty() { Quantity::Each(rank) } else { Quantity::Last(rank) }
                };
                let outcome = &row.phases[index];
                table.row(
                    row.subject,
                    ranks().map(|rank| cell(outcome, quantity(rank), |us| format!("{us:.0}"))),
                );
            }
            table.write(f)?;
        }
        by_phase("deliveries a second", Quantity::Throughput, grouped).write(f)?;

        let mut busy = Table::new("busy, %: server / harness", names.iter().cloned());
        for row in rows {
            busy.row(
                row.subject,
                row.phases.iter().map(|outcome| {
                    let percent =
                        |quantity| Some(format!("{:.0}", outcome.figure(quantity)?.value * 100.0));
                    let both = percent(Quantity::ServerBusy).zip(percent(Quantity::HarnessBusy));
                    both.map_or("-".to_owned(), |(server, harness)| format!("{server} / {harness}"))
                }),
            );
        }
        busy.write(f)?;

        if first.phases.iter().any(|outcome| outcome.system_calls.is_some()) {
            let mut calls = Table::new("system calls per delivery", names.iter().cloned());
            for row in rows {
                calls.row(
                    row.subject,
                    row.phases.iter().zip(&first.phases).map(|(o, floor)| {
                        match (o.system_calls, floor.system_calls) {
                            (Some(value), Some(floor)) => {
                                written(Figure { value, ratio: value / floor }, |c| {
                                    format!("{c:.3}")
                                })
                            }
                            _ => "-".to_owned(),
                        }
                    }),
                );
            }
            calls.write(f)?;
        } else {
            writeln!(f, "\nsystem calls per delivery: not counted (--quick, or no `perf stat`)")?;
        }
        write_arrivals(f, rows)?;
        let lines = rows.iter().flat_map(|row| &row.phases).filter_map(PhaseOutcome::cache_line_ns);
        match lines.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) {
            Some((least, most)) => {
                writeln!(f, "\na cache line between the CPUs and back: {least:.0} to {most:.0} ns")
            }
            None => writeln!(f, "\na cache line between the CPUs and back: not timed"),
        }
    }
}

fn write_arrivals(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let headers = ["log-ins a second", "harness busy, %", "CPU per log-in, us"];
    let mut table = Table::new("log-in storm", headers.map(str::to_owned).into_iter());
    for row in rows {
        let storms = row.storms.as_deref().unwrap_or_default();
        let storm = |of: fn(&Storm) -> f64, write: fn(f64) -> String| {
            figure(storms, |s| Some(of(s))).map_or("-".to_owned(), |fig| written(fig, write))
        };
        let busy = figure(storms, |s| Some(s.harness_busy * 100.0));
        table.row(
            row.subject,
            [
                storm(|s| s.per_second, grouped),
                busy.map_or("-".to_owned(), |busy| format!("{:.0}", busy.value)),
                storm(|s| s.server_cpu_us, |us| format!("{us:.1}")),
            ],
        );
    }
    table.write(f)?;

    let memory = |row: &Row| row.memory.as_ref()?.as_ref().ok().copied();
    let Some(clients) = rows.iter().find_map(memory).map(|memory| memory.clients) else {
        return Ok(());
    };
    let title = format!("memory, B ({} connections)", grouped(clients as f64));
    let headers = ["each connected", "each joined", "all connected in, ms"];
    let mut table = Table::new(&title, headers.map(str::to_owned).into_iter());
    let floor = rows.first().and_then(memory);
    for row in rows {
        let ratio = |of: fn(&Memory) -> Option<f64>| {
            let mine = of(&memory(row)?)?;
            let ratio = mine / of(&floor?)?;
            Some(written(Figure { value: mine, ratio }, |number| format!("{number:.0}")))
        };
        let ratio = |of| ratio(of).unwrap_or_else(|| "-".to_owned());
        table.row(
            row.subject,
            [
                ratio(|m| Some(m.connected)),
                ratio(|m| m.joined),
                ratio(|m| Some(m.connecting.as_secs_f64() * 1e3)),
            ],
        );
    }
    table.write(f)
}

/// The size of a room in words.
pub fn describe(size: Size) -> String {
    let chatting = grouped(size.chatting as f64);
    match size.idle {
        0 => format!("N = {chatting}"),
        idle => format!("N = {chatting} beside {} idle", grouped(idle as f64)),
    }
}

fn cell(outcome: &PhaseOutcome, quantity: Quantity, write: fn(f64) -> String) -> String {
    let Some(figure) = outcome.figure(quantity) else {
        return if outcome.failure.is_some() { "failed" } else { "-" }.to_owned();
    };
    let mut text = written(figure, write);
    if outcome.is_limited_by_harness() {
        text.push('*');
    }
    if outcome.unsteady {
        text.push('~');
    }
    if outcome.failure.is_some() {
        text.push('!');
    }
    text
}

fn written(figure: Figure, write: fn(f64) -> String) -> String {
    format!("{} {:.2}x", write(figure.value), figure.ratio)
}

/// A whole number with its thousands set apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Columns, aligned to the right.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(title: &str, headers: impl Iterator<Item = String>) -> Self {
        Self { rows: vec![std::iter::once(title.to_owned()).chain(headers).collect()] }
    }

    fn row(&mut self, subject: Subject, cells: impl IntoIterator<Item = String>) {
        self.rows.push(std::iter::once(subject.name().to_owned()).chain(cells).collect());
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| self.rows.iter().filter_map(|r| r.get(c)).map(String::len).max().unwrap_or(0))
            .collect();
        writeln!(f)?;
        for row in &self.rows {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, "   {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
