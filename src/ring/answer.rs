//! The answers about unknown keys.

use std::error::Error as StdError;

use crate::lifecycle::request::Import;

/// The result of a question about an unknown key: the import, `None` if the key is not valid, or why
/// there is no answer.
pub type Answer = Result<Option<Import>, Box<dyn StdError + Send + Sync>>;
