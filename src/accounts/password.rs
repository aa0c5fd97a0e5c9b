//! Password hashes: argon2id in PHC strings.
//!
//! Knows passwords, hashes and what a hash costs. Knows no account and no database, and
//! shows neither a password nor a hash to anyone: nothing here prints one.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::limits;

/// What a new hash costs. A stored hash is verified at the cost it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for HashCost {
    fn default() -> Self {
        Self {
            memory_kib: limits::HASH_MEMORY_KIB,
            passes: limits::HASH_PASSES,
            lanes: limits::HASH_LANES,
        }
    }
}

/// A hash could not be made or read. Holds no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashError(Error);

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "password hash: {}", self.0)
    }
}

impl std::error::Error for HashError {}

impl From<Error> for HashError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[cfg(test)]
type Hook = std::sync::Arc<dyn Fn(&str, HashCost) + Send + Sync>;

/// Makes and verifies hashes.
#[derive(Clone)]
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    stand_in: String,
    #[cfg(test)]
    before_hash: Hook,
}

impl Passwords {
    /// Hashes made from now on cost `cost`.
    ///
    /// # Errors
    /// A cost that argon2 does not allow; no random bytes from the system.
    pub(super) fn new(cost: HashCost) -> Result<Self, HashError> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
            .map_err(|_| Error::ParamsInvalid)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let stand_in = argon2.hash_password(b"")?.to_string();
        Ok(Self {
            argon2,
            stand_in,
            #[cfg(test)]
            before_hash: std::sync::Arc::new(|_, _| {}),
        })
    }

    /// The PHC string of `password`, with a salt of its own.
    ///
    /// # Errors
    /// No random bytes from the system, or no memory.
    pub(super) fn hash(&self, password: &str) -> Result<String, HashError> {
        self.note(password, self.argon2.params());
        Ok(self.argon2.hash_password(password.as_bytes())?.to_string())
    }

    /// Whether `password` is the one of `hash`, at the cost that `hash` states. Without a
    /// hash the answer is no, after the work of a standard one: how long the answer takes
    /// must not tell whether an account exists.
    ///
    /// # Errors
    /// A hash that cannot be read or asks for too much memory.
    pub(super) fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, HashError> {
        let parsed = PasswordHash::new(hash.unwrap_or(&self.stand_in))
            .map_err(|_| Error::EncodingInvalid)?;
        let params = Params::try_from(&parsed)?;
        if params.m_cost() > limits::HASH_MEMORY_KIB_MAX {
            return Err(Error::OutOfMemory.into());
        }
        self.note(password, &params);
        match self.argon2.verify_password(password.as_bytes(), &parsed) {
            Ok(()) => Ok(hash.is_some()),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Tests count the work, or fail it, from here.
    #[cfg(test)]
    fn note(&self, password: &str, params: &Params) {
        let cost = HashCost {
            memory_kib: params.m_cost(),
            passes: params.t_cost(),
            lanes: params.p_cost(),
        };
        (self.before_hash)(password, cost);
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn note(&self, _: &str, _: &Params) {}

    /// `hook` sees every password and cost before the work begins.
    #[cfg(test)]
    pub(super) fn before_hash(
        mut self,
        hook: impl Fn(&str, HashCost) + Send + Sync + 'static,
    ) -> Self {
        self.before_hash = std::sync::Arc::new(hook);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };

    #[test]
    fn a_hash_states_its_kind_and_cost() {
        let hash = Passwords::new(HashCost::default()).unwrap().hash("secret").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[test]
    fn a_hash_is_verified_at_its_own_cost() {
        let cheap = Passwords::new(CHEAP).unwrap();
        let hash = cheap.hash("secret").unwrap();
        assert_ne!(hash, cheap.hash("secret").unwrap(), "a salt of its own");
        let standard = Passwords::new(HashCost::default()).unwrap();
        let standard = standard.before_hash(|_, cost| assert_eq!(cost, CHEAP));
        assert_eq!(standard.verify("secret", Some(&hash)), Ok(true));
        assert_eq!(standard.verify("Secret", Some(&hash)), Ok(false));
    }

    #[test]
    fn nobody_logs_in_to_no_account() {
        let passwords = Passwords::new(CHEAP).unwrap();
        assert_eq!(passwords.verify("", None), Ok(false));
        assert_eq!(passwords.verify("secret", None), Ok(false));
    }

    #[test]
    fn hashes_of_a_foreign_hand_are_errors() {
        let passwords = Passwords::new(CHEAP).unwrap();
        assert!(passwords.verify("secret", Some("plain text")).is_err());
        let hash = passwords.hash("secret").unwrap();
        let greedy = format!("m={},", limits::HASH_MEMORY_KIB_MAX + 1);
        let greedy = hash.replace("m=8,", &greedy);
        assert_eq!(passwords.verify("secret", Some(&greedy)), Err(Error::OutOfMemory.into()));
    }
}
