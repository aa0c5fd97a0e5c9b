//! Those who have not logged in: who of them came first, and whose time is up.
//!
//! Knows when each came. Knows nothing of why a log-in takes long.

use std::time::Instant;

use super::{ClientId, Effect, Guest, Room, Stage};
use crate::limits;
use crate::protocol::framing::Framing;
use crate::protocol::{Refusal, Reply};

impl Room {
    /// Who has been connected longest without logging in.
    pub fn oldest_stranger(&mut self) -> Option<ClientId> {
        self.skip_acquainted();
        self.strangers.front().map(|&(_, client)| client)
    }

    /// Closes those whose time to log in is over.
    pub(super) fn close_late_strangers(&mut self, now: Instant, out: &mut Vec<Effect>) {
        loop {
            self.skip_acquainted();
            let Some(&(since, client)) = self.strangers.front() else { break };
            if since + self.limits.log_in_wait > now {
                break;
            }
            self.strangers.pop_front();
            let Some(guest) = self.guest_mut(client) else { continue };
            if let Stage::OnTrial = guest.stage {
                // The wait for the hash does not count.
                self.strangers.push_back((now, client));
                continue;
            }
            if guest.framing == Framing::Lines {
                let seconds = self.limits.log_in_wait.as_secs();
                out.push(Effect::Reply(client, Reply::Error(Refusal::LogInTimeout(seconds))));
            }
            self.close(client, out);
        }
    }

    /// Drops those from the front of the strangers who have logged in or gone since, and
    /// sweeps them all when they are the most.
    pub(super) fn skip_acquainted(&mut self) {
        while let Some(&(_, client)) = self.strangers.front()
            && !self.is_stranger(client)
        {
            self.strangers.pop_front();
        }
        if self.strangers.len() > 2 * self.stranger_count + limits::STALE_ENTRIES_MAX {
            let mut strangers = std::mem::take(&mut self.strangers);
            strangers.retain(|&(_, client)| self.is_stranger(client));
            strangers.shrink_to_fit();
            self.strangers = strangers;
        }
    }

    fn is_stranger(&self, client: ClientId) -> bool {
        matches!(self.guest(client), Some(Guest { stage: Stage::New | Stage::OnTrial, .. }))
    }
}
