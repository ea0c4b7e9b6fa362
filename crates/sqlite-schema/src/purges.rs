//! The removal of records that ended, in steps that let others write.

use std::time::Duration;

/// How many records a step removes: no commit waits for more than that, tenths of a second in a large
/// file. A smaller step takes little less, because its records too are spread over the file.
pub const AT_ONCE: usize = 5_000;

/// The rest between two steps. The lock of SQLite has no queue: another process that waits for it checks
/// after pauses of up to 100 ms, and would hardly find it free between a commit and the next step.
pub const REST: Duration = Duration::from_millis(120);

/// Removes at most `?3` records of a realm `?1` that ended by `?2`, by the index of how keys end, which holds all that
/// ended in four places.
pub const DELETE: &str = "DELETE FROM main.api_keys WHERE digest IN (SELECT digest FROM (
    SELECT digest FROM main.api_keys WHERE realm = ?1 AND revoked_at <= ?2
    UNION ALL SELECT digest FROM main.api_keys
        WHERE realm = ?1 AND revoked_at IS NULL AND retire_at IS NULL AND expires_at <= ?2
    UNION ALL SELECT digest FROM main.api_keys
        WHERE realm = ?1 AND revoked_at IS NULL AND retire_at <= ?2
    UNION ALL SELECT digest FROM main.api_keys
        WHERE realm = ?1 AND revoked_at IS NULL AND retire_at > ?2 AND expires_at + 0 <= ?2
) LIMIT ?3)";
