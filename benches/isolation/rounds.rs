//! One round: the speaker talks at a rate, with or without somebody who disturbs, and
//! every delivery is timed and checked.
//!
//! Knows time, the crowd and the disturber's step. Knows no socket and no table.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::arrivals::Visit;
use crate::ledger::{Failure, Latencies, Ledger};
use crate::machine;
use crate::nuisance::{Disturber, Nuisance};
use crate::options::Options;

/// Who speaks.
const SPEAKER: usize = 0;
/// How long a round may take beyond its time until everything said was heard.
const HEARD_WAIT: Duration = Duration::from_secs(10);
/// A room that was silent this long, while the server was at rest, has settled.
const SETTLED: Duration = Duration::from_millis(60);
/// The part of the time in which a server at rest is at work, at most.
const REST_BUSY_MAX: f64 = 0.05;
/// How long the server may take to come to rest: the hashes at hand are still computed.
const REST_WAIT: Duration = Duration::from_secs(10);

/// What one round gave.
#[derive(Debug, Clone)]
pub struct Round {
    /// From when a message was due to when each recipient had heard it, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Deliveries, each of them checked.
    pub deliveries: u64,
    /// Notices about visitors in the measured time, each of them checked.
    pub notices: u64,
    /// What the disturber did in the measured time (see `Disturber::done`), per second.
    pub done_per_second: f64,
    /// The part of the time in which the server was at work, hashes included.
    pub server_busy: f64,
    /// The part in which the server's loop was ready to run but something else had its
    /// CPU: its own hashes, or a stranger to the bench.
    pub server_waited: f64,
    /// The part in which the harness, which never sleeps, had its CPU.
    pub harness_ran: f64,
    /// The part of the time in which the harness was at work for the healthy clients.
    pub harness_busy: f64,
    /// The part in which it was at work for the disturber.
    pub disturber_busy: f64,
}

/// One round. Afterwards the room has settled and everything was checked.
///
/// # Errors
/// A delivery is wrong, missing or too many; the server closed a healthy client; not
/// everything was heard in time; the disturber could not do its work.
pub fn round(
    visit: &mut Visit,
    nuisance: Option<Nuisance>,
    options: &Options,
) -> Result<Round, Box<dyn Error>> {
    if let Some(visits) = &mut visit.crowd.ledger.visits {
        visits.left.clear();
    }
    let mut disturber = None;
    if let Some(nuisance) = nuisance {
        let lead = nuisance.lead(options.time());
        let begun = disturber.insert(nuisance.begin(options, visit.server.port(), lead));
        let start = Instant::now();
        while start.elapsed() < lead {
            visit.crowd.turn(Some(Duration::ZERO))?;
            begun.step(&mut visit.crowd.ledger)?;
        }
    }
    let round = measure(visit, disturber.as_mut(), options)?;
    drop(disturber);
    settle(visit)?;
    Ok(round)
}

fn measure(
    visit: &mut Visit,
    mut disturber: Option<&mut Disturber>,
    options: &Options,
) -> Result<Round, Box<dyn Error>> {
    let Visit { server, crowd } = visit;
    crowd.ledger.latencies = Some(Latencies::new()?);
    let delivered_before = crowd.ledger.delivered();
    let notices = |ledger: &Ledger| ledger.visits.as_ref().map_or(0, |v| v.heard);
    let notices_before = notices(&crowd.ledger);
    let done_before = disturber.as_ref().map_or(0, |disturber| disturber.done());
    let cpu_before = machine::cpu_time(server.pid())?;
    let waited_before = machine::first_thread_waited(server.pid())?;
    let own_before = machine::own_cpu_time();

    let per_message = f64::from(crowd.ledger.recipients()) * 1e9 / f64::from(options.rate);
    let messages = (options.time().as_nanos() as f64 / per_message).ceil() as u64;
    let start = Instant::now();
    let deadline = start + options.time() + HEARD_WAIT;
    let first_due = crowd.now() + 1_000_000;
    let due = |message: u64| first_due + (message as f64 * per_message) as u64;
    let (mut busy, mut disturber_busy) = (Duration::ZERO, Duration::ZERO);
    let mut said = 0;
    let mut turn_start = start;
    // The harness does not sleep: to be woken takes longer than what it is to measure. It
    // was at work in those turns that found something to do.
    loop {
        let mut idle = true;
        // Open loop: each message has its time, whatever became of those before.
        while said < messages && due(said) <= crowd.now() {
            crowd.say(SPEAKER, due(said))?;
            crowd.send(SPEAKER)?;
            said += 1;
            idle = false;
        }
        idle &= !crowd.turn(Some(Duration::ZERO))?;
        let mut turn_end = Instant::now();
        if !idle {
            busy += turn_end - turn_start;
        }
        turn_start = turn_end;
        if let Some(disturber) = &mut disturber
            && disturber.step(&mut crowd.ledger)?
        {
            turn_end = Instant::now();
            disturber_busy += turn_end - turn_start;
            turn_start = turn_end;
        }
        if said == messages && crowd.ledger.missing() == 0 {
            break;
        }
        if turn_end > deadline {
            return Err(Failure::Deadline { missing: crowd.ledger.missing() }.into());
        }
    }
    let wall = start.elapsed().as_secs_f64();
    let own_cpu = machine::own_cpu_time().saturating_sub(own_before);
    let server_cpu = machine::cpu_time(server.pid())?.saturating_sub(cpu_before);
    let waited = machine::first_thread_waited(server.pid())?.saturating_sub(waited_before);
    let done = disturber.map_or(0, |disturber| disturber.done()) - done_before;
    let latencies = crowd.ledger.latencies.take().ok_or("no latencies")?;
    Ok(Round {
        latencies: latencies.each,
        deliveries: crowd.ledger.delivered() - delivered_before,
        notices: notices(&crowd.ledger) - notices_before,
        done_per_second: done as f64 / wall,
        server_busy: server_cpu.as_secs_f64() / wall,
        server_waited: waited.as_secs_f64() / wall,
        harness_ran: own_cpu.as_secs_f64() / wall,
        harness_busy: busy.as_secs_f64() / wall,
        disturber_busy: disturber_busy.as_secs_f64() / wall,
    })
}

/// Waits until the server has nothing left to do, and checks all that was heard.
fn settle(visit: &mut Visit) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + REST_WAIT;
    loop {
        let cpu_before = machine::cpu_time(visit.server.pid())?;
        let start = Instant::now();
        thread::sleep(SETTLED);
        let cpu = machine::cpu_time(visit.server.pid())?.saturating_sub(cpu_before);
        let mut silent = true;
        while visit.crowd.turn(Some(Duration::ZERO))? {
            silent = false;
        }
        if silent && cpu.as_secs_f64() < REST_BUSY_MAX * start.elapsed().as_secs_f64() {
            visit.crowd.check()?;
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err("the server did not come to rest".into());
        }
    }
}
