//! What the operator asks for, carried out.
//!
//! Knows the room, connections and how to put an answer. Knows no thread and no socket of
//! the operator's.

use std::time::Instant;

use super::connection::Transport;
use super::turn::Server;
use crate::operator::Answer;
use crate::operator::command::{HELP, OperatorCommand};

impl<S: Transport> Server<S> {
    /// Does what the operator asks.
    pub fn operate(&mut self, command: &OperatorCommand, now: Instant) -> Answer {
        match command {
            OperatorCommand::Help => Answer::done(HELP),
            OperatorCommand::ShutDown(None) => {
                self.shut_down(now);
                Answer::done("the room is closing")
            }
            _ => Answer::refused("not known here"),
        }
    }
}
