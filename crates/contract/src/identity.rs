//! Stores of one identity hold the same records, and no other store has it.

use tower_api_key::store::{KeyStore, StoreId};

use super::trial::{Trial, realm};
use super::violation::Violation;

/// The two have separate records. If a ring took them for one store, it would commit through one the
/// changes of the other.
pub(super) async fn check<S: KeyStore>(two: &[Trial<S>; 2]) -> Result<(), Violation> {
    let before = two.each_ref().map(identity);
    let [first, second] = before;
    two[0].require(
        first.is_none() || first != second,
        "two stores with different records had the same identity",
    )?;
    for (trial, before) in two.iter().zip(before) {
        let keeps_it = |when: &str| {
            let seen = format!("the identity of a store changed {when}");
            trial.require(identity(trial) == before, seen)
        };
        keeps_it("from one call to the next")?;
        trial.held(&realm("orders"), "alice").await?;
        keeps_it("with a commit")?;
    }
    Ok(())
}

/// Of the store itself: the `Arc` around it has one even if the store has none.
fn identity<S: KeyStore>(trial: &Trial<S>) -> Option<StoreId> {
    S::identity(&trial.store)
}
