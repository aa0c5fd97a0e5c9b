//! The operator's standard input, read by a thread of its own.
//!
//! Knows lines, the operator's language and the mailbox. Knows no room. The end of input is
//! not the end of the server: it may have been started without any.

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::thread;

use super::mailbox::{Mail, Postbox};
use crate::operator::command::CommandError;
use crate::operator::line::{self, Line};
use crate::operator::{self, Errand, OperatorCommand};

/// Said whenever somebody may be at a loss.
const HOW_TO_END: &str = "Type shutdown to end the server.";

/// Starts to listen.
///
/// # Errors
/// The system has no more threads.
pub fn start(postbox: Postbox) -> io::Result<()> {
    if terminal_is_anothers() {
        log::info!("started in the background: shutdown is not heard here, signals are");
        return Ok(());
    }
    let post = move |errand| postbox.post(Mail::Operator(errand));
    thread::Builder::new()
        .name("console".into())
        .spawn(move || listen(io::stdin().lock(), io::stdout(), post))?;
    Ok(())
}

/// Whether standard input is a terminal that another job has. Reading from it would stop
/// the whole process, and the room with it.
fn terminal_is_anothers() -> bool {
    let input = io::stdin();
    let owner = rustix::termios::tcgetpgrp(&input);
    input.is_terminal() && owner.is_ok_and(|owner| owner != rustix::process::getpgrp())
}

fn listen(mut input: impl BufRead, mut output: impl Write, post: impl Fn(Errand)) {
    loop {
        let text = match line::read(&mut input) {
            Ok(Line::End) | Err(_) => return,
            // Whoever typed it has gone, and meant it.
            Ok(Line::Whole(line) | Line::Unfinished(line)) if line.trim().is_empty() => continue,
            Ok(Line::Whole(line) | Line::Unfinished(line)) => match carry_out(&line, &post) {
                Some(text) => text,
                None => return,
            },
            Ok(Line::TooLong) => {
                // Its rest is no command of its own.
                if input.skip_until(b'\n').is_err() {
                    return;
                }
                refusal(&line::too_long())
            }
            Ok(Line::NotText) => refusal(line::NOT_TEXT),
        };
        // Whoever reads standard output may have gone; what is typed counts all the same.
        let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    }
}

/// What came of `line`, to be printed: nothing, when the loop has ended.
fn carry_out(line: &str, post: &impl Fn(Errand)) -> Option<String> {
    let command = match OperatorCommand::parse(line) {
        Ok(command) => command,
        Err(CommandError::Unknown) => {
            return Some(refusal(&CommandError::Unknown.to_string()) + HOW_TO_END + "\n");
        }
        Err(error) => return Some(refusal(&error.to_string())),
    };
    let is_help = command == OperatorCommand::Help;
    let answer = operator::ask(command, post)?;
    Some(match answer.text.as_str() {
        text if !answer.done => refusal(text),
        "" => String::new(),
        text if is_help => format!("{text}\n{HOW_TO_END}\n"),
        text => format!("{text}\n"),
    })
}

/// Refusals and answers come by the same way, and must not be taken for one another.
fn refusal(why: &str) -> String {
    format!("not done: {why}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use crate::operator::Answer;
    use crate::operator::command::HELP;

    /// What is printed when `input` is typed and the loop refuses to shut down, does the rest.
    fn printed(input: &[u8]) -> String {
        let mut output = Vec::new();
        listen(input, &mut output, |Errand { command, reply }| {
            let answer = match command {
                OperatorCommand::Help => Answer::done(HELP),
                OperatorCommand::ShutDown(_) => Answer::refused("not today"),
                OperatorCommand::Say(_) => Answer::done(""),
                command => Answer::done(format!("{command:?}")),
            };
            reply.try_send(answer).unwrap();
        });
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn answers_and_refusals_can_be_told_apart() {
        assert_eq!(printed(b"who\n"), "Who\n");
        assert_eq!(printed(b" shutdown \r\n"), "not done: not today\n");
        assert_eq!(printed(b"kick\n"), "not done: type kick NAME\n");
        assert_eq!(printed(b"say hello\n"), "");
        assert_eq!(printed(b"\n   \n\r\n"), "");
        assert_eq!(printed(b"who\nstats"), "Who\nStats\n");
    }

    #[test]
    fn who_is_at_a_loss_is_told_how() {
        assert_eq!(printed(b"help\n"), format!("{HELP}\n{HOW_TO_END}\n"));
        let text = printed(b"dance\n");
        assert!(text.starts_with("not done: no such command; type one of these:\nwho "), "{text}");
        assert!(text.ends_with(&format!("\n{HOW_TO_END}\n")), "{text}");
    }

    #[test]
    fn the_rest_of_a_long_line_is_no_command() {
        let filling = "x".repeat(limits::CONSOLE_LINE_BYTES_MAX);
        let text = printed(format!("say {filling} who\nstats\n").as_bytes());
        assert_eq!(text, "not done: a command has at most 4096 bytes\nStats\n");
        assert_eq!(printed(b"wh\xffo\nwho\n"), "not done: a command is UTF-8 text\nWho\n");
    }

    #[test]
    fn when_the_loop_has_ended_nobody_listens() {
        let mut output = Vec::new();
        listen(&b"who\nstats\n"[..], &mut output, drop);
        assert_eq!(output, b"");
    }
}
