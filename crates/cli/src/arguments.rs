//! What the command line understands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::EXIT_CODES;
use crate::import::ImportArguments;
pub(crate) use crate::policy::Policy;

/// Manage the API keys of a store: issue, rotate, narrow, revoke, list and check them.
///
/// The plaintext of a new key is written to standard output, once; whatever else there is to say
/// about it goes to standard error, so that KEY=$(tower-api-key issue ...) holds the key alone.
/// Keys are never read from arguments, which other users of the machine can see.
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
        help = "Where the keys are: sqlite:PATH, postgres://USER@HOST/DATABASE or file:PATH",
        value_name = "URL",
        env = "TOWER_API_KEY_STORE",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
    /// What each key of the ring starts with
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
    /// The ring's pepper: VERSION=env:NAME or VERSION=file:PATH, without a line feed at its end
    #[arg(
        long,
        global = true,
        value_name = "PEPPER",
        env = "TOWER_API_KEY_PEPPER",
        hide_env_values = true
    )]
    pub(crate) pepper: Option<String>,
    /// A pepper of older keys, written as --pepper; may be given several times, and in the variable
    /// with a ; between two
    #[arg(
        long,
        global = true,
        value_name = "PEPPER",
        value_delimiter = ';',
        env = "TOWER_API_KEY_EARLIER_PEPPERS",
        hide_env_values = true
    )]
    pub(crate) earlier_pepper: Vec<String>,
    /// Write JSON to standard output, and errors and warnings as JSON to standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Mint a key, and write it to standard output
    Issue {
        #[command(flatten)]
        grant: GrantArguments,
        #[command(flatten)]
        policy: Policy,
    },
    /// Mint a key for a keys file: its entry goes to standard error, and no store is used
    Mint {
        #[command(flatten)]
        grant: GrantArguments,
        #[command(flatten)]
        policy: Policy,
    },
    /// Replace a key by a new one that may do the same; the old one works on for a while
    Rotate {
        /// The id of the key: the 12 characters before its last _, alone or with the prefix; or - to
        /// read the key from standard input
        id: String,
        /// How long the old key works on, such as 24h or 15m
        #[arg(long, value_name = "DURATION", default_value = "24h")]
        grace: String,
        /// End the old key, and whatever else of its lineage works, at once: it has leaked
        #[arg(long, conflicts_with = "grace")]
        at_once: bool,
        #[command(flatten)]
        policy: Policy,
    },
    /// Answer a privilege change: a new key that may do something else, and the old one dead
    Regrant {
        /// The id of the key: the 12 characters before its last _, alone or with the prefix; or - to
        /// read the key from standard input
        id: String,
        #[command(flatten)]
        grant: RegrantArguments,
        #[command(flatten)]
        policy: Policy,
    },
    /// Take scopes away from a key, or restrict it by further caveats
    Narrow {
        /// The id of the key: the 12 characters before its last _, alone or with the prefix; or - to
        /// read the key from standard input
        id: String,
        /// A scope that it keeps; may be given several times [default: all]
        #[arg(
            long = "scope",
            value_name = "SCOPE",
            required_unless_present = "caveats"
        )]
        scopes: Vec<String>,
        /// A caveat that it gets, such as net=10.0.0.0/8; may be given several times
        #[arg(long = "caveat", value_name = "CAVEAT")]
        caveats: Vec<String>,
    },
    /// Revoke a key, a lineage, or all keys of a subject, for good
    Revoke {
        #[command(flatten)]
        target: Target,
        /// Why, in the words of RFC 5280
        #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
        reason: Reason,
    },
    /// List the keys of the realm
    List(Filters),
    /// Show all that is known of a key
    Show {
        /// The id of the key: the 12 characters before its last _, alone or with the prefix; or - to
        /// read the key from standard input
        id: String,
    },
    /// Bring in a key that was minted elsewhere, read from standard input, or a file of them
    ///
    /// An imported key has no default lifetime: say when it ends.
    Import {
        #[command(flatten)]
        import: ImportArguments,
    },
    /// Read a key from standard input, and say what it is and whether it is accepted
    Check {
        /// A scope that the key must have; may be given several times, for all of them
        #[arg(long = "require", value_name = "SCOPE")]
        all: Vec<String>,
        /// A scope of which the key must have one; may be given several times
        #[arg(long = "require-any", value_name = "SCOPE")]
        any: Vec<String>,
        /// Look for imported keys too, tokens of Laravel Sanctum among them
        #[arg(long, env = "TOWER_API_KEY_ACCEPT_IMPORTS", hide_env_values = true)]
        accept_imports: bool,
        /// The address of the client, for the caveat net of the key
        #[arg(long, value_name = "ADDRESS")]
        client_address: Option<std::net::IpAddr>,
        /// The SHA-256 thumbprint of the client's certificate in base64url, for the caveat cnf of the key
        #[arg(long, value_name = "THUMBPRINT")]
        client_certificate: Option<String>,
    },
    /// Write the regular expression that finds keys of the prefix, for secret scanners
    Pattern,
    /// Make the store, or bring its schema to this version
    Migrate,
    /// Remove what has been dead for long
    Purge {
        /// How long the record of a dead key is kept
        #[arg(
            long,
            value_name = "DURATION",
            default_value = "30d",
            env = "TOWER_API_KEY_RETENTION",
            hide_env_values = true
        )]
        retention: String,
    },
    /// Copy a SQLite store to a new file, while it is used
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Put a backup in the place of a SQLite store; what was revoked since stays revoked
    Restore {
        /// The backup
        file: PathBuf,
        /// Also revoke what this newer file has revoked; may be given several times
        #[arg(long, value_name = "FILE")]
        also_revoked_in: Vec<PathBuf>,
        /// Go on if the present store cannot be read: what was revoked since the backup is live
        /// again
        #[arg(long)]
        danger_present_is_lost: bool,
    },
    /// Copy the records of a store to another store, or bring that copy up to date
    ///
    /// Records of all realms are copied, or of the realm that is named, with their digests, dates,
    /// revocations and last uses. A record that the other store has is only ever given less authority. A
    /// copy of a store that is written to meanwhile is not one state of it: stop the writers, and run it
    /// again.
    Copy {
        #[arg(
            help = "The store to copy to, which migrate has made: sqlite:PATH or postgres://USER@HOST/DATABASE",
            value_name = "URL"
        )]
        target: String,
    },
    /// Write the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page of the program, or of one of its commands
    Man {
        /// Which command
        command: Option<String>,
    },
}

/// What a new key may do.
#[derive(Args)]
pub(crate) struct GrantArguments {
    /// Whose key it is
    #[arg(long)]
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) details: Details,
}

/// What the key in the place of another may do.
#[derive(Args)]
pub(crate) struct RegrantArguments {
    /// Whose key it is [default: whose the old one is]
    #[arg(long)]
    pub(crate) subject: Option<String>,
    #[command(flatten)]
    pub(crate) details: Details,
}

#[derive(Args)]
pub(crate) struct Details {
    /// A scope of the key; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// A restriction of the key, such as net=10.0.0.0/8 or cnf=x5t#S256:THUMBPRINT; may be
    /// given several times, and a request must meet every one
    #[arg(long = "caveat", value_name = "CAVEAT")]
    pub(crate) caveats: Vec<String>,
    /// How long it lives, such as 90d [default: 90 days, or what the policy allows; an import has none]
    #[arg(long, value_name = "DURATION", group = "end")]
    pub(crate) expires_in: Option<String>,
    /// When it ends, such as 2027-01-15T08:00:00Z, or in Unix seconds
    #[arg(long, value_name = "TIME", group = "end")]
    pub(crate) expires_at: Option<String>,
    /// Let it live until it is revoked; needs --max-lifetime unlimited
    #[arg(long, group = "end")]
    pub(crate) never_expires: bool,
    /// When it begins to be valid
    #[arg(long, value_name = "TIME")]
    pub(crate) not_before: Option<String>,
    /// A name for people
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// What the key carries for the application; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// The id of a key: the 12 characters before its last _, alone or with the prefix; or - to read
    /// the key from standard input
    pub(crate) id: Option<String>,
    /// Every key that came from this one, or with it from another, by rotations and regrants; - for
    /// standard input here too
    #[arg(long, value_name = "ID")]
    pub(crate) lineage: Option<String>,
    /// Every key of this subject
    #[arg(long)]
    pub(crate) subject: Option<String>,
}

/// Which keys to list; those that meet every filter.
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
    /// Only keys in this state; may be given several times, for any of them
    #[arg(long = "state", value_enum, value_name = "STATE")]
    pub(crate) states: Vec<State>,
    /// Only keys that are not over, and end within this time, such as 14d
    #[arg(long, value_name = "DURATION")]
    pub(crate) expiring_within: Option<String>,
    /// Only keys that are not over, and were not used for this time, such as 90d; never used counts
    /// from the issue
    #[arg(long, value_name = "DURATION")]
    pub(crate) unused_for: Option<String>,
    /// Only keys that have this scope
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// Only keys whose id starts with this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) id_prefix: Option<String>,
    /// The newest first, in the place of the order of the ids
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// At most this many; standard error says how to go on
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    /// Go on after this place, which the page before has named
    #[arg(long, value_name = "PLACE")]
    pub(crate) after: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is accepted; those in a grace period too
    #[value(alias = "active")]
    Live,
    /// A rotation has replaced it, and it is accepted until the end of its grace period
    InGrace,
    NotYetValid,
    Expired,
    /// Its grace period is over
    Retired,
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
