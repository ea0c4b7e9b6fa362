//! The limits of the service's ring, which the program cannot see.

use clap::Args;
use tower_api_key::KeyRingBuilder;

use crate::durations::duration;
use crate::failure::Failure;
use crate::output::Output;

/// The limits of the service's ring; the defaults are those of the library.
#[derive(Args)]
#[command(next_help_heading = "Policy of the ring")]
pub(crate) struct PolicyArguments {
    /// The longest lifetime of a key, or unlimited
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "90d",
        env = "TOWER_API_KEY_MAX_LIFETIME",
        hide_env_values = true
    )]
    pub(crate) max_lifetime: String,
    /// The longest grace period of a rotated key
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "24h",
        env = "TOWER_API_KEY_MAX_GRACE",
        hide_env_values = true
    )]
    pub(crate) max_grace: String,
    /// A scope that may be granted; can be given several times; in the variable, separate them with
    /// spaces [default: all]
    #[arg(
        long = "grantable-scope",
        value_name = "SCOPE",
        value_delimiter = ' ',
        env = "TOWER_API_KEY_GRANTABLE_SCOPES",
        hide_env_values = true
    )]
    pub(crate) grantable_scopes: Vec<String>,
    /// How many keys a subject may hold
    #[arg(
        long,
        value_name = "NUMBER",
        env = "TOWER_API_KEY_MAX_KEYS_PER_SUBJECT",
        hide_env_values = true
    )]
    pub(crate) max_keys_per_subject: Option<usize>,
}

impl PolicyArguments {
    /// Warns of options that are valid but probably not meant.
    pub(crate) fn warn(&self, output: Output) {
        output.warn_of_commas("--grantable-scope", &self.grantable_scopes);
    }

    pub(crate) fn apply(&self, builder: KeyRingBuilder) -> Result<KeyRingBuilder, Failure> {
        let mut builder = builder.max_grace(duration(&self.max_grace)?);
        builder = match self.max_lifetime.as_str() {
            "unlimited" => builder.unlimited_lifetime(),
            text => builder.max_lifetime(duration(text)?),
        };
        if !self.grantable_scopes.is_empty() {
            builder = builder.grantable_scopes(&self.grantable_scopes);
        }
        if let Some(limit) = self.max_keys_per_subject {
            builder = builder.max_keys_per_subject(limit);
        }
        Ok(builder)
    }
}
