//! Somebody who connects, speaks and listens. Every wait is bounded.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::{DEADLINE, PASSWORD, Room};

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    heard: Vec<u8>,
}

/// A `[NEW]` line, without its end, for the account of this number.
pub(crate) fn new(what: &str, number: usize, password: &str) -> String {
    format!("[NEW]:{what}:name{number}:user{number}:{password}")
}

impl Peer {
    #[track_caller]
    pub(crate) fn connect(room: &Room) -> Self {
        Self::connect_from(room, Ipv4Addr::LOCALHOST)
    }

    /// From another of this machine's own addresses.
    #[track_caller]
    pub(crate) fn connect_from(room: &Room, address: Ipv4Addr) -> Self {
        Self::open(room.port, address, None)
    }

    /// With a small buffer of its own, so that little is under way that it has not read.
    #[track_caller]
    pub(crate) fn connect_with_little_memory(room: &Room, bytes: usize) -> Self {
        Self::open(room.port, Ipv4Addr::LOCALHOST, Some(bytes))
    }

    #[track_caller]
    pub(crate) fn open(port: u16, from: Ipv4Addr, receive_buffer: Option<usize>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        if from != Ipv4Addr::LOCALHOST {
            socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        }
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        socket.connect_timeout(&to.into(), DEADLINE).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, heard: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub(crate) fn say(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes());
    }

    /// Logs in as the account of this number, in lines.
    #[track_caller]
    pub(crate) fn log_in(&mut self, number: usize) {
        self.say(&new("login", number, PASSWORD));
        self.hears("True");
    }

    /// The next line; `None` at the end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<String> {
        self.line_within(DEADLINE).unwrap_or_else(|| panic!("nothing is heard"))
    }

    /// The next line if it comes in time; `Some(None)` at the end, clean or not.
    #[track_caller]
    pub(crate) fn line_within(&mut self, wait: Duration) -> Option<Option<String>> {
        let until = Instant::now() + wait;
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Some(Some(String::from_utf8(line[..end].to_vec()).unwrap()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut buffer = [0; 16_384];
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    assert!(self.heard.is_empty(), "half a line: {:?}", self.heard_text());
                    return Some(None);
                }
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    ErrorKind::ConnectionReset => return Some(None),
                    _ => panic!("{error}"),
                },
            }
        }
    }

    fn heard_text(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    /// This is the next line.
    #[track_caller]
    pub(crate) fn hears(&mut self, line: &str) {
        let heard = self.line();
        // Some lines are long.
        let short = |text: &str| text.chars().take(120).collect::<String>();
        let shown = heard.as_deref().map(short);
        assert!(heard.as_deref() == Some(line), "{shown:?}, not {:?}", short(line));
    }

    /// This line comes, whatever comes before it; what that was.
    #[track_caller]
    pub(crate) fn hears_at_last(&mut self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let next = self.line().unwrap_or_else(|| panic!("closed before {line:?}"));
            if next == line {
                return before;
            }
            before.push(next);
        }
    }

    /// All bytes to the end, as they are: what a reference client is told.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.heard);
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        self.stream.read_to_end(&mut rest).unwrap();
        String::from_utf8(rest).unwrap()
    }

    /// This comes, whatever is before it; lines do not matter.
    #[track_caller]
    pub(crate) fn hears_somewhere(&mut self, text: &str) {
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        loop {
            let heard = String::from_utf8_lossy(&self.heard);
            if let Some(at) = heard.find(text) {
                self.heard.drain(..at + text.len());
                return;
            }
            let mut buffer = [0; 16_384];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "closed before {text:?}: {heard:?}");
            self.heard.extend_from_slice(&buffer[..count]);
        }
    }

    /// The server closes without another word.
    #[track_caller]
    pub(crate) fn ends(&mut self) {
        assert_eq!(self.line(), None);
    }

    /// The server closes, whatever it says before.
    #[track_caller]
    pub(crate) fn ends_at_last(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }

    /// What one read of at most so many bytes gives.
    #[track_caller]
    pub(crate) fn read_once(&mut self, bytes_max: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes_max];
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let count = self.stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed");
        buffer.truncate(count);
        buffer
    }

    /// Has nothing more to say, and listens on.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Goes with a reset instead of a farewell.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
