//! Accounts for the bench, written straight into a database that chinwag has made.
//!
//! The only file that knows the columns of the accounts' table. The hashes are argon2id at
//! the cheapest setting there is: a log-in of the bench pays for the way to the account
//! thread and back, not for the hash. The binary has no option for this; a PHC string
//! states its own cost.

use std::error::Error;
use std::path::Path;

use argon2::password_hash::PasswordHasher as _;
use argon2::{Algorithm, Argon2, Params, Version};
use chinwag::protocol::text::NameKeys;
use rusqlite::{Connection, params};

use crate::dialect;

/// Adds accounts for the members `0..count` to the database at `path`, which chinwag has
/// made and no longer holds.
///
/// # Errors
/// The database has other columns than this file knows.
pub fn fill(path: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    let cheapest = Params::new(Params::MIN_M_COST, Params::MIN_T_COST, 1, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cheapest);
    let hash = argon2.hash_password(dialect::PASSWORD.as_bytes())?.to_string();
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO account
                 (user_name, user_name_folded, name, name_folded, name_skeleton, password_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for index in 0..count {
            let (name, user_name) = (dialect::name(index), dialect::user_name(index));
            let keys = NameKeys::of(&name);
            let user_name_folded = NameKeys::of(&user_name).folded;
            let row = params![user_name, user_name_folded, name, keys.folded, keys.skeleton, hash];
            insert.execute(row)?;
        }
    }
    transaction.commit()?;
    Ok(())
}
