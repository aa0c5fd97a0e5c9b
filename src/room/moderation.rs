//! What the operator does to people, as far as it concerns the room.
//!
//! Knows names, bans and mutes. Knows no address of anybody in the room: who comes from
//! where is known to whoever has the connections.

use super::{ClientId, Effect, Room, Stage};
use crate::accounts::records::{Sanction, SanctionChange, SanctionKind, SanctionTarget};
use crate::protocol::framing::Framing;
use crate::protocol::{Event, Refusal, Reply};

impl Room {
    /// Tells everyone in the room.
    pub fn announce(&mut self, text: String, out: &mut Vec<Effect>) {
        out.push(Effect::Broadcast { event: Event::Announced(text), from: None });
    }

    /// Ends what `client` has here, and tells it why if it can be told: not if it is being
    /// closed already, since it has had its last words.
    pub fn expel(&mut self, client: ClientId, why: Refusal, out: &mut Vec<Effect>) {
        let Some(guest) = self.guest(client) else { return };
        if matches!(guest.stage, Stage::Leaving) {
            return;
        }
        // A reference client that has not logged in takes any byte for an answer.
        if self.protocol.has_names() && (self.has(client) || guest.framing == Framing::Lines) {
            out.push(Effect::Reply(client, Reply::Error(why)));
        }
        self.close(client, out);
    }

    /// Imposes a ban or a mute, or lifts it. Says whether that changed anything. A session
    /// that a ban concerns goes on until it is expelled.
    pub fn change_sanctions(&mut self, change: &SanctionChange) -> bool {
        self.sanctions.change(change, self.wall_clock)
    }

    /// Whether exactly this is in force.
    pub fn has_sanction(&self, kind: SanctionKind, target: &SanctionTarget) -> bool {
        self.sanctions.has(kind, target, self.wall_clock)
    }

    /// The bans and mutes in force.
    pub fn sanctions(&self) -> Vec<Sanction> {
        self.sanctions.list(self.wall_clock)
    }

    /// Whether who bears `name` may come in.
    pub(super) fn is_banned(&self, name: &str) -> bool {
        self.sanctions.of_name(SanctionKind::Ban, name, self.wall_clock).is_some()
    }
}
