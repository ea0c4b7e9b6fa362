//! The arguments that say what a new key may do.

use std::collections::BTreeMap;

use clap::Args;

use crate::failure::Failure;

/// The rights of a new key.
#[derive(Args)]
pub(crate) struct GrantArguments {
    /// The subject of the key: the user or program that holds it
    #[arg(long)]
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) details: Details,
}

/// The rights of a key that replaces another.
#[derive(Args)]
pub(crate) struct RegrantArguments {
    /// The subject of the new key [default: that of the old key]
    #[arg(long)]
    pub(crate) subject: Option<String>,
    #[command(flatten)]
    pub(crate) details: Details,
}

#[derive(Args)]
pub(crate) struct Details {
    /// A scope of the key; can be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// A caveat, such as net=10.0.0.0/8 or cnf=x5t#S256:THUMBPRINT, that every request with the key
    /// must meet; can be given several times
    #[arg(long = "caveat", value_name = "CAVEAT")]
    pub(crate) caveats: Vec<String>,
    /// The lifetime of the key, such as 90d [default: 90 days, or less if the policy limits it; an
    /// import has no default]
    #[arg(long, value_name = "DURATION", group = "end")]
    pub(crate) expires_in: Option<String>,
    /// When the key ends, such as 2027-01-15T08:00:00Z, or in Unix seconds
    #[arg(long, value_name = "TIME", group = "end")]
    pub(crate) expires_at: Option<String>,
    /// The key does not expire; needs --max-lifetime unlimited
    #[arg(long, group = "end")]
    pub(crate) never_expires: bool,
    /// When the key becomes valid [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) not_before: Option<String>,
    /// A label for people to read
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// The application's own data about the key; can be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
}

/// The names and values of `NAME=VALUE`. Of several with one name, the last counts.
pub(crate) fn entries(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let entry = |text: &String| {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage("invalid metadata; write NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(entry).collect()
}
