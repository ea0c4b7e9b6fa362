//! Positions in a history of Postgres.

use std::fmt;

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use tower_api_key::replica::Position;

/// Which history of which database: after a failover, a crash or a restored dump it is another one, in which the
/// numbers of transactions mean something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    /// Of the unlogged table.
    pub(super) token: String,
    /// When the server was started, in microseconds since the Unix epoch.
    pub(super) started_at: i64,
    pub(super) epoch: i64,
    pub(super) home: String,
}

/// A snapshot in a history. The transactions that it does not show are those from `xmax` on, and those in
/// progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) history: History,
    pub(super) snapshot: Snapshot,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// All transactions before it are visible, or were rolled back.
    pub(super) xmin: u64,
    pub(super) xmax: u64,
    pub(super) in_progress: Vec<u64>,
}

impl Place {
    /// Reads a position that this feed wrote. `None`: it is that of another feed.
    pub(super) fn read(position: &Position) -> Option<Self> {
        let mut words = position.as_str().split(' ');
        let place = Self {
            snapshot: Snapshot::read(words.next()?)?,
            history: History {
                token: words.next()?.to_owned(),
                started_at: words.next()?.parse().ok()?,
                epoch: words.next()?.parse().ok()?,
                home: words.next()?.to_owned(),
            },
        };
        words.next().is_none().then_some(place)
    }

    pub(super) fn position(&self) -> Position {
        Position::new(self.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let History {
            token,
            started_at,
            epoch,
            home,
        } = &self.history;
        write!(f, "{} {token} {started_at} {epoch} {home}", self.snapshot)
    }
}

impl Snapshot {
    /// Reads the text of a `pg_snapshot`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (xmin, xmax) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let in_progress = parts.next()?;
        if parts.next().is_some() {
            return None;
        }
        let numbers = in_progress.split(',').filter(|number| !number.is_empty());
        let in_progress = numbers.map(|number| number.parse().ok());
        Some(Self {
            xmin,
            xmax,
            in_progress: in_progress.collect::<Option<_>>()?,
        })
    }

    /// Binds what a statement for the changes since then begins with.
    pub(super) fn bind<'q>(
        &self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        let in_progress = self.in_progress.iter().map(u64::to_string);
        let in_progress: Vec<String> = in_progress.collect();
        let query = query.bind(self.xmax.to_string()).bind(in_progress);
        query.bind(self.xmin.to_string())
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (place, number) in self.in_progress.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Position};

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for snapshot in ["3:3:", "3:9:3", "3:18446744073709551615:3,4,7"] {
            let text = format!("{snapshot} 0f-1 1700000000000000 12 77/5/16390");
            let place = Place::read(&Position::new(text.clone())).unwrap();
            assert_eq!(place.position().as_str(), text);
        }
    }

    #[test]
    fn a_position_of_another_feed_is_not_read() {
        for text in [
            "",
            "7",
            "3:9 t 1 2 h",
            "3:9:x t 1 2 h",
            "3:9::1 t 1 2 h",
            "-3:9: t 1 2 h",
            "3:9: t 1 h",
            "3:9: t 1 2 h more",
        ] {
            assert_eq!(Place::read(&Position::new(text)), None, "{text}");
        }
    }
}
