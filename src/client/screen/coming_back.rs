//! Coming back to a server that was lost: who one is, and when to try again.
//!
//! Knows credentials, in memory that is wiped, and waits. Knows no screen.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::client::address::Server;
use crate::client::credentials::Credentials;
use crate::client::error::ClientError;
use crate::client::heard::Lines;
use crate::limits;
use crate::protocol::Refusal;

/// Who one is in the room, and where it is.
pub(in crate::client) struct Identity {
    server: Server,
    who: Mutex<Who>,
}

enum Who {
    Account {
        credentials: Credentials,
        /// The password that a change under way will make it.
        asked: Option<Zeroizing<String>>,
    },
    Nickname(String),
}

impl Identity {
    pub(in crate::client) fn account(server: Server, credentials: Credentials) -> Self {
        Self { server, who: Mutex::new(Who::Account { credentials, asked: None }) }
    }

    pub(in crate::client) fn nickname(server: Server, name: String) -> Self {
        Self { server, who: Mutex::new(Who::Nickname(name)) }
    }

    fn who(&self) -> MutexGuard<'_, Who> {
        // A panic elsewhere leaves it as good as it was.
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name others see.
    pub(super) fn name(&self) -> String {
        match &*self.who() {
            Who::Account { credentials, .. } => credentials.name.clone(),
            Who::Nickname(name) => name.clone(),
        }
    }

    /// A new password was asked for.
    pub(super) fn ask_password(&self, new: Zeroizing<String>) {
        if let Who::Account { asked, .. } = &mut *self.who() {
            *asked = Some(new);
        }
    }

    /// The server has changed the password.
    pub(super) fn confirm_password(&self) {
        if let Who::Account { credentials, asked } = &mut *self.who()
            && let Some(new) = asked.take()
        {
            credentials.password = new;
        }
    }

    /// Enters the room again, with what followed the server's answer.
    pub(super) fn enter(&self, until: Instant) -> Result<(TcpStream, Lines), ClientError> {
        // A copy, wiped too: whoever types must not wait for the server.
        let credentials = match &*self.who() {
            Who::Account { credentials, .. } => Ok(credentials.clone()),
            Who::Nickname(name) => Err(name.clone()),
        };
        match credentials {
            Ok(credentials) => crate::client::enter_until(&self.server, &credentials, until),
            Err(name) => crate::client::enter_named_until(&self.server, &name, until),
        }
    }
}

/// Whether it is not worth trying again after `error`. The own session may still be there,
/// as far as the server knows, and a server that has just started is busy: only a ban is.
pub(super) fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::LogInRefused(Some(why)) | ClientError::NicknameRefused(why) => {
            *why == Refusal::Banned.to_string()
        }
        _ => false,
    }
}

/// Whether `error`, a line heard, is what the operator lets people hear whom it throws out.
pub(super) fn is_last_word(error: &str) -> bool {
    let why = error.strip_prefix("[ERROR] ");
    why.is_some_and(|why| {
        [Refusal::Kicked, Refusal::Banned].iter().any(|refusal| why == refusal.to_string())
    })
}

/// The pauses before each attempt.
pub(super) struct Pauses {
    next: Duration,
    random: RandomState,
    count: u64,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { next: limits::RECONNECT_PAUSE_FIRST, random: RandomState::new(), count: 0 }
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(limits::RECONNECT_PAUSE_LAST);
        let mut hasher = self.random.build_hasher();
        self.count += 1;
        hasher.write_u64(self.count);
        let spread = limits::RECONNECT_JITTER_PERCENT;
        let percent = 100 - spread + hasher.finish() % (2 * spread + 1);
        pause * u32::try_from(percent).unwrap_or(100) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let mut pauses = Pauses::new();
        let mut expected = limits::RECONNECT_PAUSE_FIRST;
        for _ in 0..10 {
            let pause = pauses.next();
            assert!(pause >= expected * 3 / 4 && pause <= expected * 5 / 4, "{pause:?}");
            expected = (expected * 2).min(limits::RECONNECT_PAUSE_LAST);
        }
    }

    #[test]
    fn a_password_counts_once_the_server_says_so() {
        let server = "localhost:1".parse().expect("server");
        let identity = Identity::account(
            server,
            Credentials {
                name: "lior".to_owned(),
                user_name: "user".to_owned(),
                password: Zeroizing::new("old".to_owned()),
            },
        );
        let password = || match &*identity.who() {
            Who::Account { credentials, .. } => credentials.password.to_string(),
            Who::Nickname(_) => unreachable!("an account"),
        };
        identity.confirm_password();
        assert_eq!(password(), "old");
        identity.ask_password(Zeroizing::new("new".to_owned()));
        assert_eq!(password(), "old");
        identity.confirm_password();
        assert_eq!(password(), "new");
        assert_eq!(identity.name(), "lior");
    }
}
