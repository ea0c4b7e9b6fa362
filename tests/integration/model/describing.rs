//! The operation that changes label and metadata, and what it must leave as it is.

use proptest::prelude::*;
use tower_api_key::{Description, ErrorKind, KeyId, Label, Metadata};

use super::ledger::Authority;
use super::operations::At;
use super::run::Run;
use super::{Check, now};

/// The description of this number.
fn description(number: u8) -> Description {
    let new = Description::new();
    match number {
        0 => new,
        1 => new.label("laptop"),
        2 => new.no_label(),
        3 => new.metadata([("team", "blue")]),
        _ => new.label("desk").metadata(Metadata::none()),
    }
}

/// What it makes of a label and of metadata.
fn describe(number: u8, label: &mut Option<Label>, metadata: &mut Metadata) {
    match number {
        0 => {}
        1 => *label = Some("laptop".parse().unwrap()),
        2 => *label = None,
        3 => *metadata = Metadata::new([("team", "blue")]).unwrap(),
        _ => {
            *label = Some("desk".parse().unwrap());
            *metadata = Metadata::none();
        }
    }
}

impl Run<'_> {
    pub(super) fn describe(&mut self, at: At, number: u8) -> Check {
        let (key, id, ring) = self.resolve(at);
        let record = now(self.world.rings[ring].describe(id, description(number)));
        self.settle_the_rival()?;
        let before = self.authority(id);
        let commits = self.take_down(ring)?;
        let known = key.filter(|&key| self.reference.knows(ring, key));
        let known = known.ok_or(vec![ErrorKind::NotFound]);
        if let Some((record, key)) = self.agree("describe", record, known, commits)? {
            let parts = &mut self.reference.keys[key].parts;
            let old = (parts.label.clone(), parts.metadata.clone());
            describe(number, &mut parts.label, &mut parts.metadata);
            let is_changed = old != (parts.label.clone(), parts.metadata.clone());
            parts.version += u64::from(is_changed);
            prop_assert_eq!(&record.to_parts(), &*parts);
            prop_assert_eq!(
                commits,
                u64::from(is_changed),
                "a description is one commit, or none if it changes nothing"
            );
            let after = self.authority(id);
            prop_assert_eq!(before, after, "invariant 1: a description is no authority");
            if is_changed && record.revocation().is_some() {
                self.count("describe: a revoked key");
            }
        }
        Ok(())
    }

    fn authority(&self, id: KeyId) -> Option<Authority> {
        self.ledger.lines.get(&id)?.latest().cloned()
    }
}
