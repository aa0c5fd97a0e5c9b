//! What is measured before anybody speaks: the log-in storm, and memory per connection.
//!
//! Knows servers that were just started, and the crowd. Knows no message and no table.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::machine::{self, Cpus};
use crate::processes::Server;
use crate::subjects::Subject;

/// How long any arrival may take.
const ARRIVAL_WAIT: Duration = Duration::from_secs(60);
/// How long a server gets to free what the arrivals needed.
const REST_WAIT: Duration = Duration::from_millis(300);
/// How many have been there and left before memory is counted, so that what a server sets
/// up once is not taken for the cost of a connection.
const WARM_UP_MEMBERS: usize = 4;
/// How many join at once where memory, not speed, is measured.
const GENTLE: usize = 64;

/// A server and who is connected to it.
#[derive(Debug)]
pub struct Visit {
    // Dropped first: who hangs up first keeps the port waiting, and that be the server.
    /// The server.
    pub server: Server,
    /// The connections.
    pub crowd: Crowd,
}

/// How many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Those in the room.
    pub chatting: usize,
    /// Those connected but silent.
    pub idle: usize,
}

impl Size {
    /// All of them.
    pub fn all(self) -> usize {
        self.chatting + self.idle
    }
}

/// Starts a server and fills its room.
///
/// # Errors
/// The server does not start, or not everybody gets in.
pub fn open(
    subject: Subject,
    size: Size,
    scratch: &Path,
    cpus: Cpus,
) -> Result<Visit, Box<dyn Error>> {
    let server = subject.start(scratch, cpus, size.chatting)?;
    let mut crowd = Crowd::new(subject, server.port(), size.chatting)?;
    let deadline = Instant::now() + ARRIVAL_WAIT;
    fill(&mut crowd, subject, size, deadline)
        .map_err(|error| format!("{} at log-in: {error}{}", subject.name(), server.said()))?;
    Ok(Visit { server, crowd })
}

fn fill(
    crowd: &mut Crowd,
    subject: Subject,
    size: Size,
    deadline: Instant,
) -> Result<(), crate::ledger::Failure> {
    crowd.arrive(size.chatting, true, subject.in_flight(), deadline)?;
    crowd.arrive(size.all(), false, subject.in_flight(), deadline)?;
    crowd.settle(deadline)
}

/// What one log-in storm gave.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// Log-ins a second, from the first connection to the last welcome.
    pub per_second: f64,
    /// The part of that time in which the harness was at work, and the server.
    pub harness_busy: f64,
    /// CPU time of the server over the whole, notices included, per log-in.
    pub server_cpu_us: f64,
}

/// `clients` connect to a fresh server and join as fast as they can.
///
/// # Errors
/// The server does not start, or not everybody gets in.
pub fn storm(
    subject: Subject,
    clients: usize,
    scratch: &Path,
    cpus: Cpus,
) -> Result<Storm, Box<dyn Error>> {
    let server = subject.start(scratch, cpus, clients)?;
    let mut crowd = Crowd::new(subject, server.port(), clients)?;
    let deadline = Instant::now() + ARRIVAL_WAIT;
    let cpu_before = machine::own_cpu_time();
    let server_before = machine::cpu_time(server.pid())?;
    let took = crowd
        .arrive(clients, true, subject.in_flight(), deadline)
        .map_err(|error| format!("{} in the storm: {error}{}", subject.name(), server.said()))?;
    let busy = machine::own_cpu_time().saturating_sub(cpu_before);
    crowd.settle(deadline)?;
    let server_cpu = machine::cpu_time(server.pid())?.saturating_sub(server_before);
    drop(server);
    Ok(Storm {
        per_second: clients as f64 / took.as_secs_f64(),
        harness_busy: busy.as_secs_f64() / took.as_secs_f64(),
        server_cpu_us: server_cpu.as_secs_f64() * 1e6 / clients as f64,
    })
}

/// Memory of the server per connection, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// How many connections it was measured with.
    pub clients: usize,
    /// That is connected and has said nothing.
    pub connected: f64,
    /// That has joined, if any have.
    pub joined: Option<f64>,
    /// From the first connection to the last accepted one, when nobody joins.
    pub connecting: Duration,
}

/// How the memory of a fresh server grows with `clients` connections, and then with
/// `joining` of them joining.
///
/// # Errors
/// The server does not start, or not everybody gets in.
pub fn memory(
    subject: Subject,
    clients: usize,
    joining: usize,
    scratch: &Path,
    cpus: Cpus,
) -> Result<Memory, Box<dyn Error>> {
    let server = subject.start(scratch, cpus, joining.max(WARM_UP_MEMBERS))?;
    let failed = |error| format!("{} idle: {error}{}", subject.name(), server.said());
    let bytes = || -> Result<f64, Box<dyn Error>> {
        thread::sleep(REST_WAIT);
        Ok(machine::private_bytes(server.pid())? as f64)
    };
    let deadline = Instant::now() + ARRIVAL_WAIT;
    let mut warm_up = Crowd::new(subject, server.port(), WARM_UP_MEMBERS)?;
    warm_up.arrive(WARM_UP_MEMBERS, true, 1, deadline).map_err(failed)?;
    warm_up.settle(deadline).map_err(failed)?;
    drop(warm_up);
    let before = bytes()?;
    let mut crowd = Crowd::new(subject, server.port(), joining)?;
    let connecting = crowd.arrive(clients, false, subject.in_flight(), deadline).map_err(failed)?;
    let after_connecting = bytes()?;
    let connected = (after_connecting - before) / clients as f64;
    let joined = if joining > 0 {
        crowd.join(GENTLE.min(subject.in_flight()), deadline).map_err(failed)?;
        crowd.settle(deadline).map_err(failed)?;
        Some(connected + (bytes()? - after_connecting) / joining as f64)
    } else {
        None
    };
    drop(server);
    Ok(Memory { clients, connected, joined, connecting })
}
