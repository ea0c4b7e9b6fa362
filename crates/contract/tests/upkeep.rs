//! Mistakes of a store in purges and last uses.

use tower_api_key_contract::Clause;

use super::fault::Fault;
use super::is_caught;

#[test]
fn a_purge_that_is_not_exact_is_caught() {
    is_caught(
        Fault::PurgesEveryRealm,
        Clause::Purge,
        "did not show the record",
    );
    is_caught(
        Fault::PurgesASecondMore,
        Clause::Purge,
        "did not show the record",
    );
    is_caught(
        Fault::PurgesASecondLess,
        Clause::Purge,
        "find showed a record that must not be there",
    );
    is_caught(Fault::CountsThePurgedWrong, Clause::Purge, "and reported");
    is_caught(
        Fault::RemembersTheUsesOfThePurged,
        Clause::Purge,
        "last_uses knew",
    );
}

#[test]
fn a_last_use_that_goes_back_is_caught() {
    is_caught(
        Fault::TakesTheUseItWasTold,
        Clause::LastUse,
        "after a use at 5 s was recorded",
    );
    is_caught(
        Fault::ReadsUsesBeforeItLocks,
        Clause::LastUse,
        "after uses at once",
    );
}

#[test]
fn a_last_use_that_touches_records_is_caught() {
    is_caught(
        Fault::RaisesTheVersionWithAUse,
        Clause::LastUse,
        "it differs in version",
    );
    is_caught(
        Fault::ResurrectsWithAUse,
        Clause::LastUse,
        "after a use of a purged key, find showed a record",
    );
    is_caught(
        Fault::AnswersUsesInTheOrderOfIds,
        Clause::LastUse,
        "of known and unknown keys",
    );
    is_caught(
        Fault::ListsTheUsesOfOthers,
        Clause::Listing,
        "has the last uses",
    );
}

#[test]
fn a_last_use_that_meets_the_end_of_its_key_is_caught() {
    is_caught(
        Fault::WritesRecordsBackWithAUse,
        Clause::LastUse,
        "it differs in version, revocation",
    );
    is_caught(
        Fault::PassesOverChangedRecords,
        Clause::LastUse,
        "after a use during the revocation of its key, last_uses gave [None]",
    );
    is_caught(
        Fault::PutsRecordsBackWithAUse,
        Clause::LastUse,
        "after a use during the purge of its key, find showed a record",
    );
    is_caught(
        Fault::RecordsUsesOfTheGone,
        Clause::LastUse,
        "after a key was purged during a use and put again",
    );
}
