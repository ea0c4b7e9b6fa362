//! The command line: the keys of a store, managed from a shell.
//!
//! The plaintext of a new key goes to standard output, once, and nowhere else. Everything that
//! fails says so in one line on standard error, with an exit code that tells what kind it was.

mod arguments;
mod audit;
mod backup;
mod check;
mod copy;
mod describe;
mod description;
mod durations;
mod failure;
mod grant;
mod help;
mod history;
mod history_arguments;
mod import;
mod keys;
mod lineage;
mod list;
mod mint;
mod output;
mod paste;
mod policy_arguments;
mod program;
mod records;
mod redact;
mod setup;
mod snapshot;
mod staleness;
mod store_url;
mod table;
mod text;
mod usage;

use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;

use self::arguments::Arguments;
use self::failure::{Exit, Failure};
use self::output::{Output, print};

fn main() -> ExitCode {
    let mut output = Output::new(std::env::args_os().any(|argument| argument == "--json"));
    let parsed = help::command()
        .try_get_matches()
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let ended = match parsed {
        Ok(arguments) => {
            output = Output::new(arguments.common.json);
            program::run(arguments)
        }
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            print(&error.render().to_string())
        }
        Err(error) => Err(Failure::usage(help::explained(&error))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.fail(&failure);
            failure.exit().into()
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
