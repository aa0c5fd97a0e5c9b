//! Leaving: of one's own will, because the connection ended, or with the whole room.
//!
//! Knows who is in and what the others hear of it. Knows no reason: those who have one call.

use super::{ClientId, Effect, LogLine, Origin, Room, Stage};
use crate::protocol::{Event, Reply};

impl Room {
    /// Says farewell to everyone. Nothing further is heard of anyone.
    pub fn shut_down(&mut self, out: &mut Vec<Effect>) {
        self.shutting_down = true;
        self.trials.clear();
        for (slot, guest) in self.guests.iter_mut().enumerate() {
            let client = ClientId { slot: slot as u32, generation: guest.generation };
            match std::mem::replace(&mut guest.stage, Stage::Leaving) {
                Stage::Vacant => guest.stage = Stage::Vacant,
                Stage::Leaving => {}
                Stage::New | Stage::OnTrial => {
                    self.stranger_count -= 1;
                    out.push(Effect::Close(client));
                }
                Stage::InRoom(speaker, _) => {
                    out.push(Effect::Depart(client));
                    if let Some(speaker) = speaker {
                        self.names.free(speaker.name());
                        out.push(Effect::Log(client, LogLine::Disconnected(speaker.name().into())));
                        out.push(Effect::Reply(client, Reply::ShuttingDown));
                    }
                    out.push(Effect::Close(client));
                }
            }
        }
    }

    /// Says farewell on behalf of `client`, which is lost or to be closed: its name and
    /// account are free from here on. Its connection has yet to end.
    pub fn close(&mut self, client: ClientId, out: &mut Vec<Effect>) {
        self.leave(client, out);
        out.push(Effect::Close(client));
    }

    pub(super) fn ended(&mut self, client: ClientId, origin: Origin, out: &mut Vec<Effect>) {
        if self.guest(client).is_none() {
            return;
        }
        self.leave(client, out);
        self.set_stage(client, Stage::Vacant);
        self.guest_count -= 1;
        if !origin.exempt
            && let Some(count) = self.per_address.get_mut(&origin.address)
        {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&origin.address);
            }
        }
        if self.guest_count == 0 {
            out.push(Effect::Emptied);
        }
    }

    /// Takes `client` out of the room, or off its trial, and announces it.
    pub(super) fn leave(&mut self, client: ClientId, out: &mut Vec<Effect>) {
        self.give_up(client);
        let Some(guest) = self.guest_mut(client) else { return };
        match std::mem::replace(&mut guest.stage, Stage::Leaving) {
            Stage::InRoom(speaker, _) => {
                out.push(Effect::Depart(client));
                let Some(speaker) = speaker else { return };
                self.names.free(speaker.name());
                out.push(Effect::Log(client, LogLine::Disconnected(speaker.name().into())));
                let event = Event::Left(speaker.name().into());
                out.push(Effect::Broadcast { event, from: None });
            }
            Stage::New | Stage::OnTrial => self.stranger_count -= 1,
            Stage::Leaving | Stage::Vacant => {}
        }
    }
}
