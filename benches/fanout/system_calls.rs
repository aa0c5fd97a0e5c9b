//! System calls of a server while a phase runs, counted by `perf stat`.
//!
//! Knows `perf`. Where it is missing or may not trace, there is no figure.

use std::error::Error;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::processes;

/// How long `perf` gets to attach to all threads.
const ATTACH_WAIT: Duration = Duration::from_millis(200);

/// Counts the system calls of all threads of `pid` during `work`, and gives its result.
/// No count where the system allows none.
pub fn count<T>(pid: u32, work: impl FnOnce() -> T) -> (T, Option<u64>) {
    let perf = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut perf) = perf else { return (work(), None) };
    thread::sleep(ATTACH_WAIT);
    let result = work();
    processes::send(perf.id(), Signal::INT);
    let mut report = String::new();
    let read = perf.stderr.take().map(|mut stderr| stderr.read_to_string(&mut report));
    // Its report is all that counts.
    let _ = perf.wait();
    let calls = match read {
        Some(Ok(_)) => parse(&report).ok(),
        _ => None,
    };
    (result, calls)
}

/// The first field of the line that names the event.
fn parse(report: &str) -> Result<u64, Box<dyn Error>> {
    let line = report.lines().find(|line| line.contains("sys_enter")).ok_or("no count")?;
    Ok(line.split(',').next().unwrap_or_default().parse()?)
}
