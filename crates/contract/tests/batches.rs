//! Mistakes of a store in reading many records at once, and in its tasks.

use std::collections::BTreeSet;
use std::sync::Arc;

use tower_api_key::store::Found;
use tower_api_key::{KeyId, KeyRecord, Realm};
use tower_api_key_contract::Clause;

use super::fault::Fault;
use super::is_caught;

/// The answer of a store with this fault for these ids.
pub(super) fn get_many(
    fault: Fault,
    realm: &Realm,
    ids: &[KeyId],
    get: impl Fn(&Realm, KeyId) -> Option<Arc<KeyRecord>>,
) -> Vec<Found> {
    let mut ids = ids.to_vec();
    let mut answered = BTreeSet::new();
    match fault {
        Fault::AnswersManyInTheOrderOfIds => ids.sort(),
        Fault::GetsAThousandAlone => {
            let rest = ids.split_off(ids.len().min(1_000));
            let known = ids.iter().map(|&id| Ok(get(realm, id)));
            return known.chain(rest.iter().map(|_| Ok(None))).collect();
        }
        _ => {}
    }
    let billing: Realm = "billing".parse().unwrap();
    let found = ids.into_iter().map(|id| match fault {
        Fault::AnswersOneOfManyOnce if !answered.insert(id) => None,
        Fault::GetsManyInAnyRealm => get(realm, id).or_else(|| get(&billing, id)),
        _ => get(realm, id),
    });
    found
        .filter(|found| fault != Fault::LeavesOutTheUnknown || found.is_some())
        .map(Ok)
        .collect()
}

#[test]
fn many_answers_that_are_not_those_of_the_ids_are_caught() {
    for (fault, clause, seen) in [
        (
            Fault::AnswersManyInTheOrderOfIds,
            Clause::GetMany,
            "get_many of two ids, the later one first gave other records",
        ),
        (
            Fault::AnswersOneOfManyOnce,
            Clause::GetMany,
            "get_many of one id twice gave other records",
        ),
        // A record that is requested before it exists.
        (
            Fault::LeavesOutTheUnknown,
            Clause::Visibility,
            "get_many of 1 ids gave 0 answers",
        ),
        (
            Fault::GetsManyInAnyRealm,
            Clause::GetMany,
            "get_many of an id of another realm gave other records",
        ),
        (
            Fault::GetsAThousandAlone,
            Clause::GetMany,
            "was not answered in its place",
        ),
    ] {
        is_caught(fault, clause, seen);
    }
}

#[test]
fn r19_a_task_that_is_not_run_to_its_end_is_caught() {
    for (fault, seen) in [
        (Fault::DropsTasks, "was dropped before its end"),
        (Fault::RunsTasksInTurn, "one did not end within"),
        (Fault::GivesBackTheSecondTask, "the next one given back"),
        (Fault::GivesBackABegunTask, "had been begun"),
    ] {
        is_caught(fault, Clause::Tasks, seen);
    }
}
