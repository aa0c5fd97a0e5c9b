//! Arguments, logging, exit status. Everything else is in the library.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use chinwag::cli::{Cli, Command};
use chinwag::operator::admin;
use chinwag::{accounts, client, logging, server};
use clap::Parser;

/// The status of wrong usage, as clap's.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Dropped last, so that what is logged until then is written.
    let _logging = logging::start(cli.verbose, cli.quiet);
    let outcome: Result<ExitCode, Box<dyn Error>> = match cli.command {
        Command::Serve(options) => match server::serve(&options) {
            Err(error) if error.is_usage() => Ok(wrong_usage(&error)),
            outcome => outcome.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        },
        Command::Connect(options) => client::run(&options).map_err(Into::into),
        Command::Accounts(options) => {
            accounts::command::run(&options).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::Admin(options) => match admin::run(&options) {
            Err(error) if error.is_usage() => Ok(wrong_usage(&error)),
            outcome => outcome.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        },
    };
    outcome.unwrap_or_else(|error| {
        // Standard error may be closed; the status still tells.
        let _ = writeln!(std::io::stderr(), "chinwag: {error}");
        ExitCode::FAILURE
    })
}

fn wrong_usage(error: &dyn Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "chinwag: {error}");
    ExitCode::from(USAGE)
}
