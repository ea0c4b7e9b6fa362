//! From a command to what does it.

use crate::arguments::{Arguments, Command};
use crate::failure::{Exit, Failure};
use crate::history::history;
use crate::output::{Output, print};
use crate::{
    audit, backup, check, copy, help, import, keys, list, mint, records, setup, staleness,
};

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { common, command } = arguments;
    let output = Output::new(common.json);
    match &command {
        Command::Pattern => {
            let pattern = setup::dry(common.builder()?)?.scanner_pattern();
            return output.either(
                &serde_json::json!({ "pattern": pattern }),
                &format!("{pattern}\n"),
            );
        }
        Command::Completions { shell } => return completions(*shell),
        Command::Man { command } => return man(command.as_deref()),
        _ => {}
    }
    // The clients of databases need it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Store, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let common = &common;
        match command {
            Command::Issue { grant, policy } => keys::issue(common, output, &grant, &policy).await,
            Command::Mint { grant, policy } => mint::mint(common, output, &grant, &policy).await,
            Command::Rotate {
                id,
                grace,
                now,
                policy,
            } => {
                let grace = (!now).then_some(grace.as_str());
                keys::rotate(common, output, &id, grace, &policy).await
            }
            Command::Regrant { id, grant, policy } => {
                keys::regrant(common, output, &id, &grant, &policy).await
            }
            Command::Narrow {
                id,
                scopes,
                caveats,
            } => records::narrow(common, output, &id, &scopes, &caveats).await,
            Command::Describe { id, description } => {
                records::describe(common, output, &id, &description).await
            }
            Command::Revoke { target, reason } => {
                records::revoke(common, output, &target, reason).await
            }
            Command::List(filters) => list::list(common, output, &filters).await,
            Command::Audit(arguments) => audit::audit(common, output, &arguments).await,
            Command::Show { id } => records::show(common, output, &id).await,
            Command::History(arguments) => history(common, output, &arguments).await,
            Command::Import { import } => import::import(common, output, &import).await,
            Command::Check {
                all,
                any,
                accept_imports,
                client_address,
                client_certificate,
            } => {
                let facts = check::facts(client_address, client_certificate.as_deref())?;
                check::check(common, output, &all, &any, accept_imports, facts).await
            }
            Command::Migrate => records::migrate(common, output).await,
            Command::Staleness { set } => {
                staleness::staleness(common, output, set.as_deref()).await
            }
            Command::Purge { retention } => records::purge(common, output, &retention).await,
            Command::Backup { file } => backup::backup(common, output, &file).await,
            Command::Copy { target } => copy::copy(common, output, &target).await,
            Command::Restore {
                file,
                also_revoked_in,
                danger_present_is_lost,
            } => {
                let newer = &also_revoked_in;
                backup::restore(common, output, &file, newer, danger_present_is_lost)
            }
            Command::Pattern | Command::Completions { .. } | Command::Man { .. } => Ok(()),
        }
    })
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    // Into memory first: clap panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::command(), "tower-api-key", &mut script);
    print(&String::from_utf8_lossy(&script))
}

fn man(name: Option<&str>) -> Result<(), Failure> {
    let program = help::command();
    let command = match name {
        None => program,
        Some(name) => program
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Failure::usage("no such command; see tower-api-key --help"))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::new(Exit::Output, error.to_string()))?;
    print(&String::from_utf8_lossy(&page))
}
