//! All figures for a program to read.
//!
//! Knows JSON. What a figure is, and how it was come by, is decided elsewhere.

use serde_json::{Map, Value, json};

use crate::arrivals::Size;
use crate::contest::{PhaseOutcome, Row};
use crate::figures::{Figure, Quantity, figure};
use crate::rank::Rank;
use crate::report::Report;

impl Report {
    /// Everything, sizes and subjects in the order of the tables.
    pub fn json(&self) -> Value {
        json!({
            "settings": self.settings,
            "machine": self.machine,
            "seconds": self.took.as_secs_f64(),
            "accounts": "argon2id hashes of the cheapest setting",
            "not_installed": self.missing.iter().map(|subject| subject.name()).collect::<Vec<_>>(),
            "sizes": self.sizes.iter().map(|(size, rows)| size_json(*size, rows))
                .collect::<Vec<_>>(),
        })
    }
}

fn size_json(size: Size, rows: &[Row]) -> Value {
    json!({
        "clients": size.chatting,
        "idle": size.idle,
        "subjects": rows.iter().map(row_json).collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row) -> Value {
    let storms = row.storms.as_deref().unwrap_or_default();
    let memory = row.memory.as_ref().and_then(|memory| memory.as_ref().ok());
    json!({
        "name": row.subject.name(),
        "phases": row.phases.iter().map(phase_json).collect::<Vec<_>>(),
        "log_ins_per_second": of(figure(storms, |storm| Some(storm.per_second))),
        "server_cpu_us_per_log_in": of(figure(storms, |storm| Some(storm.server_cpu_us))),
        "storm_harness_busy": of(figure(storms, |storm| Some(storm.harness_busy))),
        "storm_failure": row.storms.as_ref().err(),
        "bytes_per_connection": memory.map(|memory| memory.connected),
        "bytes_per_member": memory.map(|memory| memory.joined),
        "connecting_seconds": memory.map(|memory| memory.connecting.as_secs_f64()),
        "memory_failure": row.memory.as_ref().and_then(|memory| memory.as_ref().err()),
    })
}

fn phase_json(outcome: &PhaseOutcome) -> Value {
    let latency = |quantity: fn(Rank) -> Quantity| {
        let ranks = Rank::ALL.into_iter();
        let ranks = ranks.map(|rank| (rank.name().to_owned(), of(outcome.figure(quantity(rank)))));
        Value::Object(ranks.collect::<Map<_, _>>())
    };
    json!({
        "phase": outcome.phase.name(),
        "rounds": outcome.pairs.len(),
        "deliveries": outcome.deliveries(),
        "server_cpu_us_per_delivery": of(outcome.figure(Quantity::Cpu)),
        "deliveries_per_second": of(outcome.figure(Quantity::Throughput)),
        "server_busy": of(outcome.figure(Quantity::ServerBusy)),
        "harness_busy": of(outcome.figure(Quantity::HarnessBusy)),
        "harness_was_the_limit": outcome.is_limited_by_harness(),
        "latency_us": latency(Quantity::Each),
        "latency_to_last_us": latency(Quantity::Last),
        "system_calls_per_delivery": outcome.system_calls,
        "cache_line_ns": outcome.cache_line_ns().map(|(least, most)| [least, most]),
        "unsteady": outcome.unsteady,
        "failure": outcome.failure,
    })
}

fn of(figure: Option<Figure>) -> Value {
    figure.map_or(Value::Null, |f| json!({ "value": f.value, "ratio_to_floor": f.ratio }))
}
