//! Mistakes of a store in claims of notices.

use tower_api_key_contract::Clause;

use super::fault::Fault;
use super::is_caught;

const CLAUSE: Clause = Clause::ExpiryNotices;

#[test]
fn a_notice_that_is_claimed_twice_is_caught() {
    for (fault, seen) in [
        (
            Fault::ClaimsEachTime,
            "at the step of 30 days for the second time",
        ),
        (
            Fault::ReadsWhatIsDueBeforeItLocks,
            "in 8 tasks at once at the step of 30 days",
        ),
        (Fault::ForgetsClaimsWithAChange, "after the record changed"),
        (
            Fault::ClaimsWiderStepsToo,
            "two days before the end, for the first time",
        ),
        (
            Fault::ClaimsAnyOtherStep,
            "after a nearer step, by a clock that was set back",
        ),
    ] {
        is_caught(fault, CLAUSE, seen);
    }
}

#[test]
fn a_notice_of_a_key_that_is_not_due_is_caught() {
    for (fault, seen) in [
        (
            Fault::ClaimsASecondEarly,
            "a second before the step of 30 days",
        ),
        (Fault::ClaimsTheRevoked, "of keys that are not due"),
        (Fault::ClaimsTheReplaced, "of keys that are not due"),
        (
            Fault::ClaimsInAnyRealm,
            "two days before the end, for the first time",
        ),
        (Fault::ClaimsTheExpired, "at the end of a key"),
        (
            Fault::ClaimsStepsOfShorterLives,
            "30 days before the end of keys that were issued for less",
        ),
    ] {
        is_caught(fault, CLAUSE, seen);
    }
}

#[test]
fn a_page_of_notices_that_hides_others_is_caught() {
    is_caught(Fault::ClaimsMoreThanItMay, CLAUSE, "a page of four had");
    is_caught(Fault::NamesNoFurtherClaims, CLAUSE, "keys of 10 were told");
    is_caught(Fault::StopsAtShorterLives, CLAUSE, "keys of 10 were told");
}

#[test]
fn a_claim_that_touches_its_record_is_caught() {
    is_caught(
        Fault::RaisesTheVersionWithAClaim,
        CLAUSE,
        "it differs in version",
    );
    is_caught(
        Fault::RemembersTheClaimsOfThePurged,
        CLAUSE,
        "after the key was purged and put again",
    );
}
