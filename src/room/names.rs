//! The names in the room, each unique by two keys, and who bears them.
//!
//! Knows names and places. Keeps no name: a name costs two hashed keys, which an idle
//! speaker can afford. The hash is keyed at random; two of 100,000 names share one by
//! chance once in a billion rooms, and then a free name is refused, never a taken one given
//! away. Who is found by a name is to be asked for it again, for the same reason.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use crate::protocol::text::{self, NameKeys};

/// The names that are taken now.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Of the case-folded names, with the slot of whoever bears it.
    folded: HashMap<u64, u32>,
    skeletons: HashSet<u64>,
    hasher: RandomState,
}

impl Names {
    /// Takes `name` for `slot` if neither it nor one that looks like it is taken; says
    /// whether.
    pub(super) fn take(&mut self, name: &str, slot: u32) -> bool {
        let [folded, skeleton] = self.keys_of(name);
        if self.folded.contains_key(&folded) || self.skeletons.contains(&skeleton) {
            return false;
        }
        self.folded.insert(folded, slot);
        self.skeletons.insert(skeleton);
        true
    }

    /// Gives a taken name back.
    pub(super) fn free(&mut self, name: &str) {
        let [folded, skeleton] = self.keys_of(name);
        self.folded.remove(&folded);
        self.skeletons.remove(&skeleton);
    }

    /// The slot of whoever seems to bear `name`, letter case aside.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let folded = self.hasher.hash_one(text::fold(name));
        self.folded.get(&folded).copied()
    }

    /// How many are taken.
    pub(super) fn len(&self) -> usize {
        self.folded.len()
    }

    fn keys_of(&self, name: &str) -> [u64; 2] {
        let NameKeys { folded, skeleton } = NameKeys::of(name);
        [self.hasher.hash_one(folded), self.hasher.hash_one(skeleton)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_and_free_again() {
        let mut names = Names::default();
        assert!(names.take("lior", 7));
        assert!(!names.take("Lior", 8), "another case");
        assert!(!names.take("liоr", 8), "a lookalike: Cyrillic o");
        assert!(names.take("dana", 8));
        assert_eq!(
            (names.find("LIOR"), names.find("dana"), names.find("ana")),
            (Some(7), Some(8), None)
        );
        names.free("lior");
        assert_eq!(names.find("lior"), None);
        assert!(names.take("LIOR", 9));
        names.free("LIOR");
        names.free("dana");
        assert_eq!(names.len(), 0);
        assert!(names.skeletons.is_empty());
    }
}
