//! The closed set of what is measured, and how each is started.
//!
//! Knows commands, configuration files and ports. Knows nothing of what is said over a
//! connection: that is `dialect`.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::accounts_database;
use crate::machine::Cpus;
use crate::processes::Server;

/// Where another build of the program is.
const OTHER_BUILD: &str = "CHINWAG_OTHER_BUILD";

/// One server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// One read and N writes and nothing else.
    Floor,
    /// chinwag, `--protocol nickname`.
    Nickname,
    /// chinwag, `--protocol accounts`.
    Accounts,
    /// The same, keeping nothing of what is said.
    Unkept,
    /// Another build of chinwag, the one at `CHINWAG_OTHER_BUILD`, `--protocol nickname`.
    OtherNickname,
    /// The same, `--protocol accounts`.
    OtherAccounts,
    /// redis-server, publish and subscribe.
    Redis,
    /// nats-server.
    Nats,
    /// ngircd, one channel.
    Ngircd,
    /// mosquitto, QoS 0.
    Mosquitto,
    /// A thread per client, as the tutorials do it.
    Threads,
}

impl Subject {
    /// What `--peers` adds.
    pub const PEERS: [Self; 5] =
        [Self::Redis, Self::Nats, Self::Ngircd, Self::Mosquitto, Self::Threads];

    /// The name in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Nickname => "chinwag nickname",
            Self::Accounts => "chinwag accounts",
            Self::Unkept => "nothing kept",
            Self::OtherNickname => "other nickname",
            Self::OtherAccounts => "other accounts",
            Self::Redis => "redis",
            Self::Nats => "nats-server",
            Self::Ngircd => "ngircd",
            Self::Mosquitto => "mosquitto",
            Self::Threads => "thread per client",
        }
    }

    /// Whether this is the program the bench is for: if it fails, the bench fails.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Floor) || self.protocol().is_some()
    }

    /// What chinwag speaks, if it is chinwag.
    const fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Nickname | Self::OtherNickname => Some("nickname"),
            Self::Accounts | Self::Unkept | Self::OtherAccounts => Some("accounts"),
            _ => None,
        }
    }

    /// Whether clients sign up and log in with a password.
    pub fn has_accounts(self) -> bool {
        self.protocol() == Some("accounts")
    }

    /// Whether this is another build of the program.
    const fn is_other_build(self) -> bool {
        matches!(self, Self::OtherNickname | Self::OtherAccounts)
    }

    /// Connections that may be on their way in at once, below the listener's backlog: what
    /// overflows it is tried again by TCP after a second.
    pub const fn in_flight(self) -> usize {
        match self {
            // Its backlog is ten.
            Self::Ngircd => 8,
            // Its backlog is 100; the one that Rust's standard library asks for is 128.
            Self::Mosquitto | Self::Threads => 80,
            _ => 256,
        }
    }

    /// The program to look for, of those that must be installed.
    const fn program(self) -> Option<&'static str> {
        match self {
            Self::Redis => Some("redis-server"),
            Self::Nats => Some("nats-server"),
            Self::Ngircd => Some("ngircd"),
            Self::Mosquitto => Some("mosquitto"),
            _ => None,
        }
    }

    /// What it writes when it is ready, if that is more than to listen.
    const fn ready(self) -> &'static str {
        match self.protocol() {
            Some(_) => "READY",
            None => "",
        }
    }

    /// Whether it can be started here.
    pub fn is_installed(self) -> bool {
        match self.program() {
            Some(program) => find(program).is_some(),
            None => !self.is_other_build() || env::var_os(OTHER_BUILD).is_some(),
        }
    }

    /// Starts it with room for `clients`, listening on a free port of the loopback.
    ///
    /// # Errors
    /// It cannot be started, or does not listen in time.
    pub fn start(
        self,
        scratch: &Path,
        cpus: Cpus,
        clients: usize,
    ) -> Result<Server, Box<dyn Error>> {
        let port = free_port()?;
        let program = match self.program() {
            Some(program) => find(program).ok_or("not installed")?,
            None if matches!(self, Self::Floor | Self::Threads) => env::current_exe()?,
            None if self.is_other_build() => {
                PathBuf::from(env::var_os(OTHER_BUILD).ok_or("CHINWAG_OTHER_BUILD is not set")?)
            }
            None => PathBuf::from(env!("CARGO_BIN_EXE_chinwag")),
        };
        let directory = tempfile::tempdir_in(scratch)?;
        let mut command = Command::new(program);
        command.current_dir(directory.path());
        match self {
            Self::Floor => command.arg("--floor").arg(port.to_string()),
            Self::Threads => command.arg("--threads").arg(port.to_string()),
            Self::Nickname
            | Self::Accounts
            | Self::Unkept
            | Self::OtherNickname
            | Self::OtherAccounts => {
                let data = directory.path().join("accounts.db");
                let protocol = self.protocol().unwrap_or_default();
                // Idle connections stay as long as a phase takes.
                command
                    .args(["-q", "serve", "--bind", "localhost", "--login-timeout", "86400"])
                    .args(["--protocol", protocol, "--port", &port.to_string(), "--data"])
                    .arg(&data)
                    // By variables, which an older build passes over.
                    .env("CHINWAG_CONTROL", "none");
                if self == Self::Unkept {
                    command.env("CHINWAG_HISTORY_KEEP", "0");
                }
                if self.has_accounts() {
                    // Its first run makes the database, which is then filled.
                    let ready = self.ready();
                    drop(Server::start(self.name(), &mut command, port, ready, &directory, cpus)?);
                    accounts_database::fill(&data, clients)?;
                }
                &mut command
            }
            Self::Redis => command
                .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
                .args(["--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"])
                .args(["--maxclients", "100000", "--tcp-backlog", "4096", "--protected-mode", "no"])
                .args(["--client-output-buffer-limit", "pubsub 0 0 0"]),
            Self::Nats => {
                let config = directory.path().join("nats.conf");
                fs::write(&config, nats_config(port))?;
                command.arg("-c").arg(config)
            }
            Self::Ngircd => {
                let config = directory.path().join("ngircd.conf");
                fs::write(&config, ngircd_config(port))?;
                command.arg("-n").arg("-f").arg(config)
            }
            Self::Mosquitto => {
                let config = directory.path().join("mosquitto.conf");
                fs::write(&config, mosquitto_config(port))?;
                command.arg("-c").arg(config)
            }
        };
        let ready = self.ready();
        let mut server = Server::start(self.name(), &mut command, port, ready, &directory, cpus)?;
        server.keep(directory);
        Ok(server)
    }
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Where a program is: on the path, or where daemons are kept.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// No limit on what a slow reader may have pending, and no pings in between.
fn nats_config(port: u16) -> String {
    format!(
        "listen: \"127.0.0.1:{port}\"\nmax_connections: 100000\nmax_pending: 1073741824\n\
         write_deadline: \"60s\"\nping_interval: \"1h\"\nlogtime: false\n"
    )
}

/// No look-ups, no penalties for fast talkers, no limits.
fn ngircd_config(port: u16) -> String {
    format!(
        "[Global]\nName = bench.local\nInfo = bench\nListen = 127.0.0.1\nPorts = {port}\n\
         MotdPhrase = bench\n\
         [Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxJoins = 0\nMaxNickLength = 20\n\
         MaxPenaltyTime = 0\nPingTimeout = 3600\nPongTimeout = 3600\nMaxListSize = 0\n\
         [Options]\nDNS = no\nIdent = no\nPAM = no\nRequireAuthPing = no\n"
    )
}

/// No limit on what is queued, and `TCP_NODELAY`.
fn mosquitto_config(port: u16) -> String {
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nsys_interval 0\n\
         max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 0\n\
         set_tcp_nodelay true\nlog_type error\n"
    )
}
