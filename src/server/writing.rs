//! The writing half of a turn: what the room decided to queues, and queues to sockets.
//!
//! Knows who hears the room, and who lags. Knows no `mio` and not what a message means.
//!
//! Invariant: every recipient's stream is a gap-free slice of what the room said, from its
//! entry to its departure, without its own messages. A member in lines without an outbox
//! has heard all that was flushed and nothing of the broadcasts at hand; it costs one write
//! of their bytes as they are. All others have an outbox, which knows what they still miss.

use std::time::Instant;

use super::broadcasts::Format;
use super::connection::{Phase, Transport};
use super::outbox::{Flushed, Outbox};
use super::timers::Timer;
use super::turn::Server;
use crate::limits;
use crate::protocol::{Event, Reply};
use crate::room::ClientId;

impl<S: Transport> Server<S> {
    /// Says `event` to the room, but not to the speaker where the protocol does not echo.
    pub(super) fn broadcast(&mut self, event: &Event, from: Option<ClientId>, now: Instant) {
        let (in_lines, in_bursts) = (!self.members.is_empty(), self.burst_members > 0);
        self.said += u64::from(matches!(event, Event::Said { .. } | Event::Passed(_)));
        let place = self.broadcasts.push(event, in_lines, in_bursts, now);
        let speaker = from.filter(|_| !self.settings.protocol.echoes());
        if let Some(outbox) = speaker.and_then(|speaker| self.outbox(speaker)) {
            outbox.leave_out(&place);
        }
    }

    /// Tells `client` alone, after all it has yet to hear.
    pub(super) fn reply(&mut self, client: ClientId, reply: Reply, now: Instant) {
        let protocol = self.settings.protocol;
        let Some(connection) = self.get(client) else { return };
        let bursts = connection.framing().is_bursts();
        let (mut before, mut after) = (None, None);
        // Said as it is, whatever the framing.
        let verbatim = matches!(reply, Reply::Greeting | Reply::Answer(_));
        match reply {
            Reply::ShuttingDown if bursts => before = Some(limits::BURST_QUIET_BEFORE_EXIT),
            Reply::Welcome if bursts && protocol.has_accounts() => {
                after = Some(limits::BURST_QUIET_AFTER_LOGIN);
            }
            _ => {}
        }
        let private = matches!(reply, Reply::Private { .. });
        let mut bytes = protocol.encode_reply(reply);
        match bursts {
            _ if verbatim => {}
            true => bytes.insert(0, b'\n'),
            false => bytes.push(b'\n'),
        }
        if private {
            connection.activity_mut().note_private(bytes.len(), now);
        }
        self.broadcasts.count_replies(bytes.len());
        if self.outbox(client).is_none() {
            return;
        }
        let broadcasts = &self.broadcasts;
        let connection = self.connections.get_mut(client.slot as usize);
        let Some(outbox) = connection.and_then(|connection| connection.outbox_mut()) else {
            return;
        };
        if let Some(quiet) = before {
            outbox.push_quiet(quiet, broadcasts);
        }
        outbox.push(bytes, broadcasts);
        if let Some(quiet) = after {
            outbox.push_quiet(quiet, broadcasts);
        }
        self.dirty.push(client);
    }

    /// From here on `client` hears the room.
    pub(super) fn enter(&mut self, client: ClientId) {
        let Some(connection) = self.get(client) else { return };
        let format = connection.format();
        // Without an outbox it would be taken to miss all of the broadcasts at hand.
        if format == Format::Bursts || !self.broadcasts.bytes(format).is_empty() {
            self.outbox(client);
        }
        let place = self.members.len() as u32;
        let Some(connection) = self.connections.get_mut(client.slot as usize) else { return };
        if let Some(outbox) = connection.outbox_mut() {
            outbox.enter(&self.broadcasts);
        }
        match format {
            Format::Lines => {
                connection.member_index = Some(place);
                self.members.push(client.slot);
            }
            Format::Bursts => self.burst_members += 1,
        }
    }

    /// From here on `client` no longer hears it; what was said before is still for it.
    pub(super) fn depart(&mut self, client: ClientId) {
        let Some(connection) = self.get(client) else { return };
        let origin = connection.origin();
        if connection.phase() == Phase::Open && !self.broadcasts.bytes(Format::Lines).is_empty() {
            self.outbox(client);
        }
        let Some(connection) = self.connections.get_mut(client.slot as usize) else { return };
        let in_bursts = connection.outbox().is_some_and(|o| o.is_member_in(Format::Bursts));
        if let Some(outbox) = connection.outbox_mut() {
            outbox.depart(&self.broadcasts);
            if outbox.over_soft_since.take().is_some() {
                self.bulk_hold.recovered(origin.address);
            }
        }
        if let Some(index) = connection.member_index.take() {
            self.remove_member(index);
        } else if in_bursts {
            self.burst_members -= 1;
        }
    }

    fn remove_member(&mut self, index: u32) {
        self.members.swap_remove(index as usize);
        if let Some(&moved) = self.members.get(index as usize)
            && let Some(connection) = self.connections.get_mut(moved as usize)
        {
            connection.member_index = Some(index);
        }
    }

    /// A burst client that has moved to lines hears lines from here on.
    pub(super) fn follow_framing(&mut self, client: ClientId) {
        let place = self.members.len() as u32;
        let Some(connection) = self.connections.get_mut(client.slot as usize) else { return };
        let format = connection.format();
        let Some(outbox) = connection.outbox_mut() else { return };
        let was_member_in_bursts = outbox.is_member_in(Format::Bursts);
        outbox.change_format(format, &self.broadcasts);
        if was_member_in_bursts && format == Format::Lines {
            self.burst_members -= 1;
            connection.member_index = Some(place);
            self.members.push(client.slot);
        }
    }

    /// The outbox of `client`, made if it has none.
    fn outbox(&mut self, client: ClientId) -> Option<&mut Outbox> {
        let connection = self.connections.get_mut(client.slot as usize)?;
        if connection.id(client.slot) != client {
            return None;
        }
        if connection.outbox().is_none() {
            let mut outbox = match connection.member_index {
                Some(_) => Outbox::of_member(0),
                None => Outbox::of_stranger(connection.format()),
            };
            outbox.index = self.with_outbox.len();
            self.with_outbox.push(client.slot);
            connection.set_outbox(outbox);
        }
        connection.outbox_mut()
    }

    pub(super) fn drop_outbox(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client.slot as usize) else { return };
        let Some(outbox) = connection.take_outbox() else { return };
        if outbox.over_soft_since.is_some() {
            self.bulk_hold.recovered(connection.origin().address);
        }
        self.queued_bytes -= outbox.accounted_bytes;
        self.with_outbox.swap_remove(outbox.index);
        if let Some(&moved) = self.with_outbox.get(outbox.index)
            && let Some(connection) = self.connections.get_mut(moved as usize)
            && let Some(of_moved) = connection.outbox_mut()
        {
            of_moved.index = outbox.index;
        }
    }

    /// Writes what is due: the broadcasts to everyone, or what somebody has of its own.
    pub(super) fn flush(&mut self, now: Instant) {
        let due = self.broadcasts.are_due(now);
        self.broadcasts.forget_replies();
        if !due {
            for client in std::mem::take(&mut self.dirty) {
                self.flush_one(client, false, now);
            }
            self.bound_queues(now);
            return;
        }
        let dirty = std::mem::take(&mut self.dirty);
        self.fan_out(now);
        let [lines, bursts] =
            [Format::Lines, Format::Bursts].map(|f| self.broadcasts.bytes(f).len());
        self.recent_broadcasts.note(lines.max(bursts), now);
        // Backwards: whoever is done loses its outbox, and the last takes its place.
        for index in (0..self.with_outbox.len()).rev() {
            let Some(connection) = self.connections.get_mut(self.with_outbox[index] as usize)
            else {
                continue;
            };
            let client = connection.id(self.with_outbox[index]);
            if let Some(outbox) = connection.outbox_mut() {
                outbox.catch_up(&self.broadcasts);
            }
            self.flush_one(client, true, now);
        }
        // Whoever has nothing of its own may still be closing.
        for client in dirty {
            if self.get(client).is_some_and(|connection| connection.outbox().is_none()) {
                self.flush_one(client, true, now);
            }
        }
        for &slot in &self.with_outbox {
            let connection = self.connections.get_mut(slot as usize);
            if let Some(outbox) = connection.and_then(|connection| connection.outbox_mut()) {
                outbox.settle(&mut self.broadcasts);
            }
        }
        self.broadcasts.clear();
        self.bound_queues(now);
    }

    /// One write of the same bytes to every member that misses nothing else.
    fn fan_out(&mut self, now: Instant) {
        let bytes = self.broadcasts.bytes(Format::Lines);
        if bytes.is_empty() {
            return;
        }
        let mut behind = Vec::new();
        let mut lost = Vec::new();
        for &slot in &self.members {
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            if connection.outbox().is_some() {
                continue;
            }
            match connection.write_all_at_once(bytes) {
                Ok(written) if written == bytes.len() => {}
                Ok(written) => behind.push((connection.id(slot), written)),
                Err(_) => lost.push(connection.id(slot)),
            }
        }
        for (client, written) in behind {
            if let Some(outbox) = self.outbox(client) {
                outbox.has_heard(written, now);
            }
        }
        for client in lost {
            self.lose(client, "a write failed", now);
        }
    }

    /// Writes what `client` has of its own, as far as it goes. `caught_up`: that includes
    /// all of the broadcasts at hand, which are cleared afterwards.
    fn flush_one(&mut self, client: ClientId, caught_up: bool, now: Instant) {
        let Some(connection) = self.connections.get_mut(client.slot as usize) else { return };
        if connection.id(client.slot) != client || connection.phase() == Phase::Finished {
            return;
        }
        match connection.flush(&self.broadcasts, now) {
            Ok(Flushed::Drained) => self.drained(client, caught_up, now),
            Ok(Flushed::Blocked) => self.account(client, now),
            Ok(Flushed::Quiet(until)) => {
                self.set_timer(until, client, Timer::Quiet);
                self.account(client, now);
            }
            Err(_) => self.lose(client, "a write failed", now),
        }
    }

    /// `client` has nothing of its own left.
    fn drained(&mut self, client: ClientId, caught_up: bool, now: Instant) {
        self.account(client, now);
        let Some(connection) = self.connections.get_mut(client.slot as usize) else { return };
        if let Some(outbox) = connection.outbox()
            && outbox.can_be_dropped(caught_up)
        {
            self.drop_outbox(client);
        }
        let Some(connection) = self.connections.get_mut(client.slot as usize) else { return };
        if connection.phase() != Phase::Closing {
            return;
        }
        match connection.begin_lingering(now) {
            Some(until) => {
                self.set_ending(until, client);
                self.enqueue(client);
            }
            None => self.finished.push(client),
        }
    }

    /// Brings the count of queued bytes up to date, and sees whether `client` lags.
    fn account(&mut self, client: ClientId, now: Instant) {
        let (soft, hard) = (self.settings.queue_soft_bytes, self.settings.queue_hard_bytes);
        let Some(connection) = self.connections.get_mut(client.slot as usize) else { return };
        let address = connection.origin().address;
        let open = connection.phase() == Phase::Open;
        let Some(outbox) = connection.outbox_mut() else { return };
        let queued_bytes = outbox.queued_bytes();
        self.queued_bytes = self.queued_bytes + queued_bytes - outbox.accounted_bytes;
        outbox.accounted_bytes = queued_bytes;
        let over_soft = queued_bytes > soft && open;
        let may_be_heard = queued_bytes <= soft;
        match (outbox.over_soft_since, over_soft) {
            (None, true) => {
                outbox.over_soft_since = Some(now);
                self.bulk_hold.over_soft(address, now);
                self.set_timer(now + limits::STALL_NO_PROGRESS, client, Timer::Stall);
            }
            (Some(_), false) => {
                outbox.over_soft_since = None;
                self.bulk_hold.recovered(address);
            }
            _ => {}
        }
        if queued_bytes > hard && open {
            self.expel(client, "it left too much unread", now);
        }
        if may_be_heard
            && let Some(connection) = self.get(client)
            && std::mem::take(&mut connection.must_read_first)
        {
            self.hear_again(client);
        }
    }

    /// Closes `client` if it has been over its soft limit for too long.
    pub(super) fn look_for_stall(&mut self, client: ClientId, now: Instant) {
        let Some(connection) = self.get(client) else { return };
        let Some(outbox) = connection.outbox() else { return };
        let Some(since) = outbox.over_soft_since else { return };
        let progress_at = outbox.progress_at.map_or(since, |at| at.max(since));
        let no_progress = progress_at + limits::STALL_NO_PROGRESS;
        let over_soft = since + limits::STALL_OVER_SOFT;
        if no_progress <= now {
            self.expel(client, "stalled: it read nothing", now);
        } else if over_soft <= now {
            self.expel(client, "stalled: it read too slowly", now);
        } else {
            self.set_timer(no_progress.min(over_soft), client, Timer::Stall);
        }
    }

    /// Keeps the bytes queued for all within their limit: the worst goes first.
    fn bound_queues(&mut self, now: Instant) {
        let mut excess = self.queued_bytes.saturating_sub(self.settings.queue_total_bytes);
        if excess == 0 {
            return;
        }
        let accounted = |&slot: &u32| {
            let connection = self.connections.get(slot as usize)?;
            Some((connection.outbox()?.accounted_bytes, connection.id(slot)))
        };
        let mut worst: Vec<_> = self.with_outbox.iter().filter_map(accounted).collect();
        worst.sort_unstable_by(|a, b| b.cmp(a));
        for (bytes, client) in worst {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            self.expel(client, "it left the most unread of all, and there is no more memory", now);
        }
    }
}
