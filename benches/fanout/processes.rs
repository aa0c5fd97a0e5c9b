//! The servers as processes: started on their CPU, watched, and killed whatever happens.
//!
//! Knows processes and signals. Knows nothing of what a server is or says.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use crate::machine::Cpus;

/// How long a server may take from its start to its first accepted connection.
const START_WAIT: Duration = Duration::from_secs(10);

/// Every server alive, for the thread that hears of our own end by a signal.
static ALIVE: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Kills all servers, and removes their files in `scratch`, before a signal ends this process.
pub fn end_with_us(scratch: PathBuf) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            for &pid in ALIVE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                send(pid, Signal::KILL);
            }
            // We end either way.
            let _ = fs::remove_dir_all(&scratch);
            process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Sends a signal to a process that we started.
pub fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// A server that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    name: &'static str,
    port: u16,
    log: PathBuf,
    /// Its working directory, removed after it.
    directory: Option<TempDir>,
}

impl Server {
    /// Starts `command` on the servers' CPU and waits until it has written `ready` and
    /// accepts connections.
    ///
    /// # Errors
    /// It does not start, ends by itself, or does not listen within `START_WAIT`.
    pub fn start(
        name: &'static str,
        command: &mut Command,
        port: u16,
        ready: &str,
        directory: &TempDir,
        cpus: Cpus,
    ) -> Result<Self, Box<dyn Error>> {
        let log = directory.path().join("log");
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // A child inherits the affinity, before it can start a thread of its own.
        cpus.server()?;
        let child = command.spawn();
        cpus.harness()?;
        let child = child.map_err(|error| format!("{name} does not start: {error}"))?;
        ALIVE.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
        let mut server = Self { child, name, port, log, directory: None };
        let deadline = Instant::now() + START_WAIT;
        while !server.is_ready(ready)? || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(
                    format!("{name} ended ({status}) before it listened{}", server.said()).into()
                );
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{name} does not listen on port {port} after {START_WAIT:?}{}",
                    server.said()
                )
                .into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    /// Gives it its working directory, to be removed after its end.
    pub fn keep(&mut self, directory: TempDir) {
        self.directory = Some(directory);
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn is_ready(&self, word: &str) -> io::Result<bool> {
        Ok(memchr::memmem::find(&fs::read(&self.log)?, word.as_bytes()).is_some())
    }

    /// The end of what it wrote, for an error message.
    pub fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(600)..]).into_owned();
        if tail.trim().is_empty() {
            String::new()
        } else {
            format!("; {} wrote: {}", self.name, tail.trim())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let pid = self.child.id();
        ALIVE.lock().unwrap_or_else(PoisonError::into_inner).retain(|&alive| alive != pid);
    }
}
