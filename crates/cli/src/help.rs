//! The output of `--help`, and the explanation of a mistake in the arguments.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use crate::arguments::Arguments;
use crate::text::one_line;

const STORE: &[&str] = &["store", "json"];
const RECORDS: &[&str] = &["store", "prefix", "realm", "json"];
/// Of a command that changes keys.
const CHANGES: &[&str] = &[
    "store",
    "prefix",
    "realm",
    "pepper",
    "earlier_pepper",
    "actor",
    "json",
];
const KEYS: &[&str] = &[
    "store",
    "prefix",
    "realm",
    "pepper",
    "earlier_pepper",
    "json",
];

/// The longest line of help on a wide terminal, in characters.
const WIDEST: usize = 100;

struct Page {
    name: &'static str,
    /// The options of every command that this one uses.
    common: &'static [&'static str],
    /// Its own options that it does not use.
    idle: &'static [&'static str],
    examples: &'static str,
}

const PAGES: [Page; 22] = [
    Page {
        name: "issue",
        common: CHANGES,
        idle: &["max_grace"],
        examples: "
  KEY=$(tower-api-key issue --subject alice --scope orders:read)
  tower-api-key issue --subject alice --expires-in 365d --max-lifetime 365d",
    },
    Page {
        name: "mint",
        common: &["prefix", "realm", "pepper", "json"],
        idle: &["max_grace", "max_keys_per_subject"],
        examples: "
  tower-api-key mint --subject alice --scope read > key.txt 2>> keys.toml",
    },
    Page {
        name: "rotate",
        common: CHANGES,
        idle: &["max_keys_per_subject"],
        examples: "
  NEW=$(tower-api-key rotate 0123456789Ab --grace 12h)
  tower-api-key rotate - --now < leaked.txt",
    },
    Page {
        name: "regrant",
        common: CHANGES,
        idle: &["max_grace"],
        examples: "
  tower-api-key regrant 0123456789Ab --scope orders:read --scope orders:write",
    },
    Page {
        name: "narrow",
        common: CHANGES,
        idle: &[],
        examples: "
  tower-api-key narrow 0123456789Ab --scope orders:read
  tower-api-key narrow 0123456789Ab --caveat net=10.0.0.0/8",
    },
    Page {
        name: "describe",
        common: CHANGES,
        idle: &[],
        examples: "
  tower-api-key describe 0123456789Ab --label 'build server'
  tower-api-key describe 0123456789Ab --no-label --metadata team=blue",
    },
    Page {
        name: "revoke",
        common: CHANGES,
        idle: &[],
        examples: "
  tower-api-key revoke 0123456789Ab --reason superseded
  tower-api-key revoke - --reason key_compromise < leaked.txt
  tower-api-key revoke --subject alice",
    },
    Page {
        name: "list",
        common: RECORDS,
        idle: &[],
        examples: "
  tower-api-key list --subject alice --unrevoked",
    },
    Page {
        name: "audit",
        common: RECORDS,
        idle: &[],
        examples: "
  tower-api-key audit
  tower-api-key audit --unused-for 30d --ignore no_expiry --json",
    },
    Page {
        name: "show",
        common: KEYS,
        idle: &[],
        examples: "
  tower-api-key show 0123456789Ab
  tower-api-key show - < leaked.txt",
    },
    Page {
        name: "history",
        common: CHANGES,
        idle: &[],
        examples: "
  tower-api-key history 0123456789Ab
  tower-api-key history --subject alice --since 7d
  tower-api-key history --oldest-first --json > history.ndjson",
    },
    Page {
        name: "import",
        common: CHANGES,
        idle: &["max_grace"],
        examples: "
  tower-api-key import --subject carol --expires-in 90d < old-key.txt
  tower-api-key import --batch old-keys.tsv --expires-in 90d --dry-run",
    },
    Page {
        name: "check",
        common: KEYS,
        idle: &[],
        examples: "
  echo \"$KEY\" | tower-api-key check --require orders:read",
    },
    Page {
        name: "pattern",
        common: &["prefix", "json"],
        idle: &[],
        examples: "
  grep -rE \"$(tower-api-key pattern)\" .",
    },
    Page {
        name: "migrate",
        common: STORE,
        idle: &[],
        examples: "
  tower-api-key migrate --store sqlite:keys.db",
    },
    Page {
        name: "staleness",
        common: STORE,
        idle: &[],
        examples: "
  tower-api-key staleness
  tower-api-key staleness --set 2s",
    },
    Page {
        name: "purge",
        common: &["store", "prefix", "realm", "actor", "json"],
        idle: &[],
        examples: "
  tower-api-key purge --retention 90d",
    },
    Page {
        name: "backup",
        common: STORE,
        idle: &[],
        examples: "
  tower-api-key backup keys-of-today.db",
    },
    Page {
        name: "restore",
        common: &["store", "actor", "json"],
        idle: &[],
        examples: "
  tower-api-key restore keys-of-today.db",
    },
    Page {
        name: "copy",
        common: &["store", "realm", "actor", "json"],
        idle: &[],
        examples: "
  tower-api-key copy sqlite:copy.db
  tower-api-key copy sqlite:copy.db --realm orders",
    },
    Page {
        name: "completions",
        common: &[],
        idle: &[],
        examples: "
  tower-api-key completions bash > tower-api-key.bash",
    },
    Page {
        name: "man",
        common: &[],
        idle: &[],
        examples: "
  tower-api-key man revoke > tower-api-key-revoke.1",
    },
];

/// The program's arguments. An option that a command does not use is not in its help.
pub(crate) fn command() -> Command {
    let mut command = Arguments::command().max_term_width(WIDEST);
    command.build();
    command.mut_subcommands(|command| {
        let pages = PAGES.iter();
        match pages.clone().find(|page| page.name == command.get_name()) {
            Some(page) => of_page(command, page),
            None => command,
        }
    })
}

fn of_page(command: Command, page: &Page) -> Command {
    let heading = match page.examples.lines().count() {
        2 => "Example:",
        _ => "Examples:",
    };
    command
        .after_help(format!("{heading}{}", page.examples))
        .mut_args(|argument| {
            let id = argument.get_id().as_str();
            let is_common = CHANGES.contains(&id);
            let is_idle = page.idle.contains(&id) || (is_common && !page.common.contains(&id));
            match (page.name, argument.get_id().as_str()) {
                // It works on the whole store.
                ("copy", "realm") => argument.help("The realm to copy [default: all]"),
                _ => argument.hide(is_idle),
            }
        })
}

/// Why the arguments are invalid, in one line.
pub(crate) fn explained(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command; see tower-api-key --help".to_owned();
    }
    match several_options(error) {
        Some(line) => line,
        None => first_paragraph(error),
    }
}

/// The error for the start of several options: clap would name one of them.
fn several_options(error: &clap::Error) -> Option<String> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(typed))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    let command = command();
    let mut arguments = std::env::args().skip(1);
    let command = arguments.find_map(|name| command.find_subcommand(name))?;
    let longs = command.get_arguments().filter(|it| !it.is_hide_set());
    let longs = longs.filter_map(|it| Some(format!("--{}", it.get_long()?)));
    let meant: Vec<String> = longs
        .filter(|long| typed.len() > 2 && long.starts_with(&**typed))
        .collect();
    let (last, first) = meant.split_last().filter(|(_, first)| !first.is_empty())?;
    let typed = one_line(typed);
    Some(format!(
        "unexpected argument '{typed}' found; write {} or {last}",
        first.join(", ")
    ))
}

/// The text of clap before it shows the usage of the command.
fn first_paragraph(error: &clap::Error) -> String {
    let text = crate::redact::redact(&error.render().to_string());
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    if line.is_empty() {
        return "no command; see tower-api-key --help".to_owned();
    }
    format!("{line}; see --help")
}
