//! More records than fit on a page.

use std::sync::Arc;

use tower_api_key::KeyRecord;
use tower_api_key::replica::{Feed, Realms};
use tower_api_key::store::{Change, Write};

use super::copy::Copy;
use crate::trial::{Trial, realm, scopes};
use crate::violation::Violation;

/// More than a page has.
const KEYS: usize = 12_000;
const KEYS_PER_COMMIT: usize = 1_000;

pub(super) async fn check<S: Feed>(trial: &Trial<S>) -> Result<(), Violation> {
    let mut from_empty = Copy::at_head(trial, Realms::all()).await?;
    let mut records = Vec::with_capacity(KEYS);
    while records.len() < KEYS {
        records.extend(commit(trial, KEYS_PER_COMMIT).await?);
    }
    let mut loaded = Copy::at_head(trial, Realms::all()).await?;
    // While it is loaded: none of them is on a page that was read before, or on one that is read later.
    let changed = trial
        .edit(&records[0], |parts| parts.scopes = scopes("read"))
        .await?;
    loaded.load().await?;
    let late = commit(trial, 10).await?;
    loaded.pull().await?;
    from_empty.pull().await?;
    for copy in [&loaded, &from_empty] {
        let count = copy.len();
        trial.require(
            count == KEYS + late.len(),
            format!("a copy had {count} of {} records", KEYS + late.len()),
        )?;
        copy.shows(&changed, "after a key was changed while a copy was loaded")?;
        for record in records.iter().skip(1).chain(&late) {
            copy.shows(record, "in several pages")?;
        }
    }
    Ok(())
}

async fn commit<S: Feed>(trial: &Trial<S>, count: usize) -> Result<Vec<Arc<KeyRecord>>, Violation> {
    let many = realm("many");
    let keys = (0..count).map(|_| Arc::from(trial.key(&many, "alice")));
    let keys: Vec<Arc<KeyRecord>> = keys.collect();
    let writes = keys.iter().cloned().map(Write::new).collect();
    trial.accepts(&Change::new(writes), "new keys").await?;
    Ok(keys)
}
