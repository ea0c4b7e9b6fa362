//! The arguments of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::description::DescriptionArguments;
use crate::failure::EXIT_CODES;
use crate::grant::{GrantArguments, RegrantArguments};
use crate::history_arguments::HistoryArguments;
use crate::import::arguments::ImportArguments;
use crate::policy_arguments::PolicyArguments;

/// Manage the API keys of a store: issue, rotate, narrow, revoke, list and check them.
///
/// The plaintext of a new key is written to standard output, once. Its description goes to
/// standard error, so that KEY=$(tower-api-key issue ...) is only the key. Keys are never read
/// from arguments, because other users of the machine can see those.
#[derive(Parser)]
#[command(name = "tower-api-key", bin_name = "tower-api-key", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten, next_help_heading = "Store and ring")]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
pub(crate) struct Common {
    #[arg(
        long,
        global = true,
        help = "The store of the keys: sqlite:PATH, postgres://USER@HOST/DATABASE or file:PATH",
        value_name = "URL",
        env = "TOWER_API_KEY_STORE",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
    /// The prefix that starts every key of the ring
    #[arg(
        long,
        global = true,
        env = "TOWER_API_KEY_PREFIX",
        hide_env_values = true
    )]
    pub(crate) prefix: Option<String>,
    /// The realm of the keys [default: the prefix]
    #[arg(
        long,
        global = true,
        env = "TOWER_API_KEY_REALM",
        hide_env_values = true
    )]
    pub(crate) realm: Option<String>,
    /// The ring's pepper: VERSION=env:NAME or VERSION=file:PATH; a line feed at its end is removed
    #[arg(
        long,
        global = true,
        value_name = "PEPPER",
        env = "TOWER_API_KEY_PEPPER",
        hide_env_values = true
    )]
    pub(crate) pepper: Option<String>,
    /// A pepper of older keys, in the form of --pepper; can be given several times; in the variable,
    /// separate them with ;
    #[arg(
        long,
        global = true,
        value_name = "PEPPER",
        value_delimiter = ';',
        env = "TOWER_API_KEY_EARLIER_PEPPERS",
        hide_env_values = true
    )]
    pub(crate) earlier_pepper: Vec<String>,
    /// Who does it, for the events and the history of the keys [default: the user of this system]
    #[arg(
        long = "as",
        global = true,
        value_name = "ACTOR",
        env = "TOWER_API_KEY_ACTOR",
        hide_env_values = true
    )]
    pub(crate) actor: Option<String>,
    /// Write JSON to standard output, and errors and warnings as JSON to standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Issue a new key, and write it to standard output
    Issue {
        #[command(flatten)]
        grant: GrantArguments,
        #[command(flatten)]
        policy: PolicyArguments,
    },
    /// Make a key for a keys file, without a store; its entry goes to standard error
    Mint {
        #[command(flatten)]
        grant: GrantArguments,
        #[command(flatten)]
        policy: PolicyArguments,
    },
    /// Replace a key with a new one of the same authority; the old one works for a grace period
    Rotate {
        /// The id of the key, which is the 12 characters before its last _, with or without the
        /// prefix; - reads the key from standard input
        id: String,
        /// The grace period, in which the old key still works, such as 24h or 15m
        #[arg(long, value_name = "DURATION", default_value = "24h")]
        grace: String,
        /// End the old key and all others of its lineage at once, for example after a leak
        #[arg(long, conflicts_with = "grace")]
        now: bool,
        #[command(flatten)]
        policy: PolicyArguments,
    },
    /// Replace a key after its subject's privilege changed: the new key has the new rights, and the
    /// old one ends at once
    Regrant {
        /// The id of the key, which is the 12 characters before its last _, with or without the
        /// prefix; - reads the key from standard input
        id: String,
        #[command(flatten)]
        grant: RegrantArguments,
        #[command(flatten)]
        policy: PolicyArguments,
    },
    /// Take scopes away from a key, or add caveats to it
    Narrow {
        /// The id of the key, which is the 12 characters before its last _, with or without the
        /// prefix; - reads the key from standard input
        id: String,
        /// A scope that the key keeps; can be given several times [default: all]
        #[arg(
            long = "scope",
            value_name = "SCOPE",
            required_unless_present = "caveats"
        )]
        scopes: Vec<String>,
        /// A caveat to add, such as net=10.0.0.0/8; can be given several times
        #[arg(long = "caveat", value_name = "CAVEAT")]
        caveats: Vec<String>,
    },
    /// Change the label or the metadata of a key, which are no authority
    Describe {
        /// The id of the key, which is the 12 characters before its last _, with or without the
        /// prefix; - reads the key from standard input
        id: String,
        #[command(flatten)]
        description: DescriptionArguments,
    },
    /// Revoke a key, its lineage or all keys of a subject; this cannot be undone
    Revoke {
        #[command(flatten)]
        target: Target,
        /// The reason, one of those of RFC 5280
        #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
        reason: Reason,
    },
    /// List the keys of the realm
    List(Filters),
    /// Find the keys that need attention: unused ones, ones that end soon or never, and replaced ones that
    /// are still used
    ///
    /// Each finding has the command that mends it, for the same store and realm. If there is a finding,
    /// the exit code is 8. Keys that are over have none.
    Audit(AuditArguments),
    /// Show the record of a key, and when it was last used
    Show {
        /// The id of the key, which is the 12 characters before its last _, with or without the
        /// prefix; - reads the key from standard input
        id: String,
    },
    /// Show who changed which key, when and how
    ///
    /// The history outlives the records of the keys. A keys file has none. With --json, each entry is an object in a line
    /// of its own (NDJSON).
    History(HistoryArguments),
    /// Import a key that was minted elsewhere, from standard input, or a file of them
    ///
    /// An imported key has no default lifetime, so its expiry must be given.
    Import {
        #[command(flatten)]
        import: ImportArguments,
    },
    /// Read a key from standard input, and show its record and whether it is accepted
    Check {
        /// A scope that the key must have; if given several times, it must have all of them
        #[arg(long = "require", value_name = "SCOPE")]
        all: Vec<String>,
        /// A scope that the key must have; if given several times, it must have one of them
        #[arg(long = "require-any", value_name = "SCOPE")]
        any: Vec<String>,
        /// Accept imported keys too, including tokens of Laravel Sanctum
        #[arg(long, env = "TOWER_API_KEY_ACCEPT_IMPORTS", hide_env_values = true)]
        accept_imports: bool,
        /// The address of the client, to check the caveat net
        #[arg(long, value_name = "ADDRESS")]
        client_address: Option<std::net::IpAddr>,
        /// The SHA-256 thumbprint of the client's certificate in base64url, to check the caveat cnf
        #[arg(long, value_name = "THUMBPRINT")]
        client_certificate: Option<String>,
    },
    /// Print a regular expression that finds keys with the prefix, for secret scanners
    Pattern,
    /// Create the store, or update its schema to this version
    Migrate,
    /// Show or set how old the copies of the store may be that services keep in memory
    ///
    /// A service that follows the store accepts a key no later than this after its revocation. If it cannot reach the
    /// store for that long, it answers 503 to every request.
    Staleness {
        /// The new staleness, from 100ms to 10m; the services go by it from their next question on
        #[arg(long, value_name = "DURATION")]
        set: Option<String>,
    },
    /// Remove the records of keys that ended longer ago than the retention
    Purge {
        /// How long to keep the record of a key after it has ended
        #[arg(
            long,
            value_name = "DURATION",
            default_value = "30d",
            env = "TOWER_API_KEY_RETENTION",
            hide_env_values = true
        )]
        retention: String,
    },
    /// Copy a SQLite store to a new file while it is in use
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Replace a SQLite store with a backup; keys that were revoked since stay revoked
    Restore {
        /// The backup
        file: PathBuf,
        /// Also revoke the keys that are revoked in this newer file; can be given several times
        #[arg(long, value_name = "FILE")]
        also_revoked_in: Vec<PathBuf>,
        /// Restore even if the present store cannot be read: keys that were revoked since the backup
        /// become live again
        #[arg(long)]
        danger_present_is_lost: bool,
    },
    /// Copy the records of a store to another store, or bring that copy up to date
    ///
    /// Records of all realms are copied, or of the realm that is named, with their digests, dates,
    /// revocations and last uses. A record that the other store has already can only lose authority. If
    /// the store is written to meanwhile, the copy may mix older and newer records: stop the writers, and
    /// run the command again.
    Copy {
        #[arg(
            help = "The store to copy to, created by migrate: sqlite:PATH or \
                    postgres://USER@HOST/DATABASE",
            value_name = "URL"
        )]
        target: String,
    },
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program or of a command
    Man {
        /// The command
        command: Option<String>,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// The id of a key, which is the 12 characters before its last _, with or without the prefix; -
    /// reads the key from standard input
    pub(crate) id: Option<String>,
    /// Every key of this key's lineage: the keys that it replaced, and those that replaced it; -
    /// reads the key from standard input
    #[arg(long, value_name = "ID")]
    pub(crate) lineage: Option<String>,
    /// Every key of this subject
    #[arg(long)]
    pub(crate) subject: Option<String>,
}

/// The filters of a list. A key is listed if it meets every one.
#[derive(Args)]
pub(crate) struct Filters {
    /// Only the keys of this subject
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Only the keys of this lineage
    #[arg(long, value_name = "ID")]
    pub(crate) lineage: Option<String>,
    /// Only keys that are not revoked
    #[arg(long)]
    pub(crate) unrevoked: bool,
    /// Only keys in this state; if given several times, in one of them
    #[arg(long = "state", value_enum, value_name = "STATE")]
    pub(crate) states: Vec<State>,
    /// Only keys that have not ended, and will end within this time, such as 14d
    #[arg(long, value_name = "DURATION")]
    pub(crate) expiring_within: Option<String>,
    /// Only keys that have not ended, and were not used for this time, such as 90d; for a key that was
    /// never used, the time since its issue counts
    #[arg(long, value_name = "DURATION")]
    pub(crate) unused_for: Option<String>,
    /// Only keys that have this scope
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// Only keys whose id starts with this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) id_prefix: Option<String>,
    /// List the newest keys first, instead of by id
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// List at most this many keys; standard error shows how to continue
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    /// Continue after this place, which the previous page named
    #[arg(long, value_name = "PLACE")]
    pub(crate) after: Option<String>,
}

/// What counts as a finding. The defaults are those of the library.
#[derive(Args)]
pub(crate) struct AuditArguments {
    /// A key is unused if its last use is at least this long ago
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    pub(crate) unused_for: String,
    /// A key is never used if it is valid for at least this long, and no use of it is known
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    pub(crate) never_used_for: String,
    /// A key is expiring if it ends within this time, and was not replaced
    #[arg(long, value_name = "DURATION", default_value = "14d")]
    pub(crate) expiring_within: String,
    /// A scope is never exercised if no request needed it, and the tracked uses of the key span at least this
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    pub(crate) never_exercised_for: String,
    /// A network is new if the key was first used from there within this time, and from others before
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    pub(crate) new_network_within: String,
    /// Leave out the findings of this kind; can be given several times
    #[arg(long = "ignore", value_enum, value_name = "KIND")]
    pub(crate) ignored: Vec<Ignored>,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Ignored {
    NeverUsed,
    Unused,
    NoExpiry,
    Expiring,
    UsedAfterReplacement,
    ScopesNeverExercised,
    NewNetwork,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum State {
    /// Accepted, including keys in a grace period
    #[value(alias = "active")]
    Live,
    /// Replaced by a rotation, and still accepted until the grace period ends
    InGrace,
    NotYetValid,
    Expired,
    /// Replaced by a rotation, and its grace period has ended
    Replaced,
    Revoked,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Reason {
    Unspecified,
    KeyCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    PrivilegeWithdrawn,
}
