//! What keys were used for: rows of their own, which no verdict reads.

/// From this many keys in their order on, the rows between the first and the last are read in one go.
pub const MANY: usize = 500;

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT scopes, scopes_first, scopes_last, networks, networks_first, \
             networks_further, key_id FROM main.api_key_usage WHERE realm = ?1 AND ",
            $condition
        )
    };
}

/// What is known of a key: of this realm `?1` and this id `?2`.
pub const SELECT: &str = select!("key_id = ?2");

/// The same of the keys from one id `?2` to another `?3`.
pub const SELECT_BETWEEN: &str = select!("key_id BETWEEN ?2 AND ?3");

/// A row if there is a key of this id `?1` in this realm `?2`.
pub const IS_THERE: &str = "SELECT 1 FROM main.api_keys WHERE id = ?1 AND realm = ?2";

/// Writes what is known: the realm, the id, and the columns of a row of usage in their order.
pub const PUT: &str = "INSERT INTO main.api_key_usage (realm, key_id, scopes, scopes_first, \
     scopes_last, networks, networks_first, networks_further) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
     ON CONFLICT (realm, key_id) DO UPDATE SET scopes = excluded.scopes, \
     scopes_first = excluded.scopes_first, scopes_last = excluded.scopes_last, \
     networks = excluded.networks, networks_first = excluded.networks_first, \
     networks_further = excluded.networks_further";
