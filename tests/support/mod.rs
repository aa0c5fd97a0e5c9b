//! What tests of the real server share: the program as a process, and clients over plain
//! TCP. Every wait is for an event and ends at a deadline; what did not come is an error
//! that shows both sides.
#![allow(dead_code, reason = "every test file uses its part")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything here takes, even on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// What a reference client reads at once.
pub(crate) const RECV_BYTES: usize = 1_024;

/// What did not go as expected.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// A running `chinwag serve`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: Captured,
    log: Captured,
    port: u16,
    data: Arc<TempDir>,
}

impl Server {
    /// Starts a server on a free port of localhost with an empty database, and waits until
    /// it is ready.
    pub(crate) fn start(protocol: &str, options: &[&str]) -> Outcome<Self> {
        Self::start_on(Arc::new(tempfile::tempdir().map_err(text)?), protocol, options)
    }

    /// Ends the server by a signal, and starts another on its database.
    pub(crate) fn restart(&mut self, signal: Signal, protocol: &str, options: &[&str]) -> Outcome {
        self.signal(signal)?;
        self.child.wait().map_err(text)?;
        *self = Self::start_on(Arc::clone(&self.data), protocol, options)?;
        Ok(())
    }

    fn start_on(data: Arc<TempDir>, protocol: &str, options: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chinwag"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CHINWAG_") || name == "RUST_LOG" {
                command.env_remove(&*name);
            }
        }
        command.env("CHINWAG_CONTROL", data.path().join("control.sock"));
        command.args(["serve", "--bind", "localhost", "--port", "0", "--protocol", protocol]);
        command.arg("--data").arg(data.path().join("accounts.db")).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(text)?;
        let mut server = Self {
            input: child.stdin.take(),
            output: Captured::of(child.stdout.take().ok_or("no standard output")?),
            log: Captured::of(child.stderr.take().ok_or("no standard error")?),
            child,
            port: 0,
            data,
        };
        server.output.wait_for("READY\n").map_err(|e| format!("{e}\nlog: {}", server.log()))?;
        let banner = server.output.text();
        let port = banner.lines().next().and_then(|line| line.rsplit(' ').next());
        server.port = port.and_then(|port| port.parse().ok()).ok_or("no port in the banner")?;
        Ok(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether there is an accounts' database.
    pub(crate) fn has_data(&self) -> bool {
        self.data.path().join("accounts.db").exists()
    }

    pub(crate) fn connect(&self) -> Outcome<Client> {
        Client::connect(self.port)
    }

    /// What the operator types, its line feed included.
    pub(crate) fn type_in(&mut self, line: &[u8]) -> Outcome {
        let input = self.input.as_mut().ok_or("the standard input is closed")?;
        input.write_all(line).and_then(|()| input.flush()).map_err(text)
    }

    /// The end of the operator's input.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn signal(&self, signal: Signal) -> Outcome {
        kill_process(Pid::from_child(&self.child), signal).map_err(text)
    }

    /// Waits until standard output holds `text`.
    pub(crate) fn expect_output(&self, text: &str) -> Outcome {
        self.output.wait_for(text)
    }

    /// Waits until the log holds `text`.
    pub(crate) fn expect_log(&self, text: &str) -> Outcome {
        self.log.wait_for(text)
    }

    /// What was logged so far. All of it, once the server has ended.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for the end of the server and of its log.
    pub(crate) fn expect_end(&mut self) -> Outcome<ExitStatus> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().map_err(text)? {
                self.log.wait_for_end()?;
                return Ok(status);
            }
            if Instant::now() >= until {
                return Err("the server did not end".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the process is there.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The most memory the server ever had, in KiB. Linux only.
    pub(crate) fn peak_memory_kib(&self) -> Outcome<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).map_err(text)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number.and_then(|number| number.parse().ok()).ok_or_else(|| "no VmHWM".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process writes, read by a thread of its own.
#[derive(Clone)]
pub(crate) struct Captured(Arc<(Mutex<Capture>, Condvar)>);

#[derive(Default)]
struct Capture {
    bytes: Vec<u8>,
    ended: bool,
}

impl Captured {
    pub(crate) fn of(mut from: impl Read + Send + 'static) -> Self {
        let captured = Self(Arc::new((Mutex::default(), Condvar::new())));
        let shared = captured.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            loop {
                let read = from.read(&mut buffer).unwrap_or(0);
                let (capture, changed) = &*shared.0;
                let Ok(mut capture) = capture.lock() else { return };
                capture.bytes.extend_from_slice(&buffer[..read]);
                capture.ended |= read == 0;
                changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        captured
    }

    pub(crate) fn text(&self) -> String {
        self.0.0.lock().map(|c| String::from_utf8_lossy(&c.bytes).into_owned()).unwrap_or_default()
    }

    pub(crate) fn wait_for(&self, text: &str) -> Outcome {
        let there = |c: &Capture| memchr::memmem::find(&c.bytes, text.as_bytes()).is_some();
        if self.wait_until(|c| there(c) || c.ended, there) {
            return Ok(());
        }
        Err(format!("expected: {}\n     got: {}", show(text.as_bytes()), self.text()))
    }

    /// Waits until `found` finds something in the text, of which no more comes if the second
    /// argument says so.
    pub(crate) fn find<T>(&self, found: impl Fn(&str, bool) -> Option<T>) -> Outcome<T> {
        let find = |c: &Capture| found(&String::from_utf8_lossy(&c.bytes), c.ended);
        self.wait_until(|c| c.ended || find(c).is_some(), |_| true);
        let (capture, _) = &*self.0;
        let capture = capture.lock().map_err(text)?;
        find(&capture).ok_or_else(|| {
            format!("not what is waited for: {}", String::from_utf8_lossy(&capture.bytes))
        })
    }

    pub(crate) fn wait_for_end(&self) -> Outcome {
        if self.wait_until(|c| c.ended, |c| c.ended) {
            return Ok(());
        }
        Err("the output did not end".into())
    }

    fn wait_until(&self, over: impl Fn(&Capture) -> bool, good: impl Fn(&Capture) -> bool) -> bool {
        let (capture, changed) = &*self.0;
        let Ok(capture) = capture.lock() else { return false };
        let waited = changed.wait_timeout_while(capture, DEADLINE, |capture| !over(capture));
        waited.is_ok_and(|(capture, _)| good(&capture))
    }
}

/// A client that does what it is told, byte for byte.
pub(crate) struct Client {
    stream: TcpStream,
    address: SocketAddr,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Outcome<Self> {
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&server, DEADLINE).map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        stream.set_write_timeout(Some(DEADLINE)).map_err(text)?;
        let address = stream.local_addr().map_err(text)?;
        Ok(Self { stream, address })
    }

    /// Its own address, as the server logs it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// One write.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Outcome {
        self.stream.write_all(bytes).map_err(|e| format!("cannot send: {e}"))
    }

    /// These bytes come next.
    pub(crate) fn expect(&mut self, expected: &[u8]) -> Outcome {
        let until = Instant::now() + DEADLINE;
        let mut got = Vec::new();
        let mut buffer = vec![0; expected.len()];
        while got.len() < expected.len() {
            let wanted = expected.len() - got.len();
            let end = match self.read(&mut buffer[..wanted], until) {
                Ok(0) => "the end",
                Ok(bytes) => {
                    got.extend_from_slice(&buffer[..bytes]);
                    if expected.starts_with(&got) {
                        continue;
                    }
                    // What follows helps to see what went wrong.
                    got.extend(self.rest(Duration::from_millis(100)));
                    "something else"
                }
                Err(error) if is_timeout(&error) => "silence",
                Err(error) => &error.to_string(),
            };
            return Err(differ(expected, &got, end));
        }
        Ok(())
    }

    /// One read, as the reference clients do it.
    pub(crate) fn recv(&mut self) -> Outcome<Vec<u8>> {
        let mut buffer = [0; RECV_BYTES];
        match self.read(&mut buffer, Instant::now() + DEADLINE) {
            Ok(bytes) => Ok(buffer[..bytes].to_vec()),
            Err(error) => Err(format!("expected a read, got: {error}")),
        }
    }

    /// One read returns exactly this.
    pub(crate) fn expect_read(&mut self, expected: &[u8]) -> Outcome {
        let got = self.recv()?;
        if got == expected { Ok(()) } else { Err(differ(expected, &got, "the end of the read")) }
    }

    /// The server has closed the connection, in order and without a further byte.
    pub(crate) fn expect_closed(&mut self) -> Outcome {
        let mut buffer = [0; RECV_BYTES];
        match self.read(&mut buffer, Instant::now() + DEADLINE) {
            Ok(0) => Ok(()),
            Ok(bytes) => Err(format!("expected: the end\n     got: {}", show(&buffer[..bytes]))),
            Err(error) => Err(format!("expected: the end\n     got: {error}")),
        }
    }

    /// Nothing comes for so long.
    pub(crate) fn expect_silence(&mut self, time: Duration) -> Outcome {
        let mut buffer = [0; RECV_BYTES];
        match self.read(&mut buffer, Instant::now() + time) {
            Ok(0) => Err("expected: silence\n     got: the end".into()),
            Ok(bytes) => Err(format!("expected: silence\n     got: {}", show(&buffer[..bytes]))),
            Err(error) if is_timeout(&error) => Ok(()),
            Err(error) => Err(format!("expected: silence\n     got: {error}")),
        }
    }

    /// Everything up to the end.
    pub(crate) fn read_to_end(&mut self) -> Outcome<Vec<u8>> {
        self.stream.set_read_timeout(Some(DEADLINE)).map_err(text)?;
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).map_err(text)?;
        Ok(bytes)
    }

    /// Says that it will send no more, and goes on listening.
    pub(crate) fn half_close(&self) -> Outcome {
        self.stream.shutdown(Shutdown::Write).map_err(text)
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) -> Outcome {
        // Without lingering, closing sends a reset.
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).map_err(text)
    }

    fn rest(&mut self, time: Duration) -> Vec<u8> {
        let until = Instant::now() + time;
        let (mut rest, mut buffer) = (Vec::new(), [0; RECV_BYTES]);
        while let Ok(bytes @ 1..) = self.read(&mut buffer, until) {
            rest.extend_from_slice(&buffer[..bytes]);
        }
        rest
    }

    fn read(&mut self, buffer: &mut [u8], until: Instant) -> std::io::Result<usize> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) && Instant::now() < until => {}
                result => return result,
            }
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn differ(expected: &[u8], got: &[u8], end: &str) -> String {
    format!("expected: {}\n     got: {}, then {end}", show(expected), show(got))
}

/// Bytes to be read by people: escaped, the middle of long ones left out.
pub(crate) fn show(bytes: &[u8]) -> String {
    const MOST: usize = 600;
    if bytes.len() <= MOST {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let (start, end) = (&bytes[..MOST / 2], &bytes[bytes.len() - MOST / 4..]);
    let left_out = bytes.len() - start.len() - end.len();
    format!("\"{}\" ({left_out} bytes) \"{}\"", start.escape_ascii(), end.escape_ascii())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
