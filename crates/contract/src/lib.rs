//! A suite that holds a store of keys to the contract of [`KeyStore`], the port of
//! [`tower-api-key`](tower_api_key).
//!
//! Once the suite passes, the rules of `tower-api-key` hold over your store. Add the suite as a
//! dev-dependency, give it a constructor of empty stores, each with its own records, and run it as one
//! test:
//!
//! ```
//! use tower_api_key::store::MemoryStore;
//! use tower_api_key_contract::{Violation, contract};
//!
//! # // In a test: #[tokio::test(flavor = "multi_thread")]
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 4)]
//! # async fn main() -> Result<(), Violation> {
//! let verdict = contract(async || MemoryStore::new()).await;
//! assert!(verdict.is_ok());
//! # verdict
//! # }
//! ```
//!
//! The constructor may connect, create a schema and wait: it runs on the same runtime as the suite. Some
//! ten stores are made, most of them one after the other. Two are alive at the same time, so each needs
//! its own file, schema or database.
//!
//! A [`Violation`] names the clause that was broken and says what was seen. Some faults of a store
//! appear only when two commits meet. So the suite lets many tasks race many times. If a store passes
//! once and fails later, it is broken.
//!
//! It commits some hundred changes and runs some thousand look-ups, so a store that takes a millisecond
//! for each is through in seconds.
//!
//! The [`guide`] has a store in two hundred lines.
//!
//! # What it does not check
//!
//! - Speed: whether a look-up waits for a lock is for your own benchmark.
//! - What a store keeps after a crash, or answers after a failover.
//!
//! A store that cannot answer fails the suite, with [`Clause::Honesty`].

#![forbid(unsafe_code)]

pub mod guide;

mod atomicity;
mod compare_and_swap;
mod fidelity;
mod get_many;
mod identity;
mod last_use;
mod listing;
mod purge;
mod race;
mod realm;
mod revocation;
mod subject_keys;
mod tasks;
mod trial;
mod uniqueness;
mod visibility;

use std::error::Error as StdError;
use std::fmt;

use tokio::runtime::{Handle, RuntimeFlavor};

use tower_api_key::store::KeyStore;
use trial::Trial;

/// A clause of the contract that is in the docs of [`KeyStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clause {
    /// A change is applied whole or not at all, and seen so.
    Atomicity,
    /// A write applies only to the version, and the identity, that it expects.
    CompareAndSwap,
    /// A change applies only while a subject has the keys that it expects.
    SubjectKeys,
    /// A revocation ends the keys that it names, whatever others do.
    Revocation,
    /// An id and a digest are in one record at most.
    Uniqueness,
    /// A commit is seen at once.
    Visibility,
    /// A record is known in its own realm alone.
    Realm,
    /// A record comes back as it was put.
    Fidelity,
    /// A list holds the records that match, in order, and pages of it hold everything once.
    Listing,
    /// A purge removes the records that ended by its time in its realm, all of them and nothing else.
    Purge,
    /// A last use moves forward and changes nothing else.
    LastUse,
    /// Many records at once: one answer for each id, in their order.
    GetMany,
    /// A task that is taken runs to its end, whatever happens to its caller, concurrently with others.
    Tasks,
    /// Stores of one identity hold the same records, and no other store has it.
    Identity,
    /// A store that can answer does. The suite met an error in the place of an answer.
    Honesty,
}

impl Clause {
    /// The name that the contract gives the clause.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Atomicity => "atomicity",
            Self::CompareAndSwap => "compare-and-swap",
            Self::SubjectKeys => "subject keys",
            Self::Revocation => "revocation",
            Self::Uniqueness => "uniqueness",
            Self::Visibility => "visibility",
            Self::Realm => "realm",
            Self::Fidelity => "fidelity",
            Self::Listing => "listing",
            Self::Purge => "purge",
            Self::LastUse => "last use",
            Self::GetMany => "get many",
            Self::Tasks => "tasks",
            Self::Identity => "identity",
            Self::Honesty => "honesty",
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a store broke its contract.
#[derive(Debug)]
pub struct Violation {
    clause: Clause,
    seen: String,
}

impl Violation {
    fn new(clause: Clause, seen: impl Into<String>) -> Self {
        Self {
            clause,
            seen: seen.into(),
        }
    }

    /// The clause that was broken.
    pub fn clause(&self) -> Clause {
        self.clause
    }

    /// A description of the observation, for people to read.
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.clause, self.seen)
    }
}

impl StdError for Violation {}

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

/// As [`contract`], for a store that removes no records or keeps no last uses: without
/// [`Clause::Purge`], [`Clause::LastUse`] or both. The store must refuse those calls as
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
    let optional = [Clause::Purge, Clause::LastUse];
    assert!(
        left_out.iter().all(|clause| optional.contains(clause)),
        "only the clauses purge and last use can be left out"
    );
    assert!(
        Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread,
        "run the contract on a runtime of several threads: #[tokio::test(flavor = \"multi_thread\")]"
    );
    let trial = async |clause| Trial::new(empty_store().await, clause);
    visibility::check(&trial(Clause::Visibility).await).await?;
    fidelity::check(&trial(Clause::Fidelity).await).await?;
    realm::check(&trial(Clause::Realm).await).await?;
    listing::check(&trial(Clause::Listing).await).await?;
    uniqueness::check(&trial(Clause::Uniqueness).await).await?;
    compare_and_swap::check(&trial(Clause::CompareAndSwap).await).await?;
    subject_keys::check(&trial(Clause::SubjectKeys).await).await?;
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
    get_many::check(&trial(Clause::GetMany).await).await?;
    tasks::check(&trial(Clause::Tasks).await).await?;
    let two = [trial(Clause::Identity).await, trial(Clause::Identity).await];
    identity::check(&two).await
}
