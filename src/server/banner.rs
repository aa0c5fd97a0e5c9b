//! What the operator sees first: where the room is and how to join it.
//!
//! Knows addresses and commands. Knows no socket.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::protocol::Protocol;

/// The banner of a server of `protocol` that listens on `address`. When that is every
/// address of the machine, `local` are those to name. `admin` are the options of `chinwag
/// admin`, if it can be asked.
pub fn banner(
    protocol: Protocol,
    address: SocketAddr,
    local: &[Ipv4Addr],
    admin: Option<&str>,
) -> String {
    let port = address.port();
    let mut hosts: Vec<IpAddr> = Vec::new();
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            hosts.push(Ipv4Addr::LOCALHOST.into());
            hosts.extend(local.iter().copied().map(IpAddr::V4));
        }
        ip => hosts.push(ip),
    }
    let option = match protocol {
        Protocol::Accounts => "",
        Protocol::Nickname => " --protocol nickname",
        Protocol::Relay => " --protocol relay",
        Protocol::Uppercase => " --protocol uppercase",
    };
    let mut text = format!("chinwag: the room is open, host {}, port {port}\n", address.ip());
    // Writing to a string cannot fail.
    for host in hosts {
        let _ = writeln!(text, "  netcat:  nc {host} {port}");
        let _ =
            writeln!(text, "  client:  chinwag connect{option} {}", SocketAddr::new(host, port));
    }
    if let Some(options) = admin {
        let _ = writeln!(text, "  admin:   chinwag admin {options} help");
    }
    text.push_str(match protocol {
        Protocol::Accounts => {
            "  By netcat, sign up with  [NEW]:signup:name:user_name:password  (you are\n  \
             disconnected), come again with  [NEW]:login:name:user_name:password  and chat.\n"
        }
        Protocol::Nickname => "  By netcat, answer NICK with a nickname and chat.\n",
        Protocol::Relay => "  What one sends goes to all others.\n",
        Protocol::Uppercase => "  Send one line; it comes back in upper case.\n",
    });
    text.push_str("  To end it, type  shutdown  or press Ctrl-C.\nREADY\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_can_be_typed_as_they_are() {
        let text = banner(Protocol::Nickname, "[::1]:4000".parse().unwrap(), &[], None);
        assert!(text.contains("nc ::1 4000\n"));
        assert!(text.contains("chinwag connect --protocol nickname [::1]:4000\n"));
        assert!(!text.contains("admin"));
        assert!(text.ends_with("\nREADY\n"));
    }

    #[test]
    fn every_address_is_not_one_to_join() {
        let local = [Ipv4Addr::new(192, 168, 1, 5)];
        let text = banner(
            Protocol::Accounts,
            "0.0.0.0:23791".parse().unwrap(),
            &local,
            Some("--port 23791"),
        );
        assert!(text.contains("nc 127.0.0.1 23791\n"));
        assert!(text.contains("nc 192.168.1.5 23791\n"));
        assert!(!text.contains("nc 0.0.0.0"));
        assert!(text.contains("  admin:   chinwag admin --port 23791 help\n"));
        assert!(text.ends_with("\nREADY\n"));
    }
}
