//! What was said and whom the operator has shut out, as rows beside the accounts.
//!
//! Knows SQL and what a sanction's target is compared by. Knows no account, no thread and
//! no clock. Rows may be of a foreign hand: what cannot be read is left out.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::{Row, TransactionBehavior, params};

use super::records::{
    HistoryLimits, Kept, Said, Sanction, SanctionChange, SanctionKind, SanctionTarget, UnixSeconds,
};
use super::store::Store;
use crate::limits;
use crate::protocol::text::{self, NameKeys};

/// Beyond it a number is a foreign hand's: nobody says so much, and there must be higher
/// ones.
const NUMBER_MAX: i64 = i64::MAX / 2;

/// What was found to be kept, and what not.
#[derive(Default)]
pub(super) struct Recovered {
    pub(super) kept: Kept,
    /// The numbers of messages that cannot be read, among those kept.
    unreadable: Vec<i64>,
    /// How many rows cannot be read.
    pub(super) left_out: usize,
}

impl Store {
    /// Adds what was said, and forgets what is below `forget_before`, in one commit. Waits
    /// for another process no longer than `limits::RECORDS_WAIT`: log-ins wait meanwhile.
    ///
    /// # Errors
    /// What SQLite says; nothing is changed then.
    pub(super) fn write_history(
        &mut self,
        said: &[Arc<Said>],
        forget_before: i64,
    ) -> rusqlite::Result<()> {
        self.connection.busy_timeout(limits::RECORDS_WAIT)?;
        let written = self.write_history_at_once(said, forget_before);
        self.connection.busy_timeout(limits::DATABASE_BUSY_WAIT)?;
        written
    }

    fn write_history_at_once(
        &mut self,
        said: &[Arc<Said>],
        forget_before: i64,
    ) -> rusqlite::Result<()> {
        self.catch_up()?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // A number that a foreign hand has used must not stand in the way.
        let sql = "INSERT OR REPLACE INTO history (number, at, name, text) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = transaction.prepare(sql)?;
        for said in said.iter().filter(|said| said.number >= forget_before) {
            insert.execute(params![said.number, said.at, said.name, said.text])?;
        }
        drop(insert);
        transaction.execute("DELETE FROM history WHERE number < ?1", [forget_before])?;
        transaction.commit()
    }

    /// Imposes or lifts a sanction. It is on disk when this returns `Ok`.
    ///
    /// # Errors
    /// What SQLite says; nothing is changed then.
    pub(super) fn change_sanction(&mut self, change: &SanctionChange) -> rusqlite::Result<()> {
        self.catch_up()?;
        match change {
            SanctionChange::Impose(Sanction { kind, target, until }) => {
                let (target_kind, key, shown) = columns(target);
                self.connection.execute(
                    "INSERT OR REPLACE INTO sanction (kind, target_kind, target_key, target, until)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![word(*kind), target_kind, key, shown, until],
                )?;
            }
            SanctionChange::Lift(kind, target) => {
                let (target_kind, key, _) = columns(target);
                self.connection.execute(
                    "DELETE FROM sanction
                     WHERE kind = ?1 AND target_kind = ?2 AND target_key = ?3",
                    params![word(*kind), target_kind, key],
                )?;
            }
        }
        Ok(())
    }

    /// The latest messages within `most`, and the sanctions that are not over at `now`.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn kept(
        &self,
        most: HistoryLimits,
        now: UnixSeconds,
    ) -> rusqlite::Result<Recovered> {
        let mut found = Recovered::default();
        if self.is_behind() {
            return Ok(found);
        }
        // What is longer than anything anybody can say is not even loaded.
        let sql = "SELECT number, at, iif(octet_length(name) <= ?1, name, NULL),
                          iif(octet_length(text) <= ?1, text, NULL)
                   FROM history ORDER BY number DESC";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([limits::FRAME_BYTES_MAX_CEILING as i64])?;
        let (history, mut bytes) = (&mut found.kept.history, 0);
        while history.len() < most.messages
            && let Some(row) = rows.next()?
        {
            let Some(said) = said(row) else {
                found.unreadable.push(row.get(0)?);
                continue;
            };
            bytes += said.name.len() + said.text.len();
            if bytes > most.bytes {
                break;
            }
            history.push(said);
        }
        history.reverse();
        let sql = "SELECT kind, target_kind, target_key, target, until FROM sanction
                   WHERE until IS NULL OR until > ?1
                   ORDER BY kind, target_kind, target_key";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([now])?;
        found.left_out = found.unreadable.len();
        while let Some(row) = rows.next()? {
            match sanction(row) {
                Some(sanction) => found.kept.sanctions.push(sanction),
                None => found.left_out += 1,
            }
        }
        Ok(found)
    }

    /// Deletes the messages that are not in `found`, and the sanctions that are over at
    /// `now`.
    ///
    /// # Errors
    /// What SQLite says; nothing is changed then.
    pub(super) fn forget_others(
        &mut self,
        found: &Recovered,
        now: UnixSeconds,
    ) -> rusqlite::Result<()> {
        self.catch_up()?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match found.kept.history.first() {
            None => transaction.execute("DELETE FROM history", [])?,
            Some(oldest) => {
                transaction.execute("DELETE FROM history WHERE number < ?1", [oldest.number])?
            }
        };
        let mut delete = transaction.prepare("DELETE FROM history WHERE number = ?1")?;
        for number in &found.unreadable {
            delete.execute([number])?;
        }
        drop(delete);
        transaction.execute("DELETE FROM sanction WHERE until <= ?1", [now])?;
        transaction.commit()
    }
}

fn said(row: &Row<'_>) -> Option<Said> {
    let number = row.get(0).ok().filter(|number| (0..=NUMBER_MAX).contains(number))?;
    let name = cleaned(row, 2).filter(|name| !name.is_empty())?;
    Some(Said { number, at: row.get(1).ok()?, name, text: cleaned(row, 3)? })
}

fn cleaned(row: &Row<'_>, column: usize) -> Option<Box<str>> {
    Some(text::clean(row.get_ref(column).ok()?.as_str().ok()?).into())
}

/// `None` also if the key is not the target's: it could not be lifted.
fn sanction(row: &Row<'_>) -> Option<Sanction> {
    let kind: String = row.get(0).ok()?;
    let kind = KINDS.into_iter().find(|&known| word(known) == kind)?;
    let shown = cleaned(row, 3)?;
    let target = match row.get_ref(1).ok()?.as_str().ok()? {
        "name" if !shown.is_empty() => SanctionTarget::Name(shown.into()),
        "address" => SanctionTarget::Address(shown.parse().ok()?),
        _ => return None,
    };
    let key: String = row.get(2).ok()?;
    let is_its_key = columns(&target).1 == key;
    is_its_key.then_some(Sanction { kind, target, until: row.get(4).ok()? })
}

const KINDS: [SanctionKind; 2] = [SanctionKind::Ban, SanctionKind::Mute];

fn word(kind: SanctionKind) -> &'static str {
    match kind {
        SanctionKind::Ban => "ban",
        SanctionKind::Mute => "mute",
    }
}

/// What sort it is, what it is compared by, and what is shown.
fn columns(target: &SanctionTarget) -> (&'static str, String, Cow<'_, str>) {
    match target {
        SanctionTarget::Name(name) => ("name", NameKeys::of(name).folded, name.into()),
        SanctionTarget::Address(address) => {
            let address = address.to_string();
            ("address", address.clone(), address.into())
        }
    }
}
