//! Which requests were answered otherwise than expected.

use super::answer::Answer;
use super::case::{Case, Expected};
use super::error::{Fault, MatrixError};
use super::row::Row;
use crate::middleware::guard::routes::RouteTable;
use crate::verdict::RejectionKind;

/// The number of requests, if each was answered as expected.
pub(super) fn judge(table: &RouteTable, tried: Vec<(Case, Answer)>) -> Result<usize, MatrixError> {
    let requests = tried.len();
    let has_rejections = tried.iter().any(|(_, answer)| answer.rejection().is_some());
    let mut faults = Vec::new();
    for (case, answer) in tried {
        let Some(route) = table.routes().get(case.route) else {
            continue;
        };
        let (row, expected) = if answer.rejection() == Some(RejectionKind::NotAuthenticated) {
            let outside = "a layer that authenticates outside the guard";
            (Row::LayerOrder, outside.to_owned())
        } else if is_as_expected(
            &case,
            &answer,
            route.pattern().contains('{'),
            has_rejections,
        ) {
            continue;
        } else {
            (case.row, in_words(case.expected))
        };
        faults.push(Fault {
            place: case.route,
            route: route.to_string(),
            row,
            detail: case.detail,
            expected,
            answer: answer.to_string(),
        });
    }
    if faults.is_empty() {
        return Ok(requests);
    }
    // A route that the right key does not reach is not reached with a further header either.
    let unreached = |fault: &&Fault| fault.row == Row::RightKey;
    let unreached: Vec<usize> = faults.iter().filter(unreached).map(|it| it.place).collect();
    faults.retain(|it| it.row != Row::MethodOverride || !unreached.contains(&it.place));
    faults.sort_by_key(|fault| (fault.place, fault.row));
    Err(MatrixError::otherwise(faults, requests))
}

fn is_as_expected(case: &Case, answer: &Answer, has_parameter: bool, has_rejections: bool) -> bool {
    match case.expected {
        Expected::Passes => answer.passes(has_parameter),
        Expected::Refused(kind) => answer.refuses(kind, has_rejections),
        Expected::RefusedOrPasses(kind) => {
            answer.refuses(kind, has_rejections) || answer.passes(has_parameter)
        }
        Expected::NoSuccess => !answer.is_success(),
    }
}

fn in_words(expected: Expected) -> String {
    match expected {
        Expected::Passes => "the answer of the handler".to_owned(),
        Expected::Refused(kind) => format!("{} {}", status_of(kind), kind.as_str()),
        Expected::RefusedOrPasses(kind) => {
            let status = status_of(kind);
            format!("{status} {}, or the answer of the handler", kind.as_str())
        }
        Expected::NoSuccess => "no success".to_owned(),
    }
}

fn status_of(kind: RejectionKind) -> u16 {
    crate::testing::refusal::rejection(kind).status().as_u16()
}
