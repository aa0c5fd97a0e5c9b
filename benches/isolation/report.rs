//! All figures as a table for a person and as JSON for a program.
//!
//! Knows text. What a figure is, and how it was come by, is decided elsewhere.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::figures::Row;
use crate::machine::Cpus;
use crate::nuisance::Nuisance;
use crate::options::Options;
use crate::rank::Rank;
use crate::rounds::Round;

/// Everything measured in a run.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// Who ran where.
    pub cpus: Cpus,
    /// How long it all took.
    pub took: Duration,
    /// What the method makes of nothing, then each nuisance.
    pub rows: Vec<Row>,
}

impl Report<'_> {
    fn deliveries(&self) -> u64 {
        let rounds = self.rows.iter().skip(1).flat_map(|row| &row.pairs);
        rounds.map(|pair| pair.without.deliveries + pair.with.deliveries).sum()
    }

    /// Everything, in the order of the table.
    pub fn json(&self) -> Value {
        json!({
            "healthy_clients": self.options.healthy(),
            "deliveries_per_second": self.options.rate,
            "rounds": self.options.rounds(),
            "round_seconds": self.options.time().as_secs_f64(),
            "cpus": self.cpus.describe(),
            "seconds": self.took.as_secs_f64(),
            "deliveries_checked": self.deliveries(),
            "rows": self.rows.iter().map(row_json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options;
        writeln!(
            f,
            "\nIsolation: {} healthy clients in accounts, {} deliveries a second of one \
             speaker; {} s in all",
            options.healthy(),
            options.rate,
            self.took.as_secs()
        )?;
        writeln!(
            f,
            "{} pairs of rounds of {} ms each, without and with in turn; {}",
            options.rounds(),
            options.time().as_millis(),
            self.cpus.describe()
        )?;
        writeln!(
            f,
            "{} deliveries, each checked: in order, once, none lost; timed from when the \
             message was due",
            self.deliveries()
        )?;
        writeln!(
            f,
            "microseconds with the nuisance; x is the median of the ratios to the round \
             without right before\n"
        )?;
        write!(f, "{:<22}", "")?;
        for rank in Rank::ALL {
            write!(f, "{:>18}", rank.name())?;
        }
        writeln!(f, "   {:<13}{:>9}  {:>10}  {:>12}", "p99 ratios", "target", "server", "harness")?;
        let noise = self.rows.first().and_then(|row| row.figure(Rank::P99));
        let noise = noise.map_or(0.0, |figure| figure.range.1);
        for row in &self.rows {
            write_row(f, row, noise)?;
        }
        writeln!(
            f,
            "\nserver, harness: the part of the time at work; harness: + for the nuisance"
        )?;
        for row in &self.rows {
            let rate = |of: fn(&Round) -> f64| row.with(of).unwrap_or(0.0);
            let done = rate(|round| round.done_per_second);
            match row.nuisance {
                None => writeln!(f, "nothing: rounds without, each compared with the one before"),
                Some(Nuisance::One) => {
                    writeln!(f, "{}: over its soft limit all the time", row.name())
                }
                Some(nuisance @ Nuisance::Tenth) => {
                    let notices = rate(|round| round.notices as f64) / options.healthy() as f64;
                    writeln!(
                        f,
                        "{}: {done:.1} a second closed as stalled, and back at once; {notices:.0} \
                         notices a round to everybody",
                        nuisance.name()
                    )
                }
                Some(Nuisance::Connections) => {
                    writeln!(f, "{}: {done:.0} a second made and closed", row.name())
                }
                Some(Nuisance::LogIns) => writeln!(
                    f,
                    "{}: {} connections, {done:.0} a second refused, each a full argon2id hash",
                    row.name(),
                    options.guessers
                ),
            }?;
        }
        if self.rows.iter().any(Row::is_unsteady) {
            writeln!(
                f,
                "\n~ somebody else used the CPUs of the bench during some of the rounds, tried \
                 repeatedly"
            )?;
        }
        if self.rows.iter().any(Row::is_limited_by_harness) {
            writeln!(f, "\n* the harness was near its end: the latencies may be its own")?;
        }
        for row in &self.rows {
            if let Some(failure) = &row.failure {
                writeln!(f, "\nFAILED: {}: {failure}", row.name())?;
            }
        }
        Ok(())
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &Row, noise: f64) -> fmt::Result {
    let limited = if row.is_limited_by_harness() { "*" } else { "" };
    let unsteady = if row.is_unsteady() { "~" } else { "" };
    write!(f, "{:<22}", format!("{}{limited}{unsteady}", row.name()))?;
    for rank in Rank::ALL {
        let figure = row.figure(rank);
        let text = figure.map(|figure| format!("{:.0} {:.2}x", figure.with, figure.ratio));
        write!(f, "{:>18}", text.as_deref().unwrap_or("-"))?;
    }
    let Some(p99) = row.figure(Rank::P99) else { return writeln!(f) };
    write!(f, "   {:<13}", format!("{:.2} to {:.2}", p99.range.0, p99.range.1))?;
    let target = row.nuisance.map_or_else(String::new, |nuisance| {
        let target = nuisance.target();
        let verdict = match p99.ratio {
            ratio if ratio <= target => "met",
            ratio if ratio <= noise => "noise?",
            _ => "MISS",
        };
        format!("{target:.1} {verdict}")
    });
    let percent = |of: fn(&Round) -> f64| row.with(of).unwrap_or(0.0) * 100.0;
    let server = [percent(|round| round.server_busy), percent(|round| round.server_waited)];
    let harness = [percent(|round| round.harness_busy), percent(|round| round.disturber_busy)];
    let [server, harness] = [server, harness].map(|[work, more]| format!("{work:.0}+{more:.0} %"));
    writeln!(f, "{target:>9}  {server:>10}  {harness:>12}")
}

fn row_json(row: &Row) -> Value {
    let latencies = Rank::ALL.into_iter().map(|rank| {
        let figure = row.figure(rank).map_or(Value::Null, |figure| {
            json!({
                "without": figure.without,
                "with": figure.with,
                "ratio": figure.ratio,
                "ratios": [figure.range.0, figure.range.1],
            })
        });
        (rank.name().to_owned(), figure)
    });
    json!({
        "nuisance": row.name(),
        "pairs": row.pairs.len(),
        "latency_us": Value::Object(latencies.collect::<Map<_, _>>()),
        "p99_target": row.nuisance.map(Nuisance::target),
        "met": row.is_met(),
        "nuisance_per_second": row.with(|round| round.done_per_second),
        "notices_heard": row.with(|round| round.notices as f64),
        "unsteady": row.is_unsteady(),
        "server_waited_for_cpu": row.with(|round| round.server_waited),
        "server_busy": row.with(|round| round.server_busy),
        "harness_busy": row.with(|round| round.harness_busy),
        "harness_busy_for_nuisance": row.with(|round| round.disturber_busy),
        "harness_was_the_limit": row.is_limited_by_harness(),
        "failure": row.failure,
    })
}
