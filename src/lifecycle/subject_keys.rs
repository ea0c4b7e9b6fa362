//! All keys of a subject, as a change expects them.

use std::sync::Arc;

use crate::access::realm::Realm;
use crate::access::subject::Subject;
use crate::key::KeyId;
use crate::record::KeyRecord;

/// The keys of a subject that a change was computed from: the store must find exactly these,
/// at these versions, among the subject's records that are not revoked.
///
/// It makes a limit on the keys of a subject hold, and a subject's revocation complete, while others
/// issue keys to the same subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKeys {
    realm: Realm,
    subject: Subject,
    keys: Vec<(KeyId, u64)>,
}

impl SubjectKeys {
    /// From the records of the subject. Those that are revoked do not count.
    pub fn new(realm: &Realm, subject: &Subject, records: &[Arc<KeyRecord>]) -> Self {
        let mut keys: Vec<_> = records
            .iter()
            .filter(|record| record.revocation().is_none())
            .map(|record| (record.id(), record.version()))
            .collect();
        keys.sort_unstable();
        Self {
            realm: realm.clone(),
            subject: subject.clone(),
            keys,
        }
    }

    /// The realm of the keys.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Whose keys they are.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The id and the version of each, in the order of the ids.
    pub fn keys(&self) -> &[(KeyId, u64)] {
        &self.keys
    }
}
