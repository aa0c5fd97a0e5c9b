//! The names in the room, each unique by two keys.
//!
//! Knows names. Knows nothing of who bears them: whether a name is free is all that is
//! ever asked, so a name costs two hashed keys of eight bytes, which an idle speaker can
//! afford. The hash is keyed at random; two of 100,000 names share one by chance once in a
//! billion rooms, and then a free name is refused, never a taken one given away.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::protocol::text::NameKeys;

/// The names that are taken now.
#[derive(Debug, Default)]
pub(super) struct Names {
    keys: HashSet<u64>,
    hasher: RandomState,
}

impl Names {
    /// Takes `name` if neither it nor one that looks like it is taken; says whether.
    pub(super) fn take(&mut self, name: &str) -> bool {
        let keys = self.keys_of(name);
        if self.has_any(&keys) {
            return false;
        }
        self.keys.extend(keys);
        true
    }

    /// Whether `name`, or one that looks like it, is taken.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.has_any(&self.keys_of(name))
    }

    /// Gives a taken name back.
    pub(super) fn free(&mut self, name: &str) {
        for key in self.keys_of(name) {
            self.keys.remove(&key);
        }
    }

    /// Whether no name is taken.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn has_any(&self, keys: &[u64]) -> bool {
        keys.iter().any(|key| self.keys.contains(key))
    }

    fn keys_of(&self, name: &str) -> [u64; 2] {
        let NameKeys { folded, skeleton } = NameKeys::of(name);
        [self.hasher.hash_one((0_u8, folded)), self.hasher.hash_one((1_u8, skeleton))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_and_free_again() {
        let mut names = Names::default();
        assert!(names.take("lior"));
        assert!(!names.take("Lior"), "another case");
        assert!(!names.take("liоr"), "a lookalike: Cyrillic o");
        assert!(names.is_taken("LIOR") && !names.is_taken("dana"));
        assert!(names.take("dana"));
        names.free("lior");
        assert!(names.take("LIOR"));
        names.free("LIOR");
        names.free("dana");
        assert!(names.is_empty());
    }
}
