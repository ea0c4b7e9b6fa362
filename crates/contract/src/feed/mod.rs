//! The contract of a feed.

mod completeness;
mod copy;
mod dropped_calls;
mod one_history;
mod pages;
mod sums;

use tower_api_key::replica::Feed;

use super::assert_threads;
use super::clause::Clause;
use super::trial::Trial;
use super::violation::Violation;

/// Checks a store against every clause of the contract of [`Feed`], and stops at the first that it breaks.
///
/// It is about the feed alone: [`contract`](super::contract) is for the rest. `empty_store` makes an empty store at
/// each call, with separate records even if another one is still alive.
///
/// ```no_run
/// # use tower_api_key::replica::Feed;
/// # async fn check<S: Feed>(my_store: impl AsyncFn() -> S) -> Result<(), tower_api_key_contract::Violation> {
/// // In a test: #[tokio::test(flavor = "multi_thread")]
/// tower_api_key_contract::feed_contract(my_store).await
/// # }
/// ```
///
/// It does not check what a database does after a crash, a failover or a restored backup, and no change that does not
/// come through [`KeyStore`](tower_api_key::store::KeyStore).
///
/// # Errors
///
/// [`Violation`], with the clause and the observation.
///
/// # Panics
///
/// As [`contract`](super::contract).
pub async fn feed_contract<S: Feed>(empty_store: impl AsyncFn() -> S) -> Result<(), Violation> {
    assert_threads();
    let trial = async |clause| Trial::new(empty_store().await, clause);
    completeness::check(&trial(Clause::Completeness).await).await?;
    pages::check(&trial(Clause::Pages).await).await?;
    let two = [
        trial(Clause::OneHistory).await,
        trial(Clause::OneHistory).await,
    ];
    one_history::check(&two).await?;
    sums::check(&trial(Clause::Sums).await).await?;
    dropped_calls::check(&trial(Clause::DroppedCalls).await).await
}
