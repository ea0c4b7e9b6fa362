//! The clauses of the contract.

use std::fmt;

#[cfg(doc)]
use tower_api_key::{
    replica::Feed,
    store::{KeyStore, KeyTable},
};

/// A clause of the contract that is in the docs of [`KeyStore`], or in those of [`Feed`] and [`KeyTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clause {
    /// A change is applied whole or not at all, and seen so.
    Atomicity,
    /// A write applies only to the version, and the identity, that it expects.
    CompareAndSwap,
    /// A change applies only if a subject has no more keys than its limit allows afterwards.
    KeyLimit,
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
    /// What is known of the uses of a key grows, and changes nothing else.
    Usage,
    /// A notice of expiry is claimed once, and only of a key that needs one.
    ExpiryNotices,
    /// A history has an entry for each change that was applied, with its actor, and for each notice that was claimed. It
    /// outlives the records.
    History,
    /// Many records at once: one answer for each id, in their order.
    GetMany,
    /// A task that is taken runs to its end, whatever happens to its caller, concurrently with others.
    Tasks,
    /// Stores of one identity hold the same records, and no other store has it.
    Identity,
    /// Of a feed: what was committed before a question for changes is in the answer, or was there before, as it is
    /// now, in the realms that were asked for.
    Completeness,
    /// Of a feed: pages are in the order of the digests, and what changes between them comes with the changes since.
    Pages,
    /// Of a feed: a position of another history gets no answer, and no reader needs what is forgotten.
    OneHistory,
    /// Of a feed: checksums are those of the state that they come with.
    Sums,
    /// Of a feed and of a table: a call is not answered by what a call that was dropped has asked.
    DroppedCalls,
    /// A store that can answer does. The suite met an error in the place of an answer.
    Honesty,
}

impl Clause {
    /// The name that the contract gives the clause.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Atomicity => "atomicity",
            Self::CompareAndSwap => "compare-and-swap",
            Self::KeyLimit => "key limit",
            Self::Revocation => "revocation",
            Self::Uniqueness => "uniqueness",
            Self::Visibility => "visibility",
            Self::Realm => "realm",
            Self::Fidelity => "fidelity",
            Self::Listing => "listing",
            Self::Purge => "purge",
            Self::LastUse => "last use",
            Self::Usage => "usage",
            Self::ExpiryNotices => "expiry notices",
            Self::History => "history",
            Self::GetMany => "get many",
            Self::Tasks => "tasks",
            Self::Identity => "identity",
            Self::Completeness => "completeness",
            Self::Pages => "pages",
            Self::OneHistory => "one history",
            Self::Sums => "sums",
            Self::DroppedCalls => "dropped calls",
            Self::Honesty => "honesty",
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
