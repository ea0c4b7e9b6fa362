//! Revocations: statements that read an id, a lineage or a subject as they are, and parse nothing.

use tower_api_key::store::Target;

/// The statements of one kind of target. `?1` is the realm, `?2` the target's id or subject.
#[derive(Debug, Clone, Copy)]
pub struct Statements {
    /// Revokes at `?3` because of `?4`, and returns id and subject of each key that it ended.
    pub end: &'static str,
    /// Whether there is any such key.
    pub exists: &'static str,
}

macro_rules! statements {
    ($condition:literal) => {
        Statements {
            // The version rises by one, unless there is no higher one.
            end: concat!(
                "UPDATE main.api_keys SET revoked_at = ?3, revocation_reason = ?4, version = \
                 CASE WHEN version < 1 THEN 1 \
                 WHEN version < 9223372036854775807 THEN version + 1 ELSE version END \
                 WHERE revoked_at IS NULL AND ",
                $condition,
                " RETURNING id, subject"
            ),
            exists: concat!(
                "SELECT EXISTS (SELECT 1 FROM main.api_keys WHERE ",
                $condition,
                ")"
            ),
        }
    };
}

const BY_ID: Statements = statements!("realm = ?1 AND id = ?2");
/// The `+` keeps SQLite from the index of subjects, which begins with the realm.
const BY_LINEAGE: Statements = statements!(
    "+realm = ?1 AND lineage = \
     coalesce((SELECT lineage FROM main.api_keys WHERE realm = ?1 AND id = ?2), ?2)"
);
const BY_SUBJECT: Statements = statements!("realm = ?1 AND subject = ?2");

impl Statements {
    /// The statements of a target, with its id or subject.
    pub fn of(target: &Target) -> (Self, &str) {
        match target {
            Target::Key(id) => (BY_ID, id.as_str()),
            Target::Lineage(id) => (BY_LINEAGE, id.as_str()),
            Target::Subject(subject) => (BY_SUBJECT, subject.as_str()),
        }
    }
}
