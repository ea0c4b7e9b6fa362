//! Copies of a store, and a copy in its place.

use std::path::{Path, PathBuf};

use serde_json::json;
use tower_api_key::Escaped;
use tower_api_key_sqlite::SqliteStore;

use crate::arguments::Common;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn backup(common: &Common, output: Output, file: &Path) -> Result<(), Failure> {
    let url = common.store_url()?;
    let store = SqliteStore::open_read_only(url.sqlite()?)?;
    store.backup(file).await?;
    let name = file.display().to_string();
    let text = format!("the store is copied to {}\n", Escaped(&name));
    output.either(&json!({ "copied": true }), &text)
}

pub(crate) fn restore(
    common: &Common,
    output: Output,
    file: &Path,
    newer: &[PathBuf],
    present_is_lost: bool,
) -> Result<(), Failure> {
    let url = common.store_url()?;
    let path = url.sqlite()?;
    let mut restore = SqliteStore::restore(file);
    for newer in newer {
        restore = restore.also_revoked_in(newer);
    }
    if present_is_lost {
        restore = restore.danger_present_is_lost();
    }
    if let Some(actor) = common.actor()? {
        restore = restore.acting_as(actor);
    }
    let restored = restore.into(path)?;
    if !restored.present {
        output.warn(
            "the previous store was missing or could not be read: keys that were revoked since \
             the backup are live again, except those that a file of --also-revoked-in has as \
             revoked",
        );
    }
    let text = format!(
        "{} keys restored, {} of them with less authority than in the backup\n",
        restored.keys, restored.shrunk
    );
    let value = json!({
        "keys": restored.keys,
        "shrunk": restored.shrunk,
        "present": restored.present,
    });
    output.either(&value, &text)
}
