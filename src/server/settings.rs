//! What a server was asked to be, once its options are resolved.
//!
//! Knows numbers and choices. Knows no option's name and no socket.

use std::time::Duration;

use super::pacing::MessageRate;
use crate::accounts::records::HistoryLimits;
use crate::cli::{Exempt, ServeOptions};
use crate::limits;
use crate::protocol::Protocol;
use crate::room::RoomLimits;

/// Everything the turn needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is spoken.
    pub protocol: Protocol,
    /// What the room checks.
    pub room: RoomLimits,
    /// Messages of one client that is not exempt.
    pub message_rate: MessageRate,
    /// Most connections.
    pub connections_max: usize,
    /// Unread bytes above which a client lags.
    pub queue_soft_bytes: usize,
    /// Unread bytes at which it is closed.
    pub queue_hard_bytes: usize,
    /// Unread bytes of all clients.
    pub queue_total_bytes: usize,
    /// Whom the limits per address and per client do not apply to.
    pub exempt: Exempt,
    /// End when the last client leaves.
    pub exit_when_empty: bool,
}

impl Settings {
    /// The settings that `options` ask for, with room for `connections_max` at most.
    pub fn new(options: &ServeOptions, connections_max: usize) -> Self {
        Self {
            protocol: options.protocol,
            room: RoomLimits {
                frame_bytes_max: options.max_frame,
                log_in_wait: Duration::from_secs(options.login_timeout.into()),
                per_address: options.max_per_address,
                history: HistoryLimits {
                    messages: if options.protocol.has_accounts() {
                        options.history_keep
                    } else {
                        0
                    },
                    bytes: limits::HISTORY_BYTES_MAX,
                },
                history_replayed: options.history,
                reply_bytes_max: reply_bytes_max(options),
            },
            message_rate: MessageRate {
                burst: options.message_burst,
                per_second: options.message_rate,
            },
            connections_max: options
                .max_connections
                .map_or(connections_max, |asked| connections_max.min(asked as usize)),
            queue_soft_bytes: options.queue_soft,
            queue_hard_bytes: options.queue_hard,
            queue_total_bytes: options.queue_total,
            exempt: options.exempt.clone(),
            exit_when_empty: options.exit_when_empty,
        }
    }
}

/// An answer, too, must not take a healthy client to its hard limit, together with what one
/// turn says, however near to the soft one it was set.
fn reply_bytes_max(options: &ServeOptions) -> usize {
    let turn = limits::TURN_BYTES_MAX + options.max_frame + limits::FRAME_DRESS_BYTES;
    let room = options.queue_hard.saturating_sub(options.queue_soft).saturating_sub(turn);
    room.clamp(limits::REPLY_BYTES_MIN, limits::REPLY_BYTES_MAX)
}
