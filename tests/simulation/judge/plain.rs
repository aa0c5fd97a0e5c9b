//! The protocols without a room of names: what goes in comes out.

use crate::world::World;

pub fn relay(world: &World) {
    let passed = &world.net.borrow().passed;
    for conn in &world.conns {
        let Some(&from) = world.came_at.get(&conn.id) else { continue };
        let pipe = conn.pipe.borrow();
        let to = pipe.ended_at.unwrap_or(passed.len());
        let due: Vec<u8> = passed[from..to]
            .iter()
            .filter(|(id, _)| *id != conn.id)
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect();
        assert!(due.starts_with(&pipe.heard), "{} heard something else", conn.id);
        let whole = pipe.ended_at.is_some() && !pipe.reset && !pipe.lagged;
        assert!(!whole || pipe.heard.len() == due.len(), "{} misses something", conn.id);
    }
}

pub fn uppercase(world: &World) {
    for conn in &world.conns[1..] {
        let mut due = conn.to_say().concat();
        if !conn.kind.in_bursts() {
            due.push('\n');
        }
        let pipe = conn.pipe.borrow();
        let heard = String::from_utf8_lossy(&pipe.heard).into_owned();
        assert!(due.starts_with(&heard) || pipe.lagged, "{} heard {heard:?}", conn.id);
        let whole = conn.sent > 0 && !pipe.reset && !pipe.lagged && pipe.closed;
        let refused = conn.client.is_none() || heard.is_empty();
        assert!(!whole || refused || heard == due, "{} heard {heard:?}", conn.id);
    }
}
