//! The arguments that change the label or the metadata of a key.

use clap::Args;
use tower_api_key::{Description, Metadata};

use crate::failure::Failure;
use crate::grant::entries;

/// What to change. At least one of them is given.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct DescriptionArguments {
    /// The new label, for people to read
    #[arg(long, conflicts_with = "no_label")]
    label: Option<String>,
    /// Remove the label
    #[arg(long)]
    no_label: bool,
    /// The application's own data about the key, in place of all that it has; can be given several
    /// times
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "no_metadata")]
    metadata: Vec<String>,
    /// Remove the application's own data about the key
    #[arg(long)]
    no_metadata: bool,
}

impl DescriptionArguments {
    pub(crate) fn description(&self) -> Result<Description, Failure> {
        let mut description = Description::new();
        if let Some(label) = &self.label {
            description = description.label(label);
        }
        if self.no_label {
            description = description.no_label();
        }
        if !self.metadata.is_empty() {
            description = description.metadata(entries(&self.metadata)?);
        }
        if self.no_metadata {
            description = description.metadata(Metadata::none());
        }
        Ok(description)
    }
}
