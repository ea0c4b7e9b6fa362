//! A position counts in its own history.

use tower_api_key::replica::{Changes, Feed, Position, Realms};

use super::copy::{Copy, changes};
use crate::trial::{Trial, failed, realm};
use crate::violation::Violation;

pub(super) async fn check<S: Feed>([trial, other]: &[Trial<S>; 2]) -> Result<(), Violation> {
    let orders = realm("orders");
    trial.held(&orders, "alice").await?;
    other.held(&orders, "alice").await?;
    let mut copy = Copy::new(trial, Realms::all()).await?;
    let elsewhere = Copy::new(other, Realms::all()).await?;
    for foreign in [
        elsewhere.position().clone(),
        Position::new(""),
        Position::new("no feed writes this"),
    ] {
        let answer = changes(trial, &Realms::all(), &foreign, None, None).await?;
        trial.require(
            matches!(answer, Changes::Lost),
            "a position of another history was answered with changes",
        )?;
        let forgotten = trial.store.forget(&foreign).await;
        forgotten.map_err(|error| failed("forget", &error))?;
    }

    // Nothing is forgotten that a reader at the same or a later position needs.
    let early = copy.position().clone();
    for _ in 0..3 {
        let at = copy.position().clone();
        let issued = trial.held(&orders, "bob").await?;
        let forgotten = trial.store.forget(&at).await;
        forgotten.map_err(|error| failed("forget", &error))?;
        copy.pull().await?;
        copy.shows(&issued, "after what is older was forgotten")?;
    }
    // One that is behind has an answer that is whole, or none.
    let mut behind = Copy::new(trial, Realms::all()).await?;
    let now = behind.sums();
    behind.go_to(early.clone());
    if let Changes::Since(batch) = changes(trial, &Realms::all(), &early, None, None).await? {
        behind.apply(batch, None)?;
        trial.require(
            behind.sums() == now,
            "changes since an early position changed a copy that was up to date",
        )?;
    }
    Ok(())
}
