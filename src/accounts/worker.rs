//! The hash threads: a job in, a verdict out.
//!
//! Knows credentials, hashes and what to ask the database. Knows of a client only the
//! value to hand back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::Receiver;
use log::error;

use super::password::{HashError, Passwords};
use super::query::{Database, Replacement, Unavailable};
use super::store::NewAccount;
use super::{Credentials, Job, Notice, PasswordChange, Verdict};

/// Has the calling thread give way to the loop where they share a CPU: a hash takes
/// milliseconds at a stretch, and who chats must not wait for who logs in. Only Linux has a
/// priority per thread.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(crate::limits::HASH_NICENESS) {
        log::debug!("the hash threads keep their priority: {error}");
    }
}

/// Decides jobs until nobody can bring any more.
pub(super) fn run<C>(
    jobs: &Receiver<(C, Job)>,
    passwords: &Passwords,
    database: &Database,
    post: impl Fn(Notice<C>),
) {
    give_way();
    for (client, job) in jobs {
        // Nothing is shared with a job that could be left half done.
        let decided = catch_unwind(AssertUnwindSafe(|| decide(job, passwords, database)));
        let verdict = decided.unwrap_or_else(|_| {
            error!("an account job panicked; its thread goes on");
            Verdict::Failed
        });
        post(Notice::Verdict { client, verdict });
    }
}

fn decide(job: Job, passwords: &Passwords, database: &Database) -> Verdict {
    let verdict = match job {
        Job::SignUp(credentials) => sign_up(credentials, passwords, database),
        Job::LogIn(credentials) => log_in(credentials, passwords, database),
        Job::ChangePassword(change) => change_password(&change, passwords, database),
    };
    verdict.unwrap_or(Verdict::Failed)
}

fn sign_up(
    credentials: Credentials,
    passwords: &Passwords,
    database: &Database,
) -> Result<Verdict, Unavailable> {
    let password_hash = passwords.hash(&credentials.password)?;
    let Credentials { name, user_name, .. } = credentials;
    let inserted = database.insert(NewAccount { name, user_name, password_hash })?;
    Ok(inserted.map_or_else(Verdict::SignUpRefused, |()| Verdict::SignedUp))
}

/// Whatever is wrong, the work is that of a log-in that succeeds.
fn log_in(
    credentials: Credentials,
    passwords: &Passwords,
    database: &Database,
) -> Result<Verdict, Unavailable> {
    let Credentials { name, user_name, password } = credentials;
    let found = database.find(user_name)?.filter(|found| found.name == name);
    let hash = found.as_ref().map(|found| found.password_hash.as_str());
    let right = passwords.verify(&password, hash)?;
    Ok(match found {
        Some(found) if right => Verdict::LoggedIn(found.id),
        _ => Verdict::LogInRefused,
    })
}

/// What was verified must be there still when it is replaced: an account removed meanwhile
/// stays so, and of a password reset by the operator meanwhile nothing is lost.
fn change_password(
    change: &PasswordChange,
    passwords: &Passwords,
    database: &Database,
) -> Result<Verdict, Unavailable> {
    let account = change.account;
    let hash = database.password_hash(account)?;
    let right = passwords.verify(&change.current, hash.as_deref())?;
    let Some(verified) = hash.filter(|_| right) else { return Ok(Verdict::PasswordRefused) };
    let new = passwords.hash(&change.new)?;
    let replaced = database.replace_password(Replacement { account, verified, new })?;
    Ok(if replaced { Verdict::PasswordChanged } else { Verdict::PasswordRefused })
}

impl From<HashError> for Unavailable {
    fn from(error: HashError) -> Self {
        error!("an account job failed: {error}");
        Self
    }
}
