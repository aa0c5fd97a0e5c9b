//! Accounts: sign-up and log-in, on threads of their own.
//!
//! Jobs go in through a bounded queue, verdicts come out through a function that the owner
//! lends (the server posts them to its mailbox). Knows passwords, hashes and the database.
//! Knows of a connection only an opaque `client` value, which it hands back.

use zeroize::Zeroizing;

/// What someone signs up or logs in with. The password is wiped when dropped, and `Debug`
/// does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name others see.
    pub name: String,
    /// The unique name of the account.
    pub user_name: String,
    /// The password in clear.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

/// The key of an account in the database. Never used again after the account is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

/// What is to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Create an account, durably.
    SignUp(Credentials),
    /// Find the account and verify all three credentials.
    LogIn(Credentials),
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The account is on disk.
    SignedUp,
    /// The account was not created.
    SignUpRefused(SignUpRefusal),
    /// The credentials are those of this account.
    LoggedIn(AccountId),
    /// They are not, whatever the reason.
    LogInRefused,
    /// The database or the thread failed; nothing was decided. Not the client's fault, so
    /// it does not count as a wrong log-in.
    Failed,
}

/// Why an account was not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignUpRefusal {
    /// The user name belongs to another account.
    UserNameTaken,
    /// The name, or one that looks like it, belongs to another account.
    NameTaken,
    /// The database cannot be written (disk full, read-only); the operator's log has more.
    CannotStore,
}
