//! What became of each record.

use serde_json::json;
use tower_api_key::store::Unreadable;
use tower_api_key::{KeyId, Realm};

use crate::failure::{Exit, Failure};
use crate::output::{Output, print_json, tell};

/// After how many records the next line of progress comes.
const STRIDE: u64 = 10_000;

/// What became of a record of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Copied,
    Updated,
    There,
}

/// The counts of a copy.
pub(super) struct Report {
    output: Output,
    copied: u64,
    updated: u64,
    /// How many of them have another label or other metadata than before.
    described: u64,
    there: u64,
    unreadable: u64,
    conflicts: u64,
    /// How many records there were at the last line of progress.
    told: u64,
}

impl Report {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            copied: 0,
            updated: 0,
            described: 0,
            there: 0,
            unreadable: 0,
            conflicts: 0,
            told: 0,
        }
    }

    pub(super) fn count(&mut self, outcome: Outcome, is_described: bool) {
        self.described += u64::from(is_described);
        *match outcome {
            Outcome::Copied => &mut self.copied,
            Outcome::Updated => &mut self.updated,
            Outcome::There => &mut self.there,
        } += 1;
    }

    /// Names a record that the target does not take.
    pub(super) fn conflict(&mut self, realm: &Realm, id: KeyId, why: &str) {
        self.conflicts += 1;
        self.output.warn(&format!(
            "the record of the key {id} in the realm {realm} was not copied: {why}"
        ));
    }

    /// Names a record that the source cannot read.
    pub(super) fn unreadable(&mut self, unreadable: &Unreadable) {
        self.unreadable += 1;
        let failure = Failure::from(unreadable.error().clone());
        self.output.warn(&failure.message());
    }

    /// A line now and then, so that a long copy is seen to go on.
    pub(super) fn progress(&mut self, realm: &Realm) {
        let records = self.records();
        if records - self.told >= STRIDE {
            self.told = records;
            let text = format!("{records} records read; the last were of the realm {realm}");
            self.output.note(&text);
        }
    }

    fn records(&self) -> u64 {
        self.copied + self.updated + self.there + self.unreadable + self.conflicts
    }

    /// The counts, and whether all went well.
    pub(super) fn end(self, copied: Result<(), Failure>) -> Result<(), Failure> {
        let Self {
            copied: new,
            updated,
            described,
            there,
            unreadable,
            conflicts,
            ..
        } = self;
        if self.output.json {
            let counts = json!({
                "copied": new,
                "updated": updated,
                "described": described,
                "there": there,
                "unreadable": unreadable,
                "conflicts": conflicts,
            });
            let printed = print_json(&format!("{counts:#}\n"));
            if copied.is_ok() {
                printed?;
            }
        } else {
            let conflicts = match conflicts {
                1 => "1 conflict".to_owned(),
                _ => format!("{conflicts} conflicts"),
            };
            let described = match described {
                0 => String::new(),
                count => format!(" ({count} with another label or metadata)"),
            };
            tell(&format!(
                "{new} copied, {updated} updated{described}, {there} already there, {unreadable} unreadable, \
                 {conflicts}\n"
            ));
        }
        if let Err(failure) = copied {
            return Err(failure.advise(
                "some records were not copied; run the command again: it skips those that were",
            ));
        }
        match unreadable + conflicts {
            0 => Ok(()),
            1 => Err(Failure::new(
                Exit::Partial,
                "1 record was not copied; see the warning",
            )),
            count => Err(Failure::new(
                Exit::Partial,
                format!("{count} records were not copied; see the warnings"),
            )),
        }
    }
}
