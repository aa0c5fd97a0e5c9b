//! The machine below: which CPU is whose, what a process has used, what a cache line costs.
//!
//! Knows `/proc`, affinity and clocks. Knows no server, no connection and no phase.

use std::fs;
use std::hint;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Round trips timed in one go, and how many goes. The fastest go counts: whatever else
/// runs on the machine can only slow one down.
const ROUND_TRIPS: u32 = 500;
const GOES: u32 = 8;

/// Which CPU belongs to the server and which to the harness.
#[derive(Debug, Clone, Copy)]
pub struct Cpus {
    pair: Option<(usize, usize)>,
}

impl Cpus {
    /// The first two CPUs this process may run on. With fewer, or where affinity may not be
    /// set, nothing is pinned.
    pub fn choose() -> Self {
        let Ok(allowed) = sched_getaffinity(None) else { return Self { pair: None } };
        let mut free = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
        let cpus = Self { pair: free.next().zip(free.next()) };
        if cpus.harness().is_ok() { cpus } else { Self { pair: None } }
    }

    /// Moves the calling thread to the CPU of the servers: what it spawns starts there,
    /// all of its threads included.
    pub fn server(self) -> io::Result<()> {
        self.pair.map_or(Ok(()), |(server, _)| pin(server))
    }

    /// Moves the calling thread to the CPU of the harness.
    pub fn harness(self) -> io::Result<()> {
        self.pair.map_or(Ok(()), |(_, harness)| pin(harness))
    }

    /// What to tell the reader.
    pub fn describe(self) -> String {
        match self.pair {
            Some((server, harness)) => {
                format!("servers on CPU {server}, harness on CPU {harness}")
            }
            None => "nothing pinned (one CPU, or affinity not permitted)".to_owned(),
        }
    }

    /// Nanoseconds for a cache line to go from the harness's CPU to the server's and back.
    pub fn cache_line_ns(self) -> Option<f64> {
        let (server, harness) = self.pair?;
        let ball = AtomicU32::new(0);
        let failed = AtomicBool::new(false);
        let best = thread::scope(|scope| {
            scope.spawn(|| {
                if pin(server).is_err() {
                    failed.store(true, Ordering::SeqCst);
                    return;
                }
                for turn in 0..GOES * ROUND_TRIPS {
                    while ball.load(Ordering::Acquire) != 2 * turn + 1 {
                        hint::spin_loop();
                    }
                    ball.store(2 * turn + 2, Ordering::Release);
                }
            });
            let timer = scope.spawn(|| -> Option<Duration> {
                pin(harness).ok()?;
                let mut best: Option<Duration> = None;
                for go in 0..GOES {
                    let start = Instant::now();
                    for turn in go * ROUND_TRIPS..(go + 1) * ROUND_TRIPS {
                        ball.store(2 * turn + 1, Ordering::Release);
                        while ball.load(Ordering::Acquire) != 2 * turn + 2 {
                            if failed.load(Ordering::Relaxed) {
                                return None;
                            }
                            hint::spin_loop();
                        }
                    }
                    let took = start.elapsed();
                    best = Some(best.map_or(took, |b| b.min(took)));
                }
                best
            });
            timer.join().ok().flatten()
        })?;
        Some(best.as_nanos() as f64 / f64::from(ROUND_TRIPS))
    }
}

fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// CPU time that all threads of a process have used. The scheduler's own count is in
/// nanoseconds, but lags up to one tick behind for a thread that is running: ask when the
/// process sleeps.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        sum += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    if sum > 0 { Ok(Duration::from_nanos(sum)) } else { cpu_time_in_ticks(pid) }
}

/// The same from `/proc/PID/stat`, for kernels without the scheduler's count.
fn cpu_time_in_ticks(pid: u32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, the name, may hold spaces: count from its closing parenthesis.
    let after = text.rsplit_once(") ").map_or("", |(_, after)| after);
    let ticks: u64 = after.split(' ').skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// How long the first thread of a process was ready to run while something else had its
/// CPU. Nothing where the kernel does not count that.
#[allow(dead_code, reason = "the isolation bench asks")]
pub fn first_thread_waited(pid: u32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat"))?;
    let waited = text.split(' ').nth(1).and_then(|ns| ns.parse::<u64>().ok());
    Ok(Duration::from_nanos(waited.unwrap_or(0)))
}

/// Bytes of memory that a process has written and nobody shares: what its connections cost
/// it. Code pages read from disk are not in it, nor what the kernel keeps per socket.
pub fn private_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kib| kib.parse::<u64>().ok())
    };
    let dirty = kib("Private_Dirty:")
        .ok_or_else(|| io::Error::other("no Private_Dirty in /proc/PID/smaps_rollup"))?;
    Ok((dirty + kib("Swap:").unwrap_or(0)) * 1024)
}

/// CPU time of the calling thread.
pub fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
