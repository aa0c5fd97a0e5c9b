//! How another thread wakes the loop: a bounded channel and the one waker of the poll.
//!
//! Knows what the other threads have to say. Knows nothing of what comes of it. A thread
//! that posts too much waits; the loop never does.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryIter, sync_channel};

use mio::{Poll, Token, Waker};

use crate::accounts::Notice;
use crate::limits;
use crate::operator::Errand;
use crate::room::ClientId;

/// What the other threads have to say.
#[derive(Debug)]
pub enum Mail {
    /// From the accounts.
    Accounts(Notice<ClientId>),
    /// From the operator: do this, and answer.
    Operator(Errand),
    /// From the system: end the server.
    ShutDown,
}

/// The loop's end.
#[derive(Debug)]
pub struct Mailbox {
    mail: Receiver<Mail>,
}

/// The other threads' end.
#[derive(Debug, Clone)]
pub struct Postbox {
    mail: SyncSender<Mail>,
    waker: Arc<Waker>,
}

/// Makes a mailbox that wakes `poll` with `token`.
///
/// # Errors
/// The system has no more descriptors.
pub fn mailbox(poll: &Poll, token: Token) -> io::Result<(Mailbox, Postbox)> {
    let waker = Arc::new(Waker::new(poll.registry(), token)?);
    let (sender, mail) = sync_channel(limits::MAILBOX_MAX);
    Ok((Mailbox { mail }, Postbox { mail: sender, waker }))
}

impl Mailbox {
    /// The mail that is there now.
    pub fn drain(&self) -> TryIter<'_, Mail> {
        self.mail.try_iter()
    }
}

impl Postbox {
    /// Posts `mail`. Nothing comes of it when the loop has ended.
    pub fn post(&self, mail: Mail) {
        if self.mail.send(mail).is_ok() {
            // A waker that fails has lost its poll: the loop has ended.
            let _ = self.waker.wake();
        }
    }
}
