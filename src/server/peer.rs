//! A peer's address in half the size of `SocketAddr`: most are IPv4, and many are idle.
//!
//! Knows addresses and nothing else.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where a connection comes from.
#[derive(Debug)]
pub enum Peer {
    /// IPv4, also in IPv6 form.
    V4(SocketAddrV4),
    /// IPv6.
    V6(Box<SocketAddrV6>),
}

impl Peer {
    /// The peer at `address`.
    pub fn new(address: SocketAddr) -> Self {
        match (address.ip().to_canonical(), address) {
            (IpAddr::V4(ip), _) => Self::V4(SocketAddrV4::new(ip, address.port())),
            (IpAddr::V6(_), SocketAddr::V6(address)) => Self::V6(Box::new(address)),
            (IpAddr::V6(ip), SocketAddr::V4(_)) => {
                Self::V6(Box::new(SocketAddrV6::new(ip, address.port(), 0, 0)))
            }
        }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::V4(address) => (*address).into(),
            Self::V6(address) => (**address).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_and_is_small() {
        for (given, back) in [
            ("10.1.2.3:4", "10.1.2.3:4"),
            ("[::ffff:10.1.2.3]:4", "10.1.2.3:4"),
            ("[fe80::1]:4", "[fe80::1]:4"),
        ] {
            assert_eq!(Peer::new(given.parse().unwrap()).address(), back.parse().unwrap());
        }
        assert!(size_of::<Peer>() <= 16);
    }
}
