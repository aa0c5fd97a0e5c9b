//! Where to listen: the operator's choice, this machine's addresses, the listening socket.
//!
//! Knows addresses and socket options. Knows no poll and no room.

use std::fmt;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::cli::Bind;
use crate::limits;

/// Why the server cannot listen.
#[derive(Debug)]
pub enum BindError {
    /// `--bind lan`, and there is no local IPv4 address.
    NoLocalAddress,
    /// The operator left at the menu.
    Left,
    /// The system does not allow it.
    System(SocketAddr, io::Error),
    /// The terminal cannot be read.
    Terminal(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLocalAddress => f.write_str(
                "this machine has no local IPv4 address; give --bind localhost or an address",
            ),
            Self::Left => f.write_str("left"),
            Self::Terminal(error) => {
                write!(f, "cannot read the terminal ({error}); give --bind")
            }
            Self::System(address, error) => {
                let (ip, port) = (address.ip(), address.port());
                match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        write!(f, "port {port} of {ip} is in use; give another with --port")
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        write!(f, "{ip} is no address of this machine; give another with --bind")
                    }
                    io::ErrorKind::PermissionDenied => write!(
                        f,
                        "no permission to listen on port {port}; give one above 1023 with --port"
                    ),
                    _ => write!(f, "cannot listen on {address}: {error}"),
                }
            }
        }
    }
}

impl std::error::Error for BindError {}

/// The address to listen on. Asks only a terminal, and only without a choice.
///
/// # Errors
/// There is none.
pub fn choose(bind: Option<Bind>) -> Result<IpAddr, BindError> {
    let (input, mut output) = (io::stdin(), io::stdout());
    let asks = input.is_terminal();
    match bind {
        Some(Bind::Address(address)) => Ok(address),
        Some(Bind::Lan) => match pick(&local_addresses(), &mut output) {
            Some(address) => Ok(address),
            None if asks => {
                say(&mut output, "This machine has no local IPv4 address.\n")?;
                menu(&mut input.lock(), &mut output, &[])
            }
            None => Err(BindError::NoLocalAddress),
        },
        None if asks => menu(&mut input.lock(), &mut output, &local_addresses()),
        Some(Bind::Localhost) | None => Ok(Ipv4Addr::LOCALHOST.into()),
    }
}

/// The menu of the source document.
fn menu(
    input: &mut impl BufRead,
    output: &mut impl Write,
    local: &[Ipv4Addr],
) -> Result<IpAddr, BindError> {
    say(
        output,
        "Where should the room be open?\n  1. localhost\n  2. Local IPv4\n  or an address; exit() to leave\n",
    )?;
    loop {
        say(output, "> ")?;
        let mut answer = String::new();
        if input.read_line(&mut answer).map_err(BindError::Terminal)? == 0 {
            say(output, "\n")?;
            return Err(BindError::Left);
        }
        match answer.trim() {
            "1" | "localhost" => return Ok(Ipv4Addr::LOCALHOST.into()),
            "2" | "lan" => match pick(local, output) {
                Some(address) => return Ok(address),
                None => say(output, "There is none. Type 1, an address, or exit().\n")?,
            },
            "exit()" => return Err(BindError::Left),
            answer => match answer.parse() {
                Ok(address) => return Ok(address),
                Err(_) => say(output, "Type 1, 2, an address, or exit().\n")?,
            },
        }
    }
}

/// The first of `local`; names the others.
fn pick(local: &[Ipv4Addr], output: &mut impl Write) -> Option<IpAddr> {
    let (first, others) = local.split_first()?;
    if !others.is_empty() {
        let all: Vec<_> = local.iter().map(ToString::to_string).collect();
        let line = format!(
            "Local addresses: {}. Taking {first}; choose another with --bind ADDRESS.\n",
            all.join(", ")
        );
        // Whoever reads standard output may have gone.
        let _ = output.write_all(line.as_bytes());
    }
    Some((*first).into())
}

/// The IPv4 addresses that others on the network can reach.
pub fn local_addresses() -> Vec<Ipv4Addr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let address = |interface: if_addrs::Interface| match interface.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_link_local() => Some(ip),
        _ => None,
    };
    interfaces.into_iter().filter_map(address).collect()
}

fn say(output: &mut impl Write, text: &str) -> Result<(), BindError> {
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(BindError::Terminal)
}

/// A listening, non-blocking socket.
///
/// # Errors
/// What the system says of the address.
pub fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    open(address).map_err(|error| BindError::System(address, error))
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that starts again must not wait for the connections of the last to expire.
    socket.set_reuse_address(true)?;
    configure(&socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options of a connection. Linux hands those of the listening socket on to what
/// it accepts, so there a connection costs no system call for them.
pub fn configure(socket: &Socket) -> io::Result<()> {
    // A chat message is small and is wanted now.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(limits::KEEPALIVE_IDLE)
        .with_interval(limits::KEEPALIVE_INTERVAL)
        .with_retries(limits::KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(limits::UNACKNOWLEDGED_WAIT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(typed: &str, local: &[Ipv4Addr]) -> Option<IpAddr> {
        menu(&mut typed.as_bytes(), &mut Vec::new(), local).ok()
    }

    #[test]
    fn the_menu_of_the_source() {
        let local = [Ipv4Addr::new(192, 168, 1, 5), Ipv4Addr::new(10, 0, 0, 5)];
        assert_eq!(answer("1\n", &local), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(answer("2\n", &local), Some(local[0].into()));
        assert_eq!(answer("what?\n\n10.0.0.5\n", &local), Some(local[1].into()));
        assert_eq!(answer("2\n1\n", &[]), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(answer("exit()\n", &local), None);
        assert_eq!(answer("", &local), None);
    }

    #[test]
    fn several_local_addresses_are_all_named() {
        let local = [Ipv4Addr::new(192, 168, 1, 5), Ipv4Addr::new(10, 0, 0, 5)];
        let mut said = Vec::new();
        pick(&local, &mut said);
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("192.168.1.5") && said.contains("10.0.0.5"));
    }
}
