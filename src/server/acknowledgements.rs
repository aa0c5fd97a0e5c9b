//! What a peer has acknowledged, as far as the system tells.
//!
//! Knows how the kernel is asked about one connection, and its answer. Knows no poll, no room,
//! and not what follows from it. On Linux `TCP_INFO` tells; the crates that read it by
//! `getsockopt` need bindgen, so it is asked for through `sock_diag`, for exactly one pair
//! of addresses. The kernel answers while it is asked; its answer is waiting when the
//! question has been sent, and is read without waiting.

use std::net::SocketAddr;

use super::connection::Unacknowledged;

/// Finds out whether the system tells, before anybody depends on an answer: the first
/// question may have the kernel load a module, which the loop must not wait for.
/// `listener`: a socket of this server.
pub fn prepare(listener: SocketAddr) {
    system::prepare(listener);
}

/// What the peer of the connection between `here` and `there` has yet to acknowledge. `None`
/// if that is nothing that was sent, or if the system does not tell.
pub fn unacknowledged(here: SocketAddr, there: SocketAddr) -> Option<Unacknowledged> {
    system::unacknowledged(here, there)
}

#[cfg(target_os = "linux")]
mod system {
    use std::fmt;
    use std::io;
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use netlink_packet_core::{DecodeError, NLM_F_REQUEST};
    use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_sock_diag::SockDiagMessage;
    use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
    use netlink_packet_sock_diag::inet::nlas::{Nla, TcpInfo};
    use netlink_packet_sock_diag::inet::{
        ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
    };
    use netlink_sys::{Socket, SocketAddr as KernelAddress, protocols::NETLINK_SOCK_DIAG};

    use super::Unacknowledged;

    /// Longer than any answer about one connection.
    const ANSWER_BYTES_MAX: usize = 8_192;
    /// "Any socket with these addresses": which it was before is not known here.
    const NO_COOKIE: [u8; 8] = [0xff; 8];

    /// The system was found not to tell.
    static SILENT: AtomicBool = AtomicBool::new(false);

    /// Why there is no answer.
    #[derive(Debug)]
    pub(super) enum NoAnswer {
        /// The system refuses, or knows no such connection.
        System(io::Error),
        /// The answer is not understood.
        Decode(DecodeError),
        /// It answers something else.
        Other,
    }

    impl fmt::Display for NoAnswer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::System(error) => error.fmt(f),
                Self::Decode(error) => error.fmt(f),
                Self::Other => f.write_str("no answer to the question"),
            }
        }
    }

    impl std::error::Error for NoAnswer {}

    impl From<io::Error> for NoAnswer {
        fn from(error: io::Error) -> Self {
            Self::System(error)
        }
    }

    impl From<DecodeError> for NoAnswer {
        fn from(error: DecodeError) -> Self {
            Self::Decode(error)
        }
    }

    pub(super) fn prepare(listener: SocketAddr) {
        let nobody = match listener {
            SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
        };
        if let Err(why) = ask(listener, nobody) {
            SILENT.store(true, Ordering::Relaxed);
            log::debug!("the system does not tell what a peer has acknowledged: {why}");
        }
    }

    pub(super) fn unacknowledged(here: SocketAddr, there: SocketAddr) -> Option<Unacknowledged> {
        if SILENT.load(Ordering::Relaxed) {
            return None;
        }
        match ask(here, there) {
            Ok((response, info)) => read(&response, &info, there),
            Err(why) => {
                // Not often: whoever has this asked has had a password verified.
                log::debug!("what {there} has acknowledged is not known: {why}");
                None
            }
        }
    }

    /// What an answer about the connection to `there` says.
    pub(super) fn read(
        response: &InetResponse,
        info: &TcpInfo,
        there: SocketAddr,
    ) -> Option<Unacknowledged> {
        // Where the connection is gone, the kernel tells of the listener instead.
        let gone = response.header.socket_id.destination_port != there.port();
        // Whoever takes no more was alive when it said so. It is asked again ever more rarely,
        // so that its silence says nothing; and what it had no memory for any more, although
        // it had offered to take it, counts as sent.
        let full = info.snd_wnd == 0;
        if gone || full || info.unacked == 0 {
            return None;
        }
        // An acknowledgement that comes with data does not always count as one.
        let silence = info.last_ack_recv.min(info.last_data_recv);
        Some(Unacknowledged {
            bytes: response.header.send_queue.into(),
            silence: Duration::from_millis(silence.into()),
        })
    }

    /// Asks the kernel about the socket between `here` and `there`.
    pub(super) fn ask(
        here: SocketAddr,
        there: SocketAddr,
    ) -> Result<(Box<InetResponse>, Box<TcpInfo>), NoAnswer> {
        let mut kernel = Socket::new(NETLINK_SOCK_DIAG)?;
        kernel.bind_auto()?;
        // Nobody else is heard.
        kernel.connect(&KernelAddress::new(0, 0))?;
        kernel.set_non_blocking(true)?;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let question = SockDiagMessage::InetRequest(question(here, there));
        let mut message = NetlinkMessage::new(header, question.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        kernel.send(&bytes, 0)?;
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        let length = kernel.recv(&mut &mut answer[..], 0)?;
        let answer = answer.get(..length).ok_or(NoAnswer::Other)?;
        match NetlinkMessage::<SockDiagMessage>::deserialize(answer)?.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(mut response)) => {
                let info = response.nlas.drain(..).find_map(|attribute| match attribute {
                    Nla::TcpInfo(info) => Some(Box::new(info)),
                    _ => None,
                });
                Ok((response, info.ok_or(NoAnswer::Other)?))
            }
            NetlinkPayload::Error(error) => Err(NoAnswer::System(error.to_io())),
            _ => Err(NoAnswer::Other),
        }
    }

    fn question(here: SocketAddr, there: SocketAddr) -> InetRequest {
        let (family, interface_id) = match here {
            SocketAddr::V4(_) => (AF_INET, 0),
            // An address that is only valid on a link is looked up on that link.
            SocketAddr::V6(here) => (AF_INET6, here.scope_id()),
        };
        InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::INFO,
            states: StateFlags::all(),
            socket_id: SocketId {
                source_port: here.port(),
                destination_port: there.port(),
                source_address: here.ip(),
                destination_address: there.ip(),
                interface_id,
                cookie: NO_COOKIE,
            },
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::net::SocketAddr;

    use super::Unacknowledged;

    pub(super) fn prepare(_listener: SocketAddr) {}

    pub(super) fn unacknowledged(_here: SocketAddr, _there: SocketAddr) -> Option<Unacknowledged> {
        None
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use netlink_packet_sock_diag::inet::InetResponse;
    use netlink_packet_sock_diag::inet::nlas::TcpInfo;
    use socket2::{Domain, SockRef, Socket, Type};

    use super::*;

    /// Both ends of a connection, and who accepted it.
    struct Pair {
        here: TcpStream,
        there: TcpStream,
        listener: TcpListener,
    }

    impl Pair {
        /// Says past the harness, which hides what tests print, why there is none.
        fn connect(listen: SocketAddr, connect: impl Into<std::net::IpAddr>) -> Option<Self> {
            let listener = Socket::new(Domain::for_address(listen), Type::STREAM, None).ok();
            let listener: TcpListener = listener
                .filter(|socket| !listen.is_ipv6() || socket.set_only_v6(false).is_ok())
                .filter(|socket| socket.bind(&listen.into()).is_ok())
                .filter(|socket| socket.listen(1).is_ok())
                .or_else(|| skipped(&format!("no listening on {listen}")))?
                .into();
            let address = listener.local_addr().unwrap();
            let nobody = SocketAddr::new(
                match listen {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                },
                0,
            );
            if let Err(why) = system::ask(address, nobody) {
                return skipped(&format!("the system does not tell: {why}"));
            }
            let there = TcpStream::connect((connect.into(), address.port())).unwrap();
            let (here, _) = listener.accept().unwrap();
            Some(Self { here, there, listener })
        }

        fn on_loopback() -> Option<Self> {
            Self::connect((Ipv4Addr::LOCALHOST, 0).into(), Ipv4Addr::LOCALHOST)
        }

        fn ask(&self) -> (Box<InetResponse>, Box<TcpInfo>) {
            system::ask(self.here.local_addr().unwrap(), self.here.peer_addr().unwrap()).unwrap()
        }

        fn unacknowledged(&self) -> Option<Unacknowledged> {
            unacknowledged(self.here.local_addr().unwrap(), self.here.peer_addr().unwrap())
        }

        /// Whether the kernel says so; it may take a moment.
        fn soon(&self, so: impl Fn(&TcpInfo) -> bool) -> bool {
            let until = Instant::now() + Duration::from_secs(10);
            while !so(&self.ask().1) {
                if Instant::now() > until {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            true
        }
    }

    fn skipped<T>(why: &str) -> Option<T> {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
        None
    }

    #[test]
    fn every_kind_of_address_is_found() {
        let (any, local) = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST);
        let pairs = [
            Pair::on_loopback(),
            Pair::connect((Ipv4Addr::UNSPECIFIED, 0).into(), Ipv4Addr::LOCALHOST),
            Pair::connect((local, 0).into(), local),
            Pair::connect((any, 0).into(), local),
            // In IPv6 form.
            Pair::connect((any, 0).into(), Ipv4Addr::LOCALHOST),
        ];
        for mut pair in pairs.into_iter().flatten() {
            pair.here.write_all(b"hello").unwrap();
            pair.there.read_exact(&mut [0; 5]).unwrap();
            assert!(pair.soon(|info| info.unacked == 0));
            assert_eq!(pair.unacknowledged(), None);
            let (response, info) = pair.ask();
            let peer = pair.here.peer_addr().unwrap();
            assert_eq!(response.header.socket_id.destination_port, peer.port());
            assert_eq!((info.bytes_acked, response.header.send_queue), (5, 0), "{peer}");
        }
    }

    #[test]
    fn a_peer_that_does_not_read_is_not_accused() {
        // It has as much memory as it says, or less.
        for shrunk in [false, true] {
            let Some(mut pair) = Pair::on_loopback() else { return };
            if shrunk {
                SockRef::from(&pair.there).set_recv_buffer_size(4_096).unwrap();
            }
            fill(&mut pair.here);
            assert!(pair.soon(|info| info.snd_wnd == 0 && (shrunk || info.unacked == 0)));
            assert_eq!(pair.unacknowledged(), None);
            let (response, info) = pair.ask();
            assert!(response.header.send_queue > 0, "nothing waits to be sent");
            // The case that is told from a cut line by the window alone.
            assert_eq!(info.unacked > 0, shrunk);
        }
    }

    fn fill(socket: &mut TcpStream) {
        socket.set_nonblocking(true).unwrap();
        let full = loop {
            if let Err(error) = socket.write_all(&[b'x'; 65_536]) {
                break error.kind();
            }
        };
        assert_eq!(full, ErrorKind::WouldBlock);
    }

    #[test]
    fn a_connection_that_is_gone_is_not_taken_for_the_listener() {
        let Some(Pair { here, there, listener }) = Pair::on_loopback() else { return };
        let (local, peer) = (here.local_addr().unwrap(), here.peer_addr().unwrap());
        // What waits to be accepted counts as unacknowledged, in the kernel's words.
        let _waiting = TcpStream::connect(local).unwrap();
        for end in [here, there] {
            SockRef::from(&end).set_linger(Some(Duration::ZERO)).unwrap();
        }
        let (response, info) = system::ask(local, peer).unwrap();
        assert_eq!((response.header.socket_id.destination_port, info.unacked), (0, 1));
        assert_eq!(unacknowledged(local, peer), None);
        drop(listener);
        assert!(system::ask(local, peer).is_err(), "nobody there");
        assert_eq!(unacknowledged(local, peer), None);
    }

    #[test]
    fn silence_is_since_anything_was_heard() {
        let Some(pair) = Pair::on_loopback() else { return };
        let (mut response, mut info) = pair.ask();
        let peer = pair.here.peer_addr().unwrap();
        response.header.send_queue = 27;
        for (unacked, window, ack, data, silence) in [
            (0, 9, 60_000, 60_000, None),
            (1, 9, 60_000, 12_000, Some(12)),
            (1, 9, 11_000, 60_000, Some(11)),
            (3, 9, 0, 60_000, Some(0)),
            (1, 0, 60_000, 60_000, None),
        ] {
            info.snd_wnd = window;
            (info.unacked, info.last_ack_recv, info.last_data_recv) = (unacked, ack, data);
            let silence = silence.map(Duration::from_secs);
            let expected = silence.map(|silence| Unacknowledged { bytes: 27, silence });
            assert_eq!(system::read(&response, &info, peer), expected);
        }
    }
}
