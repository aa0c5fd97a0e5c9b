//! Log lines to standard error, by a thread of their own.
//!
//! Knows lines. Knows nothing of who logs. The loop must never wait for whoever reads the
//! log: lines that find the queue full are counted and left out.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use env_logger::{Builder, Env, Target, WriteStyle};
use log::LevelFilter;

use crate::limits;

static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

enum Item {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// What writes the lines.
#[derive(Debug)]
pub struct Logging {
    queue: Option<SyncSender<Item>>,
}

/// Starts logging. `RUST_LOG` overrides the level that `verbose` and `quiet` ask for.
pub fn start(verbose: u8, quiet: u8) -> Logging {
    let level = match (verbose, quiet) {
        (0, 0) => LevelFilter::Info,
        (1, _) => LevelFilter::Debug,
        (2.., _) => LevelFilter::Trace,
        (_, 1) => LevelFilter::Warn,
        (_, 2..) => LevelFilter::Error,
    };
    let (queue, lines) = sync_channel(limits::LOG_QUEUE_LINES);
    let writer = thread::Builder::new().name("log".into()).spawn(move || write(&lines));
    let mut builder = Builder::new();
    builder.filter_level(level).parse_env(Env::default());
    let colour = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    builder.write_style(if colour { WriteStyle::Always } else { WriteStyle::Never });
    builder.format(|line, record| {
        let level = record.level();
        let style = line.default_level_style(level);
        let time = line.timestamp_seconds();
        writeln!(line, "{time} {style}{level:<5}{style:#} {}", record.args())
    });
    let queue = match writer {
        Ok(_) => {
            builder.target(Target::Pipe(Box::new(Queue { queue: queue.clone() })));
            Some(queue)
        }
        // No thread: better a log that may wait than none.
        Err(_) => None,
    };
    // Only a second call could fail.
    let _ = builder.try_init();
    Logging { queue }
}

struct Queue {
    queue: SyncSender<Item>,
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Item::Line(line.to_vec())).is_err() {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(items: &Receiver<Item>) {
    let mut output = io::stderr();
    for item in items {
        // Standard error may be closed; there is nobody left to tell.
        let _ = match item {
            Item::Line(line) => output.write_all(&line),
            Item::Flush(done) => done.send(()).map_err(|_| io::ErrorKind::BrokenPipe.into()),
        };
        match LEFT_OUT.swap(0, Ordering::Relaxed) {
            0 => {}
            count => {
                let _ = writeln!(output, "{count} log lines were left out: nobody read them");
            }
        }
    }
}

impl Drop for Logging {
    /// Waits, for a moment, until what was logged is written.
    fn drop(&mut self) {
        const MOMENT: Duration = Duration::from_millis(500);
        let (done, wait) = sync_channel(1);
        if self.queue.take().is_some_and(|queue| queue.try_send(Item::Flush(done)).is_ok()) {
            let _ = wait.recv_timeout(MOMENT);
        }
    }
}
