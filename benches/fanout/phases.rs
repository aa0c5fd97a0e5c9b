//! What is measured in a settled room: messages at a rate, and windows of messages.
//!
//! Knows time, speakers and messages. Knows no socket and no table.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::ledger::{Failure, Latencies};
use crate::machine::{self, Cpus};
use crate::processes::Server;

/// How long a phase may take beyond its time until everything said was heard: so long, and
/// so much longer for each delivery under way at the end. The slowest servers take 10 us.
const HEARD_WAIT: Duration = Duration::from_secs(10);
const HEARD_WAIT_EACH: Duration = Duration::from_micros(30);
/// Fewest messages of a phase at a rate: with fewer, percentiles over messages say little.
const PACED_MESSAGES_MIN: u64 = 25;
/// How long a server gets to fall asleep before its CPU time is read, and how long one
/// listens for deliveries too many.
const SLEEP_WAIT: Duration = Duration::from_millis(3);

/// One way to load a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// One message a round: messages evenly spaced so that so many deliveries a second are
    /// asked for. Open loop: each has its time, whatever became of those before.
    Paced {
        /// Deliveries a second.
        rate: u32,
    },
    /// So many speakers, each with so many messages under way: closed loop.
    Window {
        /// P
        speakers: usize,
        /// W
        window: u32,
    },
}

impl Phase {
    /// The name in the tables.
    pub fn name(self) -> String {
        match self {
            Self::Paced { rate } => format!("{}k/s", rate / 1_000),
            Self::Window { speakers, window } => format!("P={speakers} W={window}"),
        }
    }
}

/// What one round of a phase gave.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Deliveries, each of them checked.
    pub deliveries: u64,
    /// From the first message to the last delivery.
    pub wall: Duration,
    /// CPU time of the server.
    pub server_cpu: Duration,
    /// The part of the time in which the harness was at work.
    pub harness_busy: f64,
    /// Nanoseconds of a cache line between the CPUs, before and after.
    pub cache_line_ns: Option<[f64; 2]>,
    /// Of paced phases.
    pub latencies: Option<Latencies>,
}

impl Measured {
    /// Server CPU per delivery, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.deliveries as f64
    }

    /// Deliveries a second.
    pub fn throughput(&self) -> f64 {
        self.deliveries as f64 / self.wall.as_secs_f64()
    }

    /// The part of the time in which the server was at work.
    pub fn server_busy(&self) -> f64 {
        self.server_cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// Runs `phase` for about `duration` and checks every delivery.
///
/// # Errors
/// A delivery is wrong, missing or too many; the server closed a connection; not everything
/// was heard in time.
pub fn measure(
    crowd: &mut Crowd,
    server: &Server,
    phase: Phase,
    duration: Duration,
    cpus: Cpus,
) -> Result<Measured, Failure> {
    let cache_line_before = cpus.cache_line_ns();
    let delivered_before = crowd.ledger.delivered();
    let cpu_before = machine::cpu_time(server.pid())?;
    let (wall, busy) = match phase {
        Phase::Paced { rate } => {
            crowd.ledger.latencies = Some(Latencies::new()?);
            paced(crowd, rate, duration)?
        }
        Phase::Window { speakers, window } => windows(crowd, speakers, window, duration)?,
    };
    thread::sleep(SLEEP_WAIT);
    let server_cpu = machine::cpu_time(server.pid())?.saturating_sub(cpu_before);
    let latencies = crowd.ledger.latencies.take();
    // A delivery too many would come now, and be an error.
    while crowd.turn(Some(Duration::ZERO))? {}
    crowd.check()?;
    let deliveries = crowd.ledger.delivered() - delivered_before;
    if deliveries == 0 || server_cpu.is_zero() {
        return Err(io::Error::other("nothing was measured").into());
    }
    Ok(Measured {
        deliveries,
        wall,
        server_cpu,
        harness_busy: busy.as_secs_f64() / wall.as_secs_f64(),
        cache_line_ns: cache_line_before.zip(cpus.cache_line_ns()).map(Into::into),
        latencies,
    })
}

/// The harness does not sleep here: to be woken takes longer than the latencies it is to
/// measure. It was at work in those turns that found something to do.
fn paced(
    crowd: &mut Crowd,
    rate: u32,
    duration: Duration,
) -> Result<(Duration, Duration), Failure> {
    let per_message = f64::from(crowd.ledger.recipients()) * 1e9 / f64::from(rate);
    let messages = ((duration.as_nanos() as f64 / per_message) as u64).max(PACED_MESSAGES_MIN);
    let start = Instant::now();
    let deadline =
        start + Duration::from_nanos((messages as f64 * per_message) as u64) + HEARD_WAIT;
    let first_due = crowd.now() + 1_000_000;
    let due = |message: u64| first_due + (message as f64 * per_message) as u64;
    let mut said = 0;
    let mut busy = Duration::ZERO;
    let mut turn_start = start;
    loop {
        let mut idle = true;
        while said < messages && due(said) <= crowd.now() {
            let speaker = said as usize % crowd.ledger.speakers();
            crowd.say(speaker, due(said))?;
            crowd.send(speaker)?;
            said += 1;
            idle = false;
        }
        idle &= !crowd.turn(Some(Duration::ZERO))?;
        let turn_end = Instant::now();
        if !idle {
            busy += turn_end - turn_start;
        }
        turn_start = turn_end;
        if said == messages && crowd.ledger.missing() == 0 {
            return Ok((turn_end - start, busy));
        }
        if turn_end > deadline {
            return Err(Failure::Deadline { missing: crowd.ledger.missing() });
        }
    }
}

/// A speaker speaks again when everybody has heard it; what it then may say leaves in one
/// write. Here the harness sleeps when there is nothing to read, so that its CPU time is
/// what it was at work.
fn windows(
    crowd: &mut Crowd,
    speakers: usize,
    window: u32,
    duration: Duration,
) -> Result<(Duration, Duration), Failure> {
    let speakers = speakers.min(crowd.ledger.speakers());
    let under_way = speakers as u32 * window * crowd.ledger.recipients();
    let heard_wait = HEARD_WAIT + HEARD_WAIT_EACH * under_way;
    let cpu_before = machine::own_cpu_time();
    let start = Instant::now();
    loop {
        let elapsed = start.elapsed();
        if elapsed < duration {
            for speaker in 0..speakers {
                while crowd.ledger.under_way(speaker) < window {
                    crowd.say(speaker, 0)?;
                }
                crowd.send(speaker)?;
            }
        } else if crowd.ledger.missing() == 0 {
            return Ok((elapsed, machine::own_cpu_time().saturating_sub(cpu_before)));
        } else if elapsed > duration + heard_wait {
            return Err(Failure::Deadline { missing: crowd.ledger.missing() });
        }
        crowd.turn(Some(Duration::from_millis(100)))?;
    }
}
