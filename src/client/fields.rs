//! One field at a time: the rule told, the answer checked, the question asked again.
//!
//! Knows the rules shared with the server. Knows the terminal only through `Terminal`, and
//! not what an answer is for.

use zeroize::Zeroizing;

use super::error::ClientError;
use super::terminal::Terminal;
use crate::protocol::text::{self, Field};

/// An answer, or `None` when the person leaves.
pub(super) type Answer<T> = Result<Option<T>, ClientError>;

/// The rule of a field, before it is asked for.
pub(super) fn rule(field: Field) -> String {
    let (min, max) = field.chars();
    let without = match field {
        Field::Name => "none of : [ ] ( )",
        Field::UserName | Field::Password => "no colon",
    };
    format!("A {field} has {min} to {max} characters and {without}.")
}

/// Asks for a name that is shown.
pub(super) fn ask_field(terminal: &mut Terminal, prompt: &str, field: Field) -> Answer<String> {
    loop {
        let Some(answer) = terminal.ask(prompt)? else { return Ok(None) };
        match text::check(field, &answer) {
            Ok(()) => return Ok(Some(answer)),
            Err(rule) => terminal.tell(&format!("{rule}; give another"))?,
        }
    }
}

/// Asks for the password; for a new one, twice.
pub(super) fn ask_password(terminal: &mut Terminal, new: bool) -> Answer<Zeroizing<String>> {
    let again = new.then_some("Password again:");
    ask_secret(terminal, "Password (not shown):", again)
}

/// The password and the one that is to take its place.
pub(super) fn ask_new_password(
    terminal: &mut Terminal,
) -> Answer<(Zeroizing<String>, Zeroizing<String>)> {
    let Some(old) = ask_secret(terminal, "Current password (not shown):", None)? else {
        return Ok(None);
    };
    let new = ask_secret(terminal, "New password (not shown):", Some("New password again:"))?;
    Ok(new.map(|new| (old, new)))
}

/// A password; twice, when there is a prompt for it.
fn ask_secret(
    terminal: &mut Terminal,
    prompt: &str,
    again: Option<&str>,
) -> Answer<Zeroizing<String>> {
    loop {
        let Some(password) = terminal.ask_hidden(prompt)? else { return Ok(None) };
        if let Err(rule) = text::check(Field::Password, &password) {
            terminal.tell(&format!("{rule}; give another"))?;
            continue;
        }
        let Some(again) = again else { return Ok(Some(password)) };
        let Some(again) = terminal.ask_hidden(again)? else { return Ok(None) };
        if *password == *again {
            return Ok(Some(password));
        }
        terminal.tell("the passwords differ; give them again")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_of_the_fields() {
        assert_eq!(rule(Field::Name), "A name has 1 to 32 characters and none of : [ ] ( ).");
        assert_eq!(rule(Field::Password), "A password has 5 to 128 characters and no colon.");
    }
}
