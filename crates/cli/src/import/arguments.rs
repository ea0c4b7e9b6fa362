//! The arguments of `import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::kind::Kind;
use crate::grant::Details;
use crate::policy_arguments::PolicyArguments;

#[derive(Args)]
pub(crate) struct ImportArguments {
    /// The subject of the key: the user or program that holds it
    #[arg(long, required_unless_present = "batch")]
    pub(super) subject: Option<String>,
    #[command(flatten)]
    pub(super) details: Details,
    /// When the key was minted, such as 2024-05-06T07:08:09Z, or in Unix seconds [default: now]
    #[arg(long, value_name = "TIME")]
    pub(super) issued_at: Option<String>,
    #[command(flatten)]
    pub(super) policy: PolicyArguments,
    /// The SHA-256 of the key in hexadecimal, instead of the key on standard input
    #[arg(long, value_name = "SHA256")]
    pub(super) digest: Option<String>,
    /// Accept a key of under 128 bits, which can be guessed
    #[arg(long, conflicts_with = "digest")]
    pub(super) insecure: bool,
    #[command(flatten)]
    pub(super) batch: BatchArguments,
}

#[derive(Args)]
pub(crate) struct BatchArguments {
    #[arg(
        long,
        value_name = "FILE",
        help = "Import a key for each line of a file, - for standard input",
        long_help = "Import a key for each line of a file, - for standard input\n\nTSV, with the \
                     names of the columns in the first line, or NDJSON, with one object on each \
                     line. The columns and fields are: kind, key, id (of a sanctum token), \
                     subject, scopes, caveats, expires_at (a time, or never), issued_at, \
                     not_before, label, and metadata.NAME (in NDJSON an object metadata). \
                     --expires-at, --expires-in and --never-expires set the expiry of lines that \
                     have none.",
        conflicts_with_all = ["subject", "scopes", "caveats", "not_before", "label", "metadata", "issued_at", "digest"]
    )]
    pub(super) batch: Option<PathBuf>,
    /// The format of the file [default: by its extension: .tsv, .ndjson or .jsonl]
    #[arg(long, value_enum, requires = "batch")]
    pub(super) format: Option<Format>,
    /// The kind of the keys of lines that do not name one
    #[arg(long, value_enum, requires = "batch")]
    pub(super) kind: Option<Kind>,
    /// Show what an import would do, and change nothing
    #[arg(long, requires = "batch")]
    pub(super) dry_run: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Tsv,
    Ndjson,
}
