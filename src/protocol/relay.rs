//! `relay`: the bytes of each read go to every other connection, unchanged and in order
//! (`wire.md`, section 4).
//!
//! Knows nothing but bytes: there are no frames, no names and no notices.

use super::Event;

/// Appends the bytes themselves. Nothing is heard of who comes and goes.
pub(super) fn encode(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Passed(bytes) => out.extend_from_slice(bytes),
        Event::Joined(_) | Event::Said { .. } | Event::Left(_) | Event::Announced(_) => {}
    }
}
