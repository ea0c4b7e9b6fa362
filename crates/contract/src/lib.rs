//! A suite that holds a store of keys to the contract of [`KeyStore`], the port of
//! [`tower-api-key`](tower_api_key).
//!
//! Once the suite passes, the rules of `tower-api-key` hold over your store. Add the suite as a
//! dev-dependency, give it a constructor of empty stores, each with its own records, and run it as one
//! test:
//!
//! ```
//! use tower_api_key::{SystemClock, store::MemoryStore};
//! use tower_api_key_contract::{Violation, contract};
//!
//! # // In a test: #[tokio::test(flavor = "multi_thread")]
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 4)]
//! # async fn main() -> Result<(), Violation> {
//! let verdict = contract(async || MemoryStore::with_history(SystemClock)).await;
//! assert!(verdict.is_ok());
//! # verdict
//! # }
//! ```
//!
//! The constructor may connect, create a schema and wait: it runs on the same runtime as the suite. Some
//! twenty stores are made, most of them one after the other. Two are alive at the same time, so each needs
//! its own file, schema or database.
//!
//! A [`Violation`] names the clause that was broken and says what was seen. Some faults of a store
//! appear only when two commits meet. So the suite lets many tasks race many times. If a store passes
//! once and fails later, it is broken.
//!
//! It commits some hundred changes and runs some thousand look-ups, so a store that takes a millisecond
//! for each is through in seconds.
//!
//! The guide [`own_store`](guide::own_store) has a store in a hundred lines.
//!
//! A store that replicas follow keeps the contract of [`Feed`](tower_api_key::replica::Feed) too:
//! [`feed_contract`].
//!
//! A table of keys that another system mints and ends, to verify by alone, keeps the contract of
//! [`KeyTable`](tower_api_key::store::KeyTable): [`table_contract`].
//!
//! # What it does not check
//!
//! - Speed: whether a look-up waits for a lock is for your own benchmark.
//! - Whether a [listener](KeyStore::on_change) hears of changes: a store need not know of any.
//! - What a store keeps after a crash, or answers after a failover.
//!
//! A store that cannot answer fails the suite, with [`Clause::Honesty`].

#![forbid(unsafe_code)]

pub mod guide;

mod atomicity;
mod clause;
mod compare_and_swap;
mod expiry_notices;
mod feed;
mod fidelity;
mod get_many;
mod history;
mod identity;
mod key_limit;
mod last_use;
mod listing;
mod noted_notices;
mod purge;
mod race;
mod realm;
mod revocation;
mod table;
mod tasks;
mod trial;
mod uniqueness;
mod usage;
mod violation;
mod visibility;

#[doc(inline)]
pub use clause::Clause;
#[doc(inline)]
pub use feed::feed_contract;
#[doc(inline)]
pub use table::table_contract;
#[doc(inline)]
pub use violation::Violation;

use tokio::runtime::{Handle, RuntimeFlavor};

use tower_api_key::store::KeyStore;
use trial::Trial;

/// Checks a store against every clause of the contract of [`KeyStore`], and stops at the first that it
/// breaks.
///
/// `empty_store` makes an empty store at each call, with separate records even if another one is still
/// alive. The [module](self) shows how.
///
/// # Errors
///
/// [`Violation`], with the clause and the observation.
///
/// # Panics
///
/// Outside a tokio runtime of the multi-thread flavour, because no two commits would ever meet there,
/// and if the store itself panics.
pub async fn contract<S: KeyStore>(empty_store: impl AsyncFn() -> S) -> Result<(), Violation> {
    contract_without(&[], empty_store).await
}

/// As [`contract`], for a store that removes no records, keeps no last uses, keeps no usage, keeps no claims of notices or keeps no history: without
/// [`Clause::Purge`], [`Clause::LastUse`], [`Clause::Usage`], [`Clause::ExpiryNotices`], [`Clause::History`] or several of them. The store must refuse those calls as
/// [`Unsupported`](tower_api_key::store::StoreErrorKind::Unsupported), as the defaults of [`KeyStore`] do.
///
/// # Errors
///
/// As [`contract`].
///
/// # Panics
///
/// As [`contract`], and if another clause is left out.
pub async fn contract_without<S: KeyStore>(
    left_out: &[Clause],
    empty_store: impl AsyncFn() -> S,
) -> Result<(), Violation> {
    let optional = [
        Clause::Purge,
        Clause::LastUse,
        Clause::Usage,
        Clause::ExpiryNotices,
        Clause::History,
    ];
    assert!(
        left_out.iter().all(|clause| optional.contains(clause)),
        "only the clauses purge, last use, usage, expiry notices and history can be left out"
    );
    assert_threads();
    let trial = async |clause| Trial::new(empty_store().await, clause);
    visibility::check(&trial(Clause::Visibility).await).await?;
    fidelity::check(&trial(Clause::Fidelity).await).await?;
    realm::check(&trial(Clause::Realm).await).await?;
    listing::check(&trial(Clause::Listing).await).await?;
    uniqueness::check(&trial(Clause::Uniqueness).await).await?;
    compare_and_swap::check(&trial(Clause::CompareAndSwap).await).await?;
    key_limit::check(&trial(Clause::KeyLimit).await).await?;
    atomicity::check(&trial(Clause::Atomicity).await).await?;
    revocation::check(&trial(Clause::Revocation).await).await?;
    if left_out.contains(&Clause::Purge) {
        purge::check_refused(&trial(Clause::Purge).await).await?;
    } else {
        purge::check(&trial(Clause::Purge).await).await?;
    }
    if left_out.contains(&Clause::LastUse) {
        last_use::check_refused(&trial(Clause::LastUse).await).await?;
    } else {
        last_use::check(&trial(Clause::LastUse).await).await?;
        if !left_out.contains(&Clause::Purge) {
            last_use::check_purged(&trial(Clause::LastUse).await).await?;
        }
        listing::check_unused(&trial(Clause::Listing).await).await?;
    }
    if left_out.contains(&Clause::ExpiryNotices) {
        expiry_notices::check_refused(&trial(Clause::ExpiryNotices).await).await?;
    } else {
        expiry_notices::check(&trial(Clause::ExpiryNotices).await).await?;
        if !left_out.contains(&Clause::Purge) {
            expiry_notices::check_purged(&trial(Clause::ExpiryNotices).await).await?;
        }
    }
    if left_out.contains(&Clause::Usage) {
        usage::check_refused(&trial(Clause::Usage).await).await?;
    } else {
        usage::check(&trial(Clause::Usage).await).await?;
        if !left_out.contains(&Clause::Purge) {
            usage::check_purged(&trial(Clause::Usage).await).await?;
        }
    }
    if left_out.contains(&Clause::History) {
        history::check_refused(&trial(Clause::History).await).await?;
    } else {
        history::check(&trial(Clause::History).await).await?;
        if !left_out.contains(&Clause::Purge) {
            history::check_purged(&trial(Clause::History).await).await?;
        }
        if !left_out.contains(&Clause::ExpiryNotices) {
            noted_notices::check(&trial(Clause::History).await).await?;
        }
    }
    get_many::check(&trial(Clause::GetMany).await).await?;
    tasks::check(&trial(Clause::Tasks).await).await?;
    let two = [trial(Clause::Identity).await, trial(Clause::Identity).await];
    identity::check(&two).await
}

fn assert_threads() {
    assert!(
        Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread,
        "run the contract on a runtime of several threads: #[tokio::test(flavor = \"multi_thread\")]"
    );
}
