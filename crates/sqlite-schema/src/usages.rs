//! What keys were used for: rows of their own, which no verdict reads.

use tower_api_key::KeyId;
use tower_api_key::store::KeyUsage;

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

/// The same of the first `?4` keys from one id `?2` to another `?3`.
pub const SELECT_BETWEEN: &str = select!("key_id BETWEEN ?2 AND ?3 ORDER BY key_id LIMIT ?4");

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

/// Finds what is known of many keys, in few statements: if the rows of these keys are next to each other, it reads many
/// at a time, and if others are between them, it passes those over.
#[derive(Debug)]
pub struct Walk {
    /// In order, each with its place.
    ids: Vec<(KeyId, usize)>,
    /// The first that is not found yet.
    next: usize,
    most: usize,
    found: Vec<KeyUsage>,
}

impl Walk {
    const FIRST: usize = 64;
    const LEAST: usize = 2;
    const MOST: usize = 16_384;

    /// Of these keys, in any order.
    pub fn of(ids: &[KeyId]) -> Self {
        let mut ids: Vec<_> = ids.iter().copied().zip(0..).collect();
        ids.sort_unstable();
        Self {
            next: 0,
            most: Self::FIRST.min(ids.len()),
            found: vec![KeyUsage::new(); ids.len()],
            ids,
        }
    }

    /// The next [`SELECT_BETWEEN`]: the ids from which and to which it reads, and how many rows. `None` if all is found.
    pub fn next(&self) -> Option<(KeyId, KeyId, usize)> {
        let ((first, _), (last, _)) = (self.ids.get(self.next)?, self.ids.last()?);
        Some((*first, *last, self.most))
    }

    /// Takes the rows that it read, in order.
    pub fn take(&mut self, rows: &[(String, KeyUsage)]) {
        let mut asked_for = 0;
        for (row, usage) in rows {
            let ids = &self.ids[self.next..];
            self.next += ids.partition_point(|(id, _)| id.as_str() < row.as_str());
            while let Some((id, place)) = self.ids.get(self.next)
                && id.as_str() == row
            {
                self.found[*place] = usage.clone();
                self.next += 1;
                asked_for += 1;
            }
        }
        if rows.len() < self.most {
            self.next = self.ids.len();
        } else if asked_for * 2 > rows.len() {
            self.most = (self.most * 4).min(Self::MOST);
        } else {
            self.most = (self.most / 8).max(Self::LEAST);
        }
    }

    /// What is known of the keys, in the order in which they were given.
    pub fn found(self) -> Vec<KeyUsage> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tower_api_key::store::{KeyUsage, ScopeUse};
    use tower_api_key::{KeyId, Timestamp};

    use super::Walk;

    fn usage(number: u64) -> KeyUsage {
        let at = Timestamp::from_unix(number);
        KeyUsage::new().scope_use(ScopeUse::new(at, at, "read".parse().unwrap()))
    }

    /// How many statements and rows it takes to find what is known of these keys in a table.
    fn walk(asked: &[u64], table: &BTreeSet<u64>) -> (usize, usize) {
        let ids: Vec<KeyId> = asked.iter().map(|it| KeyId::from_number(*it)).collect();
        let (mut walk, mut statements, mut read) = (Walk::of(&ids), 0, 0);
        while let Some((first, last, most)) = walk.next() {
            let number = |id: KeyId| {
                (0..40_000)
                    .find(|it| KeyId::from_number(*it) == id)
                    .unwrap()
            };
            let rows = table.range(number(first)..=number(last)).take(most);
            let rows: Vec<_> = rows
                .map(|it| (KeyId::from_number(*it).to_string(), usage(*it)))
                .collect();
            walk.take(&rows);
            (statements, read) = (statements + 1, read + rows.len());
        }
        let due: Vec<KeyUsage> = asked
            .iter()
            .map(|it| {
                if table.contains(it) {
                    usage(*it)
                } else {
                    KeyUsage::new()
                }
            })
            .collect();
        assert_eq!(walk.found(), due);
        (statements, read)
    }

    #[test]
    fn a_walk_finds_each_key_and_reads_little_else() {
        let all: BTreeSet<u64> = (0..40_000).collect();
        let some: BTreeSet<u64> = (0..40_000).step_by(400).collect();
        let neighbours: Vec<u64> = (10_000..20_000).collect();
        let scattered: Vec<u64> = (0..40_000).rev().step_by(100).collect();
        for (asked, table, statements, rows) in [
            (&neighbours, &all, 6, 10_000),
            (&neighbours, &some, 12, 64),
            (&scattered, &all, 400, 1_000),
            (&scattered, &some, 60, 164),
            (&neighbours, &BTreeSet::new(), 1, 0),
            (&vec![], &all, 0, 0),
            (&vec![7, 3, 7, 50_000 - 20_000], &some, 2, 80),
            (&vec![400, 3, 400], &some, 3, 10),
        ] {
            let (did, read) = walk(asked, table);
            assert!(
                did <= statements && read <= rows,
                "{did} statements, {read} rows"
            );
        }
    }
}
