//! How many keys a subject has.

/// Up to this many keys of a subject are counted each time. Most subjects have fewer.
pub const FEW: usize = 32;

/// The number that is kept for a realm `?1` and a subject `?2`, and the time at which it was counted. It may be too high,
/// and never is too low for a later time.
pub const KEPT: &str =
    "SELECT counted_at, keys FROM main.api_key_subjects WHERE realm = ?1 AND subject = ?2";

/// Keeps a number: realm, subject, time, number.
pub const KEEP: &str = "INSERT OR REPLACE INTO main.api_key_subjects (realm, subject, counted_at, keys) \
     VALUES (?1, ?2, ?3, ?4)";

/// Forgets the number of a realm `?1` and a subject `?2`.
pub const FORGET: &str = "DELETE FROM main.api_key_subjects WHERE realm = ?1 AND subject = ?2";

/// The lineages of the keys of a realm `?1` and a subject `?2` that have not ended by `?3`. It is in two parts, so that
/// keys that have expired are not read.
pub const LIVING: &str = "SELECT lineage FROM main.api_keys \
     WHERE realm = ?1 AND subject = ?2 AND revoked_at IS NULL \
     AND expires_at IS NULL AND (retire_at IS NULL OR retire_at > ?3) \
     UNION ALL SELECT lineage FROM main.api_keys \
     WHERE realm = ?1 AND subject = ?2 AND revoked_at IS NULL \
     AND expires_at > ?3 AND (retire_at IS NULL OR retire_at > ?3)";
