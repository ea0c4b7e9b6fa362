//! Notices of keys that expire soon: how they are claimed.

use std::fmt::Write as _;

use tower_api_key::store::ExpiryLadder;

/// The keys that are due: `?1` is the realm, `?2` the time, `?3` how many. There is one descent in the index for each claim
/// that some key has, and each finds the keys of its claim whose expiry is within the next step. `CROSS JOIN` keeps
/// SQLite from another order.
const DUE: &str = "told (step) AS (
    SELECT 0
    UNION ALL
    SELECT (SELECT coalesce(noticed_step, 9223372036854775807) FROM main.api_keys
        WHERE realm = ?1 AND revoked_at IS NULL AND retire_at IS NULL AND expires_at IS NOT NULL
            AND coalesce(noticed_step, 9223372036854775807) > told.step
        ORDER BY coalesce(noticed_step, 9223372036854775807) LIMIT 1)
    FROM told WHERE told.step IS NOT NULL
), due (digest, step) AS (
    SELECT keys.digest, (SELECT min(step) FROM ladder WHERE keys.expires_at - ladder.step <= ?2)
    FROM told CROSS JOIN main.api_keys AS keys
    WHERE keys.realm = ?1 AND keys.revoked_at IS NULL AND keys.retire_at IS NULL
        AND coalesce(keys.noticed_step, 9223372036854775807) = told.step
        AND keys.expires_at > ?2
        AND keys.expires_at <= ?2 + (SELECT max(step) FROM ladder WHERE ladder.step < told.step)
    LIMIT ?3
)";

/// The statements of a ladder.
#[derive(Debug, Clone)]
pub struct Notices {
    /// Whether a key is due.
    pub is_due: String,
    /// Claims what is due, and returns id, subject, expiry, time of issue and step of each key.
    pub claim: String,
}

impl Notices {
    /// `None` without steps.
    pub fn new(ladder: &ExpiryLadder) -> Option<Self> {
        let mut steps = String::new();
        for step in ladder.steps() {
            let separator = if steps.is_empty() { "" } else { ", " };
            // Writing to a `String` cannot fail.
            let _ = write!(steps, "{separator}({})", step.as_secs());
        }
        let with = format!("WITH RECURSIVE ladder (step) AS (VALUES {steps}), {DUE}");
        (!steps.is_empty()).then(|| Self {
            is_due: format!("{with} SELECT EXISTS (SELECT 1 FROM due)"),
            claim: format!(
                "{with} UPDATE main.api_keys AS keys SET noticed_step = due.step FROM due \
                 WHERE keys.digest = due.digest RETURNING id, subject, expires_at, issued_at, noticed_step"
            ),
        })
    }
}
