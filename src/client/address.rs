//! `HOST[:PORT]`, as given on the command line or typed.
//!
//! Knows text. Knows no socket and resolves nothing.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A server, as someone names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port, when one was given.
    pub port: Option<u16>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (None, _) => f.write_str(&self.host),
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
        }
    }
}

/// Why a text names no server. Says what to give instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// No host, or one with characters no host has.
    Host,
    /// Not a number from 1 to 65535.
    Port,
    /// More than one colon, and no IPv6 address.
    Colons,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "give a host name or an address, such as localhost or 192.168.1.5",
            Self::Port => "a port is a number from 1 to 65535",
            Self::Colons => "give HOST, HOST:PORT, or an IPv6 address as [ADDRESS]:PORT",
        })
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Server {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or(AddressError::Colons)?;
            if !is_ipv6(host) {
                return Err(AddressError::Colons);
            }
            match after {
                "" => (host, None),
                after => (host, Some(after.strip_prefix(':').ok_or(AddressError::Colons)?)),
            }
        } else if is_ipv6(text) {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(AddressError::Colons),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(AddressError::Host);
        }
        let port = port.map(self::port).transpose()?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// An IPv6 address, with or without a zone (`fe80::1%eth0`).
fn is_ipv6(text: &str) -> bool {
    text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// A port to connect to.
///
/// # Errors
/// Not a number from 1 to 65535.
pub fn port(text: &str) -> Result<u16, AddressError> {
    match text.trim().parse() {
        Ok(0) | Err(_) => Err(AddressError::Port),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_server() {
        for (text, host, port) in [
            ("localhost", "localhost", None),
            (" localhost:5 ", "localhost", Some(5)),
            ("192.168.1.5:65535", "192.168.1.5", Some(65_535)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[::1]:7", "::1", Some(7)),
            ("[fe80::1%eth0]:7", "fe80::1%eth0", Some(7)),
            ("fe80::1%eth0", "fe80::1%eth0", None),
        ] {
            assert_eq!(text.parse(), Ok(Server { host: host.to_owned(), port }), "{text}");
        }
    }

    #[test]
    fn what_names_no_server() {
        for (text, error) in [
            ("", AddressError::Host),
            (":5", AddressError::Host),
            ("a b", AddressError::Host),
            ("a\u{1b}[2J", AddressError::Host),
            ("localhost:", AddressError::Port),
            ("localhost:0", AddressError::Port),
            ("localhost:65536", AddressError::Port),
            ("localhost:-1", AddressError::Port),
            ("localhost:http", AddressError::Port),
            ("a:b:c", AddressError::Colons),
            ("[::1", AddressError::Colons),
            ("[::1]7", AddressError::Colons),
            ("[localhost]:7", AddressError::Colons),
        ] {
            assert_eq!(text.parse::<Server>(), Err(error), "{text}");
        }
    }

    #[test]
    fn shown_as_it_could_be_given() {
        for text in ["localhost", "localhost:5", "::1", "[::1]:7"] {
            assert_eq!(text.parse::<Server>().expect("server").to_string(), text);
        }
    }
}
