//! Whom the operator has banned or muted.
//!
//! Knows names, addresses and moments of the wall clock: a ban for a week outlives the
//! server, so nothing else could tell when it is over. Knows no connection. A name that is
//! taken for a banned one is banned, too.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::accounts::records::{
    Sanction, SanctionChange, SanctionKind, SanctionTarget, UnixSeconds,
};
use crate::limits;
use crate::protocol::text::{self, NameKeys};

/// The sanctions in force, and some that are over.
#[derive(Debug, Default)]
pub(super) struct Sanctions {
    bans: Targets,
    mutes: Targets,
}

#[derive(Debug, Default)]
struct Targets {
    /// By the case-folded name.
    names: HashMap<String, Named>,
    addresses: HashMap<IpAddr, Option<UnixSeconds>>,
}

#[derive(Debug)]
struct Named {
    name: String,
    skeleton: String,
    until: Option<UnixSeconds>,
}

impl Sanctions {
    fn of(&self, kind: SanctionKind) -> &Targets {
        match kind {
            SanctionKind::Ban => &self.bans,
            SanctionKind::Mute => &self.mutes,
        }
    }

    fn of_mut(&mut self, kind: SanctionKind) -> &mut Targets {
        match kind {
            SanctionKind::Ban => &mut self.bans,
            SanctionKind::Mute => &mut self.mutes,
        }
    }

    /// Imposes or lifts one. Says whether anything was there to be lifted, or room for one
    /// more.
    pub(super) fn change(&mut self, change: &SanctionChange, now: UnixSeconds) -> bool {
        match change {
            SanctionChange::Impose(Sanction { kind, target, until }) => {
                if self.bans.len() + self.mutes.len() >= limits::SANCTIONS_MAX {
                    self.bans.forget(now);
                    self.mutes.forget(now);
                }
                if self.bans.len() + self.mutes.len() >= limits::SANCTIONS_MAX {
                    return false;
                }
                self.of_mut(*kind).impose(target, *until);
                true
            }
            SanctionChange::Lift(kind, target) => self.of_mut(*kind).lift(target),
        }
    }

    /// Until when `name`, or one that it is taken for, is under this sanction. The outer
    /// `None`: it is not.
    pub(super) fn of_name(
        &self,
        kind: SanctionKind,
        name: &str,
        now: UnixSeconds,
    ) -> Option<Option<UnixSeconds>> {
        let Targets { names, .. } = self.of(kind);
        // Nearly always, and then a message costs nothing.
        if names.is_empty() {
            return None;
        }
        let NameKeys { folded, skeleton } = NameKeys::of(name);
        let in_force = |named: &&Named| is_on(named.until, now);
        let like = || names.values().filter(in_force).find(|named| named.skeleton == skeleton);
        names.get(&folded).filter(in_force).or_else(like).map(|named| named.until)
    }

    /// Whether `address` is banned.
    pub(super) fn bans_address(&self, address: IpAddr, now: UnixSeconds) -> bool {
        self.bans.addresses.get(&address).is_some_and(|&until| is_on(until, now))
    }

    /// Whether exactly this is in force.
    pub(super) fn has(
        &self,
        kind: SanctionKind,
        target: &SanctionTarget,
        now: UnixSeconds,
    ) -> bool {
        let until = match target {
            SanctionTarget::Name(name) => {
                self.of(kind).names.get(&text::fold(name)).map(|named| named.until)
            }
            SanctionTarget::Address(address) => self.of(kind).addresses.get(address).copied(),
        };
        until.is_some_and(|until| is_on(until, now))
    }

    /// All that are in force, in an order that stays.
    pub(super) fn list(&self, now: UnixSeconds) -> Vec<Sanction> {
        let of = |kind| self.of(kind).list(kind, now);
        let mut all = of(SanctionKind::Ban);
        all.extend(of(SanctionKind::Mute));
        all
    }
}

impl Targets {
    fn len(&self) -> usize {
        self.names.len() + self.addresses.len()
    }

    fn impose(&mut self, target: &SanctionTarget, until: Option<UnixSeconds>) {
        match target {
            SanctionTarget::Name(name) => {
                let NameKeys { folded, skeleton } = NameKeys::of(name);
                self.names.insert(folded, Named { name: name.clone(), skeleton, until });
            }
            SanctionTarget::Address(address) => {
                self.addresses.insert(*address, until);
            }
        }
    }

    fn lift(&mut self, target: &SanctionTarget) -> bool {
        match target {
            SanctionTarget::Name(name) => self.names.remove(&text::fold(name)).is_some(),
            SanctionTarget::Address(address) => self.addresses.remove(address).is_some(),
        }
    }

    fn list(&self, kind: SanctionKind, now: UnixSeconds) -> Vec<Sanction> {
        let names = self.names.values();
        let names = names.map(|named| (SanctionTarget::Name(named.name.clone()), named.until));
        let addresses = self.addresses.iter();
        let addresses =
            addresses.map(|(&address, &until)| (SanctionTarget::Address(address), until));
        let mut all: Vec<_> =
            names.chain(addresses).filter(|(_, until)| is_on(*until, now)).collect();
        all.sort();
        all.into_iter().map(|(target, until)| Sanction { kind, target, until }).collect()
    }

    fn forget(&mut self, now: UnixSeconds) {
        self.names.retain(|_, named| is_on(named.until, now));
        self.addresses.retain(|_, until| is_on(*until, now));
    }
}

fn is_on(until: Option<UnixSeconds>, now: UnixSeconds) -> bool {
    until.is_none_or(|until| until > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = 1_000;

    fn impose(kind: SanctionKind, target: SanctionTarget, until: Option<i64>) -> SanctionChange {
        SanctionChange::Impose(Sanction { kind, target, until })
    }

    fn name(name: &str) -> SanctionTarget {
        SanctionTarget::Name(name.into())
    }

    #[test]
    fn a_banned_name_is_banned_however_it_is_written() {
        let mut sanctions = Sanctions::default();
        assert!(sanctions.change(&impose(SanctionKind::Ban, name("Lior"), None), NOW));
        for banned in ["Lior", "lior", "liоr"] {
            assert!(sanctions.of_name(SanctionKind::Ban, banned, NOW).is_some(), "{banned}");
        }
        assert!(sanctions.of_name(SanctionKind::Ban, "dana", NOW).is_none());
        assert!(sanctions.of_name(SanctionKind::Mute, "lior", NOW).is_none(), "another kind");
        assert!(sanctions.change(&SanctionChange::Lift(SanctionKind::Ban, name("LIOR")), NOW));
        assert!(!sanctions.change(&SanctionChange::Lift(SanctionKind::Ban, name("lior")), NOW));
        assert!(sanctions.of_name(SanctionKind::Ban, "Lior", NOW).is_none());
    }

    #[test]
    fn a_sanction_ends_in_time_and_is_replaced_by_a_later_one() {
        let mut sanctions = Sanctions::default();
        let address = SanctionTarget::Address(IpAddr::from([10, 0, 0, 1]));
        sanctions.change(&impose(SanctionKind::Ban, address.clone(), Some(NOW + 10)), NOW);
        sanctions.change(&impose(SanctionKind::Mute, name("ana"), Some(NOW + 10)), NOW);
        assert!(sanctions.bans_address(IpAddr::from([10, 0, 0, 1]), NOW + 9));
        assert!(!sanctions.bans_address(IpAddr::from([10, 0, 0, 1]), NOW + 10));
        assert_eq!(sanctions.of_name(SanctionKind::Mute, "Ana", NOW), Some(Some(NOW + 10)));
        sanctions.change(&impose(SanctionKind::Mute, name("Ana"), None), NOW);
        assert_eq!(sanctions.of_name(SanctionKind::Mute, "ana", NOW + 99), Some(None));
        assert_eq!(sanctions.list(NOW).len(), 2);
        assert_eq!(sanctions.list(NOW + 10).len(), 1);
        assert!(sanctions.has(SanctionKind::Ban, &address, NOW));
        assert!(!sanctions.has(SanctionKind::Ban, &address, NOW + 10));
    }

    #[test]
    fn there_is_a_bound_and_what_is_over_makes_room() {
        let mut sanctions = Sanctions::default();
        for n in 0..limits::SANCTIONS_MAX {
            let until = (n == 0).then_some(NOW + 1);
            assert!(
                sanctions.change(&impose(SanctionKind::Ban, name(&format!("n{n}")), until), NOW)
            );
        }
        assert!(!sanctions.change(&impose(SanctionKind::Ban, name("more"), None), NOW));
        assert!(sanctions.change(&impose(SanctionKind::Ban, name("more"), None), NOW + 1));
    }
}
