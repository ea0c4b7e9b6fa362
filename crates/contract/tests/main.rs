//! The suite for stores: a store that keeps the contract passes, and each violation is named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod batches;
mod broken;
mod claims;
mod fault;
mod feeds;
mod histories;
mod indexes;
mod notices;
mod optional;
mod revocations;
mod state;
mod tables;
mod upkeep;
mod usages;
mod uses;

use std::sync::Arc;

use tower_api_key::SystemClock;
use tower_api_key::store::{KeyStore, MemoryStore};
use tower_api_key_contract::{Clause, contract, contract_without};

use broken::BrokenStore;
use fault::{Fault, Field, Filter};

/// What a [`BrokenStore`] does not do.
const LEFT_OUT: [Clause; 2] = [Clause::Usage, Clause::History];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_memory_keeps_the_contract() {
    contract_without(&[Clause::History], async || MemoryStore::new())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shared_store_keeps_the_contract() {
    let with_history = || MemoryStore::with_history(SystemClock);
    contract(async || Arc::new(with_history()) as Arc<dyn KeyStore>)
        .await
        .unwrap();
}

/// The others fail because of their fault, and not because of how they are built.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_a_fault_keeps_the_contract() {
    contract_without(&LEFT_OUT, async || BrokenStore::new(Fault::None))
        .await
        .unwrap();
}

#[tokio::test]
#[should_panic(expected = "run the contract on a runtime of several threads")]
async fn a_runtime_of_one_thread_proves_nothing() {
    let _ = contract(async || MemoryStore::new()).await;
}

/// Runs the suite over a store with this fault, and expects this clause and a message that contains
/// this text.
#[track_caller]
fn is_caught(fault: Fault, clause: Clause, seen: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let violation = runtime
        .block_on(contract_without(&LEFT_OUT, async || {
            BrokenStore::new(fault)
        }))
        .expect_err("the suite passes a broken store");
    assert_eq!(violation.clause(), clause, "{violation}");
    assert!(violation.seen().contains(seen), "{violation}");
}

#[test]
fn a_commit_that_stops_half_way_is_caught() {
    is_caught(
        Fault::AppliesUntilRefused,
        Clause::Atomicity,
        "find showed a record that must not be there",
    );
}

#[test]
fn a_commit_that_is_seen_half_way_is_caught() {
    is_caught(Fault::AppliesInSteps, Clause::Atomicity, "live");
}

#[test]
fn a_commit_that_is_dropped_half_way_is_caught() {
    is_caught(
        Fault::ForgetsHalfWhenDropped,
        Clause::Atomicity,
        "whose future was dropped happened by half",
    );
}

#[test]
fn a_gap_between_two_versions_is_caught() {
    is_caught(
        Fault::RemovesBeforeItPuts,
        Clause::Atomicity,
        "find did not show a key that was committed, while it was changed",
    );
}

#[test]
fn a_lost_update_is_caught() {
    is_caught(
        Fault::ChecksBeforeItLocks,
        Clause::Uniqueness,
        "issued one id or digest at once",
    );
    is_caught(
        Fault::ChecksVersionsBeforeItLocks,
        Clause::CompareAndSwap,
        "tasks changed one version at once",
    );
}

#[test]
fn a_version_that_is_ignored_is_caught() {
    is_caught(
        Fault::IgnoresVersions,
        Clause::CompareAndSwap,
        "was committed; expected Conflict",
    );
}

#[test]
fn a_record_that_becomes_another_key_is_caught() {
    for (field, named) in [
        (Field::Digest, "digest"),
        (Field::Realm, "realm"),
        (Field::Subject, "subject"),
        (Field::CaseOfTheSubject, "case of the subject"),
        (Field::Lineage, "lineage"),
    ] {
        is_caught(
            Fault::IgnoresIdentity(field),
            Clause::CompareAndSwap,
            &format!("a write that changes the {named} of a record was committed"),
        );
    }
}

#[test]
fn an_absent_record_that_is_put_is_caught() {
    is_caught(
        Fault::PutsAbsentRecords,
        Clause::CompareAndSwap,
        "a next version of a record that does not exist was committed",
    );
}

#[test]
fn a_stale_read_is_caught() {
    is_caught(
        Fault::FindsWhatItFoundBefore,
        Clause::Visibility,
        "find did not show the record",
    );
    is_caught(
        Fault::FindsTheFirstVersion,
        Clause::Visibility,
        "it differs in scopes, version",
    );
    is_caught(
        Fault::GetsWhatWasBefore,
        Clause::Visibility,
        "after a key was issued, get did not show the record",
    );
    is_caught(
        Fault::ListsWhatWasBefore,
        Clause::Visibility,
        "after a key was issued, list did not show the record",
    );
}

#[test]
fn an_index_that_disagrees_is_caught() {
    is_caught(
        Fault::NamesAnotherIndex,
        Clause::Visibility,
        "after a key was issued, the index did not show the record",
    );
}

#[test]
fn a_limit_that_is_ignored_is_caught() {
    for (fault, seen) in [
        (
            Fault::IgnoresLimits,
            "a change beyond one limit of two was committed",
        ),
        (
            Fault::ReadsTheFirstLimitAlone,
            "a change beyond one limit of two was committed",
        ),
        (
            Fault::ReadsLimitsBeforeWrites,
            "with a write that does not apply, was refused as TooManyKeys; expected Conflict",
        ),
        (
            Fault::ChecksLimitsBeforeItLocks,
            "that may have one more, and it has",
        ),
    ] {
        is_caught(fault, Clause::KeyLimit, seen);
    }
}

#[test]
fn a_limit_that_counts_other_keys_is_caught() {
    for (fault, seen) in [
        (
            Fault::CountsBeforeTheChange,
            "a third key of a subject that may have two was committed",
        ),
        (
            Fault::CountsRecords,
            "with two keys of one lineage, a limit of 1 for a subject with 1 keys was refused",
        ),
        (
            Fault::CountsTheExpired,
            "at the end of a grace period, a limit of 0",
        ),
        (
            Fault::CountsTheLatestTime,
            "a second earlier, a limit of 0 for a subject with 1 keys was committed",
        ),
        (Fault::CountsOtherRealms, "in another realm"),
        (
            Fault::CountsDown,
            "after an expired key was revoked, a limit of",
        ),
    ] {
        is_caught(fault, Clause::KeyLimit, seen);
    }
}

#[test]
fn r32_a_revocation_that_ends_something_else_is_caught() {
    let clause = Clause::Revocation;
    is_caught(
        Fault::RevokesTheNamedKeyAlone,
        clause,
        "the revocation of a lineage reported that it ended",
    );
    is_caught(
        Fault::RevokesInEveryRealm,
        clause,
        "the revocation of another realm's key returned",
    );
    is_caught(
        Fault::RevokesSubjectsInAnyCase,
        clause,
        "the revocation of a subject reported that it ended",
    );
    is_caught(
        Fault::RevokesByMembersAlone,
        clause,
        "the revocation of a lineage reported that it ended []",
    );
    is_caught(
        Fault::RevokesTheRevokedAgain,
        clause,
        "the second revocation of a key returned",
    );
    is_caught(
        Fault::RevokesOtherFieldsToo,
        clause,
        "it differs in expires_at",
    );
    is_caught(
        Fault::RevokesWithoutAVersion,
        clause,
        "it differs in version",
    );
}

#[test]
fn r32_a_revocation_that_says_something_else_is_caught() {
    let clause = Clause::Revocation;
    is_caught(
        Fault::RevokesSilently,
        clause,
        "the revocation of a key reported that it ended []",
    );
    is_caught(
        Fault::RevokesWithoutFinding,
        clause,
        "the second revocation of a key returned Revoked { found: false",
    );
}

#[test]
fn r32_a_revocation_that_is_refused_is_caught() {
    is_caught(
        Fault::RevokesNothingLate,
        Clause::Honesty,
        "the column cannot hold this",
    );
    is_caught(
        Fault::RevokesNothingAtTheLastVersion,
        Clause::Honesty,
        "there is no next version",
    );
    is_caught(
        Fault::RevokesWhatItReadOrConflicts,
        Clause::Revocation,
        "was refused as Conflict",
    );
}

#[test]
fn r32_a_revocation_that_others_are_in_is_caught() {
    is_caught(
        Fault::RevokesInSteps,
        Clause::Revocation,
        "that a revocation ends",
    );
    is_caught(
        Fault::RevokesWhatItRead,
        Clause::Revocation,
        "was revoked, while others replaced its newest",
    );
}

#[test]
fn a_duplicate_that_is_accepted_is_caught() {
    is_caught(
        Fault::AcceptsDigestsTwice,
        Clause::Uniqueness,
        "a second record of a digest",
    );
    is_caught(
        Fault::AcceptsDigestsOncePerRealm,
        Clause::Uniqueness,
        "a second record of a digest, in \"billing\" was committed",
    );
    is_caught(
        Fault::ForgetsTheChangeItself,
        Clause::Uniqueness,
        "a change that brings one digest twice was committed",
    );
}

#[test]
fn a_realm_that_is_ignored_is_caught() {
    is_caught(Fault::FindsInAnyRealm, Clause::Realm, "find in");
    is_caught(Fault::GetsInAnyRealm, Clause::Realm, "get in");
    is_caught(Fault::FoldsTheCaseOfRealms, Clause::Realm, "list of");
}

#[test]
fn a_list_that_pages_badly_is_caught() {
    let due = "expected";
    is_caught(Fault::SkipsOnePerPage, Clause::Listing, due);
    is_caught(Fault::RepeatsOnePerPage, Clause::Listing, due);
    is_caught(Fault::LimitsBeforeItFilters, Clause::Listing, due);
    is_caught(Fault::NeedsTheIdItBeginsAfter, Clause::Listing, due);
    is_caught(Fault::NamesNoNextPage, Clause::Listing, due);
    is_caught(Fault::NamesANextPageAlways, Clause::Listing, due);
}

#[test]
fn a_list_that_orders_or_filters_badly_is_caught() {
    let due = "expected";
    is_caught(Fault::OrdersIdsWithoutCase, Clause::Listing, due);
    is_caught(Fault::FoldsTheCaseOfSubjects, Clause::Listing, due);
    is_caught(Fault::ListsTheRevoked, Clause::Listing, due);
    for filter in [
        Filter::States,
        Filter::InGrace,
        Filter::EndOfExpiring,
        Filter::UseOfUnused,
        Filter::WholeDays,
        Filter::WholeScopes,
        Filter::CaseOfPrefixes,
        Filter::NewestFirst,
        Filter::SecondsOfIssue,
        Filter::LosesInAnyOrder,
        Filter::RepeatsInAnyOrder,
    ] {
        is_caught(Fault::IgnoresTheFilter(filter), Clause::Listing, due);
    }
    is_caught(Fault::NamesOtherRealms, Clause::Listing, "realms named");
}

#[test]
fn a_record_that_comes_back_changed_is_caught() {
    is_caught(
        Fault::CutsTimesToAnI64,
        Clause::Fidelity,
        "expiry beyond an i64, find showed another record than the one committed: it differs in expires_at",
    );
    is_caught(
        Fault::KeepsTheLabel,
        Clause::Fidelity,
        "it differs in label",
    );
    is_caught(
        Fault::ForgetsEmptyTexts,
        Clause::Fidelity,
        "it differs in label",
    );
}

#[test]
fn an_identity_that_is_not_one_is_caught() {
    is_caught(
        Fault::SharesItsIdentity,
        Clause::Identity,
        "two stores with different records had the same identity",
    );
    is_caught(
        Fault::ChangesItsIdentity,
        Clause::Identity,
        "the identity of a store changed from one call to the next",
    );
    is_caught(
        Fault::ChangesItsIdentityWithACommit,
        Clause::Identity,
        "the identity of a store changed with a commit",
    );
}

#[test]
fn an_error_where_there_is_an_answer_is_caught() {
    is_caught(
        Fault::FailsBesideOthers,
        Clause::Honesty,
        "the store is unavailable: locked",
    );
}
