//! Reaching a server: every address is tried, every wait is bounded.
//!
//! Knows sockets and time. Knows nothing of what is said over them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use super::address::Server;
use super::error::ClientError;
use crate::limits;

/// Connects to `server`, on `default_port` when it names none.
///
/// # Errors
/// The name has no address, or none of them accepts within `limits::CONNECT_WAIT`.
pub(super) fn reach(server: &Server, default_port: u16) -> Result<TcpStream, ClientError> {
    reach_until(server, default_port, Instant::now() + limits::CONNECT_WAIT)
}

/// The same before `until`.
pub(super) fn reach_until(
    server: &Server,
    default_port: u16,
    until: Instant,
) -> Result<TcpStream, ClientError> {
    let port = server.port.unwrap_or(default_port);
    let addresses: Vec<SocketAddr> = (server.host.as_str(), port)
        .to_socket_addrs()
        .map_err(|source| ClientError::NameUnknown { host: server.host.clone(), source })?
        .collect();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (at, address) in addresses.iter().enumerate() {
        // A silent address may only use up its share of the time.
        let left = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        let share = until.saturating_duration_since(Instant::now()) / left;
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => {
                // Both only make the chat livelier; it works without.
                let _ = stream.set_nodelay(true);
                let keepalive = TcpKeepalive::new()
                    .with_time(limits::KEEPALIVE_IDLE)
                    .with_interval(limits::KEEPALIVE_INTERVAL)
                    .with_retries(limits::KEEPALIVE_PROBES);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                // As long as the server waits for us.
                #[cfg(target_os = "linux")]
                let _ =
                    SockRef::from(&stream).set_tcp_user_timeout(Some(limits::UNACKNOWLEDGED_WAIT));
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    let server = Server { host: server.host.clone(), port: Some(port) };
    Err(ClientError::Unreachable { server: server.to_string(), source: failure })
}

/// A stream on which everything together must be done within some time.
pub(super) struct Patient<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl<'a> Patient<'a> {
    pub(super) fn new(stream: &'a TcpStream, wait: Duration) -> Self {
        Self::until(stream, Instant::now() + wait)
    }

    pub(super) fn until(stream: &'a TcpStream, until: Instant) -> Self {
        Self { stream, until }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Drop for Patient<'_> {
    fn drop(&mut self) {
        // Only fails for a duration of zero.
        let _ = self.stream.set_read_timeout(None);
        let _ = self.stream.set_write_timeout(None);
    }
}

/// Ends what we say and throws away what still arrives, so that no reset destroys our last
/// words.
pub(super) fn close_politely(stream: &TcpStream) {
    // Every failure here means that there is nobody to be polite to.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut patient = Patient::new(stream, limits::LEAVE_WAIT);
    let mut nowhere = [0; 4096];
    while patient.read(&mut nowhere).is_ok_and(|count| count > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_patient_stream_runs_out_of_patience_as_a_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let stream = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (mut peer, _) = listener.accept().expect("accept");
        let drip = std::thread::spawn(move || {
            // No pause: no single read is ever too slow.
            while peer.write_all(&[b'x'; 64]).is_ok() {}
        });
        let began = Instant::now();
        let mut patient = Patient::new(&stream, Duration::from_millis(200));
        let error = loop {
            if let Err(error) = patient.read(&mut [0; 16]) {
                break error;
            }
        };
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock));
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(patient);
        assert_eq!(stream.read_timeout().expect("option"), None);
        drop(stream);
        drip.join().expect("drip");
    }

    #[test]
    fn nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        drop(listener);
        let server = Server { host: "127.0.0.1".to_owned(), port: None };
        let error = reach(&server, port).expect_err("closed port");
        assert!(matches!(error, ClientError::Unreachable { .. }));
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }
}
