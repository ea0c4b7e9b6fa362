//! The revocations of a broken store, within one step.

use std::sync::Arc;

use tower_api_key::store::{Ended, Revoked, Target};
use tower_api_key::{KeyId, KeyRecord, Realm, Revocation};

use super::fault::Fault;
use super::state::State;

impl State {
    /// The ids of the records that a revocation is about.
    pub(super) fn named(&self, realm: &Realm, target: &Target) -> Vec<KeyId> {
        let in_realm = |record: &&Arc<KeyRecord>| {
            self.fault == Fault::RevokesInEveryRealm || record.realm() == realm
        };
        let records = || self.keys.values().filter(in_realm);
        let named: Vec<KeyId> = match target {
            Target::Key(id) => vec![*id],
            Target::Lineage(id) if self.fault == Fault::RevokesTheNamedKeyAlone => vec![*id],
            Target::Lineage(id) => {
                let known = records().find(|record| record.id() == *id);
                if known.is_none() && self.fault == Fault::RevokesByMembersAlone {
                    return Vec::new();
                }
                let lineage = known.map_or(*id, |record| record.lineage());
                let of = records().filter(|record| record.lineage() == lineage);
                of.map(|record| record.id()).collect()
            }
            Target::Subject(subject) => {
                let folds = self.fault == Fault::RevokesSubjectsInAnyCase;
                let is_of = |record: &KeyRecord| {
                    record.subject() == subject
                        || (folds && record.subject().as_str().eq_ignore_ascii_case(subject))
                };
                let of = records().filter(|record| is_of(record));
                of.map(|record| record.id()).collect()
            }
        };
        let is_known = |id: &KeyId| records().any(|record| record.id() == *id);
        named.into_iter().filter(is_known).collect()
    }

    pub(super) fn end(&mut self, ids: &[KeyId], revocation: Revocation) -> Revoked {
        let mut ended = Vec::new();
        for id in ids {
            let Some(record) = self.keys.get(id) else {
                continue;
            };
            if record.revocation().is_some() && self.fault != Fault::RevokesTheRevokedAgain {
                continue;
            }
            let mut parts = record.to_parts();
            parts.revocation = Some(revocation);
            if self.fault != Fault::RevokesWithoutAVersion {
                parts.version = parts.version.saturating_add(1);
            }
            if self.fault == Fault::RevokesOtherFieldsToo {
                parts.expires_at = Some(revocation.at);
            }
            let subject = parts.subject.to_string();
            ended.push(Ended::new(Some(*id), Some(subject)));
            self.keys.insert(*id, Arc::new(parts.into()));
        }
        let found = match self.fault {
            Fault::RevokesWithoutFinding => !ended.is_empty(),
            _ => !ids.is_empty(),
        };
        if self.fault == Fault::RevokesSilently {
            ended.clear();
        }
        let mut revoked = Revoked::default();
        revoked.found = found;
        revoked.ended = ended;
        revoked
    }
}
