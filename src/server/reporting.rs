//! What the operator is shown: who is here, who is banned or muted, how the server does.
//!
//! Knows the room, connections and how to put it in lines. Changes nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::connection::Transport;
use super::turn::Server;
use crate::accounts::records::{Sanction, SanctionKind, SanctionTarget};
use crate::durations::shown;
use crate::limits;
use crate::operator::Answer;
use crate::protocol::text;

impl<S: Transport> Server<S> {
    pub(super) fn who(&self) -> Answer {
        let mut here = Vec::new();
        let mut inside = 0;
        for (slot, connection) in &self.connections {
            let client = connection.id(slot as u32);
            if self.room.has(client) {
                inside += 1;
                if here.len() < limits::WHO_LINES_MAX {
                    let name = self.room.name_of(client).unwrap_or("-");
                    here.push((text::fold(name), name, connection.peer()));
                }
            }
        }
        here.sort_unstable();
        let line = |(_, name, peer): &(String, &str, SocketAddr)| {
            // As wide as the longest IPv4 address with its port.
            format!("  {:<21}  {name}", peer.to_string())
        };
        let mut lines: Vec<String> = here.iter().map(line).collect();
        if inside > lines.len() {
            lines.push(format!("  ... and {} more", inside - lines.len()));
        }
        let outside = self.connections.len() - inside;
        let outside = if outside == 0 { String::new() } else { format!(", {outside} outside") };
        lines.insert(0, format!("{inside} in the room{outside}"));
        Answer::done(lines.join("\n"))
    }

    pub(super) fn bans(&self) -> Answer {
        let line = |sanction: Sanction| {
            let kind = if sanction.kind == SanctionKind::Ban { "banned" } else { "muted" };
            let left = sanction.until.map(|until| {
                let seconds = until.saturating_sub(self.room.wall_clock());
                Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
            });
            format!("{} is {kind}{}", named(&sanction.target), for_how_long(left))
        };
        let lines: Vec<String> = self.room.sanctions().into_iter().map(line).collect();
        Answer::done(if lines.is_empty() { "nobody".to_owned() } else { lines.join("\n") })
    }

    pub(super) fn stats(&self, now: Instant) -> Answer {
        let census = self.census();
        let (messages, bytes) = self.room.history_size();
        let since = self.started_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let mut lines = vec![
            format!("running      {}", shown(Duration::from_secs(since.as_secs()))),
            format!("in the room  {}", census.members),
            format!(
                "connections  {} of at most {}",
                census.connections, self.settings.connections_max
            ),
            format!("said         {} messages", self.said),
            format!("unread       {} bytes", census.queued_bytes),
            format!("bans, mutes  {}", self.room.sanctions().len()),
        ];
        if self.settings.protocol.has_accounts() {
            lines.push(format!("history      {messages} messages, {bytes} bytes"));
            lines.push(format!("not written  {} messages", self.unwritten));
        }
        if let Some(at) = self.closing_at {
            let left = at.saturating_duration_since(now).as_secs();
            lines.push(format!("closing in   {}", shown(Duration::from_secs(left))));
        }
        Answer::done(lines.join("\n"))
    }
}

/// Whom a ban or a mute concerns.
pub(super) fn named(target: &SanctionTarget) -> String {
    match target {
        SanctionTarget::Name(name) => text::clean(name).into_owned(),
        SanctionTarget::Address(IpAddr::V6(network)) => format!("{network}/64"),
        SanctionTarget::Address(address) => address.to_string(),
    }
}

/// Behind what was done: for how long; nothing if for good.
pub(super) fn for_how_long(duration: Option<Duration>) -> String {
    duration.map_or(String::new(), |duration| format!(" for {}", shown(duration)))
}
