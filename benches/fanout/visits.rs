//! Others than the members come and go, and the members are told: which notices may come
//! between deliveries.
//!
//! Knows the notices of `accounts`. Knows no socket and no clock. Notices about members
//! are not allowed: no member leaves a bench.

use crate::dialect;

/// How a notice goes on after its bracket and name.
const JOINED: &[u8] = b" - connected to the server!]";
const LEFT: &[u8] = b" - disconnected from the server!]";
/// Bytes of a visitor's name, which is that of an audience.
const NAME_BYTES: usize = 6;

/// Who came and went, as one member was told.
#[derive(Debug)]
pub struct Visits {
    /// The first index that is no member's.
    pub first: usize,
    /// The member by whose account `joined` and `left` go.
    pub witness: usize,
    /// How many came.
    pub joined: u64,
    /// Who left since this was last emptied.
    pub left: Vec<usize>,
    /// How many notices all members heard.
    pub heard: u64,
}

impl Visits {
    /// Whether a line that starts with this byte is about a visitor.
    pub fn are_told(first: u8) -> bool {
        first == b'['
    }

    /// Takes in a line without its end. `None` if it is no notice about a visitor, else
    /// what stands for it in the digest of an order.
    pub fn hear(&mut self, member: usize, line: &[u8]) -> Option<u64> {
        let (name, rest) = line.get(1..)?.split_at_checked(NAME_BYTES)?;
        let joined = match rest {
            JOINED => true,
            LEFT => false,
            _ => return None,
        };
        let index = dialect::index_of(name).filter(|&index| index >= self.first)?;
        self.heard += 1;
        if member == self.witness {
            if joined {
                self.joined += 1;
            } else {
                self.left.push(index);
            }
        }
        Some(1 << 63 | (index as u64) << 1 | u64::from(joined))
    }
}
