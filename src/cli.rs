//! The command line: every command, option and `CHINWAG_*` variable.
//!
//! Knows clap and the defaults in `limits`. Knows no socket, file or thread: it only says
//! what was asked for.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::client::address::Server;
use crate::limits;
use crate::operator::command::HELP;
use crate::protocol::Protocol;

/// A chat room for a classroom, an office or a LAN party.
#[derive(Debug, Parser)]
#[command(name = "chinwag", version, about, max_term_width = 100)]
pub struct Cli {
    /// More log lines (-v debug, -vv trace); RUST_LOG overrides.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Only warnings and errors (-qq: errors only).
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a room.
    Serve(Box<ServeOptions>),
    /// Join a room.
    Connect(ConnectOptions),
    /// See and mend the accounts of a room, also while it runs.
    Accounts(AccountsOptions),
    /// Ask a running server: who is there, say, kick, ban, mute, shut down.
    #[command(after_help = format!("Commands:\n{HELP}"))]
    Admin(AdminOptions),
}

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// Where to listen: `localhost`, `lan` (finds this machine's IPv4 address) or an
    /// address. Without it a terminal is asked, anything else gets localhost.
    #[arg(long, env = "CHINWAG_BIND", value_name = "localhost|lan|ADDRESS")]
    pub bind: Option<Bind>,
    /// TCP port; 0 picks a free one and prints it [default: 23791, uppercase: 12000].
    #[arg(long, env = "CHINWAG_PORT")]
    pub port: Option<u16>,
    /// What is spoken.
    #[arg(long, env = "CHINWAG_PROTOCOL", value_enum, default_value_t)]
    pub protocol: Protocol,
    /// The accounts' database, or `:memory:` for accounts that end with the server
    /// [default: chinwag/accounts.db in your data directory].
    #[arg(long, env = "CHINWAG_DATA", value_name = "PATH|:memory:")]
    pub data: Option<PathBuf>,
    /// The socket that `chinwag admin` asks at, or `none` [default: chinwag/PORT.sock in
    /// your runtime directory].
    #[arg(long, env = "CHINWAG_CONTROL", value_name = "PATH|none", value_parser = control_path())]
    pub control: Option<ControlPath>,
    /// End when the last client leaves.
    #[arg(long, env = "CHINWAG_EXIT_WHEN_EMPTY", value_parser = clap::builder::BoolishValueParser::new())]
    pub exit_when_empty: bool,
    /// Longest frame, in bytes (1024 to 32768).
    #[arg(long, env = "CHINWAG_MAX_FRAME", value_name = "BYTES", default_value_t = limits::FRAME_BYTES_MAX, value_parser = frame_bytes)]
    pub max_frame: usize,
    /// Most connections [default: the descriptor limit less 32].
    #[arg(long, env = "CHINWAG_MAX_CONNECTIONS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,
    /// Most connections of one address that is not exempt.
    #[arg(long, env = "CHINWAG_MAX_PER_ADDRESS", value_name = "COUNT", default_value_t = limits::CONNECTIONS_PER_ADDRESS)]
    pub max_per_address: usize,
    /// Seconds a connection has to log in.
    #[arg(long, env = "CHINWAG_LOGIN_TIMEOUT", value_name = "SECONDS", default_value_t = limits::LOGIN_WAIT.as_secs() as u32, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub login_timeout: u32,
    /// Messages a second of one client that is not exempt.
    #[arg(long, env = "CHINWAG_MESSAGE_RATE", value_name = "COUNT", default_value_t = limits::MESSAGES_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub message_rate: u32,
    /// Messages such a client may send at once.
    #[arg(long, env = "CHINWAG_MESSAGE_BURST", value_name = "COUNT", default_value_t = limits::MESSAGE_BURST, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub message_burst: u32,
    /// Unread outgoing bytes above which a client lags.
    #[arg(long, env = "CHINWAG_QUEUE_SOFT", value_name = "BYTES", default_value_t = limits::QUEUE_SOFT_BYTES)]
    pub queue_soft: usize,
    /// Unread outgoing bytes at which a client is closed; exceeds --queue-soft by more than
    /// one turn may add: 131,072 bytes, a frame and 320 bytes.
    #[arg(long, env = "CHINWAG_QUEUE_HARD", value_name = "BYTES", default_value_t = limits::QUEUE_HARD_BYTES)]
    pub queue_hard: usize,
    /// Unread outgoing bytes of all clients together.
    #[arg(long, env = "CHINWAG_QUEUE_TOTAL", value_name = "BYTES", default_value_t = limits::QUEUE_TOTAL_BYTES)]
    pub queue_total: usize,
    /// Messages replayed to who logs in, in lines (accounts).
    #[arg(long, env = "CHINWAG_HISTORY", value_name = "COUNT", default_value_t = limits::HISTORY_REPLAYED)]
    pub history: usize,
    /// Messages kept, of 8 MiB at the most; 0 keeps none, and forgets those that were
    /// (accounts).
    #[arg(long, env = "CHINWAG_HISTORY_KEEP", value_name = "COUNT", default_value_t = limits::HISTORY_MESSAGES_MAX)]
    pub history_keep: usize,
    /// Addresses that the limits per address and per client do not apply to: addresses or
    /// networks (ADDRESS/BITS), separated by commas, or `none`.
    #[arg(
        long,
        env = "CHINWAG_EXEMPT",
        value_name = "NETWORKS|none",
        default_value = "127.0.0.0/8,::1"
    )]
    pub exempt: Exempt,
}

impl ServeOptions {
    /// The port asked for, or the protocol's own.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.protocol.default_port())
    }
}

fn frame_bytes(text: &str) -> Result<usize, String> {
    let range = limits::FRAME_BYTES_MAX_FLOOR..=limits::FRAME_BYTES_MAX_CEILING;
    match text.parse() {
        Ok(bytes) if range.contains(&bytes) => Ok(bytes),
        _ => Err(format!("give a number from {} to {}", range.start(), range.end())),
    }
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// 127.0.0.1
    Localhost,
    /// The local IPv4 address of this machine.
    Lan,
    /// This address.
    Address(IpAddr),
}

impl FromStr for Bind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "localhost" => Ok(Self::Localhost),
            "lan" => Ok(Self::Lan),
            address => address
                .parse()
                .map(Self::Address)
                .map_err(|_| "give localhost, lan, or an IPv4 or IPv6 address"),
        }
    }
}

/// Where a control socket is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlPath {
    /// Nowhere.
    None,
    /// Here.
    At(PathBuf),
}

impl From<PathBuf> for ControlPath {
    fn from(path: PathBuf) -> Self {
        if path == Path::new("none") { Self::None } else { Self::At(path) }
    }
}

fn control_path() -> impl TypedValueParser<Value = ControlPath> {
    PathBufValueParser::new().map(ControlPath::from)
}

/// The networks that limits per address do not apply to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exempt(Vec<(IpAddr, u8)>);

impl Exempt {
    /// Whether `address` lies in one of the networks. An IPv4 address in IPv6 form counts
    /// as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|&(network, bits)| match (network, address) {
            (IpAddr::V4(n), IpAddr::V4(a)) => {
                (n.to_bits() ^ a.to_bits()).checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(n), IpAddr::V6(a)) => {
                (n.to_bits() ^ a.to_bits()).checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
            }
            _ => false,
        })
    }
}

impl FromStr for Exempt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "give addresses or ADDRESS/BITS, separated by commas, or none";
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let network = |part: &str| {
            let (address, bits) = match part.split_once('/') {
                Some((address, bits)) => (address, Some(bits)),
                None => (part, None),
            };
            let address: IpAddr = address.trim().parse().map_err(|_| HELP)?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(most), str::parse).map_err(|_| HELP)?;
            if bits <= most { Ok((address, bits)) } else { Err(HELP) }
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// Options of `connect`.
#[derive(Debug, Clone, Args)]
pub struct ConnectOptions {
    /// The server: HOST or HOST:PORT, IPv6 addresses in brackets before a port.
    #[arg(value_name = "HOST[:PORT]", env = "CHINWAG_SERVER")]
    pub server: Option<Server>,
    /// What the server speaks.
    #[arg(long, env = "CHINWAG_PROTOCOL", value_enum, default_value_t)]
    pub protocol: Protocol,
    /// The name others see (accounts, nickname).
    #[arg(long, env = "CHINWAG_NAME")]
    pub name: Option<String>,
    /// The user name to log in with (accounts).
    #[arg(long, env = "CHINWAG_USER")]
    pub user: Option<String>,
    /// A file that holds the password in its first line (accounts).
    #[arg(long, env = "CHINWAG_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Create the account first (accounts).
    #[arg(long)]
    pub sign_up: bool,
    /// Show the time before every line (on a terminal).
    #[arg(long, env = "CHINWAG_TIMESTAMPS", value_parser = clap::builder::BoolishValueParser::new())]
    pub timestamps: bool,
    /// Do not ring when somebody says your name (on a terminal).
    #[arg(long, env = "CHINWAG_NO_BELL", value_parser = clap::builder::BoolishValueParser::new())]
    pub no_bell: bool,
    /// How long to try to come back when the server is lost (on a terminal); 0: never.
    #[arg(long, env = "CHINWAG_RECONNECT", value_name = "SECONDS", default_value_t = limits::RECONNECT_WAIT.as_secs() as u32, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub reconnect: u32,
}

/// Options of `accounts`.
#[derive(Debug, Clone, Args)]
pub struct AccountsOptions {
    /// The accounts' database [default: chinwag/accounts.db in your data directory].
    #[arg(long, env = "CHINWAG_DATA", value_name = "PATH", global = true)]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: AccountsCommand,
}

/// What can be done with accounts.
#[derive(Debug, Clone, Subcommand)]
pub enum AccountsCommand {
    /// Print the accounts: user name, name, time of sign-up.
    List,
    /// Remove an account; its session ends within a second.
    Remove {
        /// The user name of the account.
        user: String,
    },
    /// Give an account a new password, which counts from the next log-in.
    ResetPassword {
        /// The user name of the account.
        user: String,
        /// A file that holds the new password in its first line; without it a terminal is
        /// asked, and anything else on standard input gives it as its first line.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// Options of `admin`.
#[derive(Debug, Clone, Args)]
pub struct AdminOptions {
    /// The port of the server.
    #[arg(long, env = "CHINWAG_PORT", default_value_t = Protocol::Accounts.default_port(), value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// The server's control socket, whatever its port.
    #[arg(long, env = "CHINWAG_CONTROL", value_name = "PATH", value_parser = control_path())]
    pub control: Option<ControlPath>,
    /// What to ask, as below. A name with spaces is one word: `kick "Ana Maria"`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_of_serve_has_its_variable() {
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").expect("serve");
        for option in serve.get_arguments().filter(|a| a.get_long().is_some_and(|l| l != "help")) {
            let (Some(long), env) = (option.get_long(), option.get_env()) else { continue };
            if ["verbose", "quiet"].contains(&long) {
                continue;
            }
            let expected = format!("CHINWAG_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(env.and_then(|e| e.to_str()), Some(expected.as_str()));
        }
    }

    #[test]
    fn exempt_networks() {
        let exempt: Exempt = "127.0.0.0/8,::1,10.1.0.0/16".parse().expect("networks");
        for (address, inside) in [
            ("127.9.9.9", true),
            ("::ffff:127.0.0.1", true),
            ("::1", true),
            ("::2", false),
            ("10.1.200.3", true),
            ("10.2.0.1", false),
        ] {
            assert_eq!(exempt.contains(address.parse().expect("address")), inside, "{address}");
        }
        let everyone: Exempt = "0.0.0.0/0".parse().expect("network");
        assert!(everyone.contains("8.8.8.8".parse().expect("address")));
        let nobody: Exempt = "none".parse().expect("none");
        assert!(!nobody.contains("127.0.0.1".parse().expect("address")));
        assert!("10.0.0.0/33".parse::<Exempt>().is_err());
        assert!("office".parse::<Exempt>().is_err());
    }
}
