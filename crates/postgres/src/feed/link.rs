//! The connection over which a replica follows the database.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Error as SqlError;
use sqlx::postgres::PgConnection;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tower_api_key::store::{StoreError, StoreErrorKind};

use crate::authority::{Authority, now};
use crate::error::{MIGRATE, because, code, failed, in_time};
use crate::home::Seen;
use crate::record::column;
use crate::schema::{FEED, too_old};
use crate::tables::{SEEN, Tables, seen};

/// A connection that is being opened in a task of its own. It takes more round trips than a pull, so it goes on if a
/// caller gives up, and the next call has it. A replica on a slow link would otherwise never reach the database again.
pub(super) type Opening = oneshot::Receiver<Result<Link, StoreError>>;

/// A connection that is used by one call at a time, and given back only if the call succeeded. After an error, or if
/// the call is dropped, an answer may still be on its way, so the connection is closed.
pub(super) struct Link {
    pub(super) connection: PgConnection,
    pub(super) tables: Arc<Tables>,
    pub(super) age: Age,
    /// Whether the next pull asks first whether there are changes.
    pub(super) is_quiet: bool,
}

/// When a connection was opened, and how old it becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    opened_at: Duration,
    longest: Duration,
}

/// The oldest that a connection becomes. A new one shows whether the URL leads to another server by now, and whether the
/// triggers are in order.
const LONGEST: Duration = Duration::from_secs(30);

impl Age {
    /// Up to a tenth less than the longest: nodes that were started together would open theirs together ever after.
    fn of_new() -> Self {
        let chance = RandomState::new().build_hasher().finish() % 1024;
        let less = LONGEST / 10 / 1024 * u32::try_from(chance).unwrap_or(0);
        Self {
            opened_at: now(),
            longest: LONGEST.saturating_sub(less),
        }
    }

    /// Whether it is young enough, and no connection was opened since that closes all others.
    pub(super) fn counts(self, authority: &Authority) -> bool {
        let age = now().saturating_sub(self.opened_at);
        age < self.longest && authority.keeps(age)
    }
}

/// Whether the tables are those of the migration and in order, and whether they are at home.
const CHECK: &str = concat!(
    "/* tower-api-key feed */ SELECT ",
    seen!("feed"),
    ", (SELECT class.relpersistence @= 'u' FROM pg_catalog.pg_class AS class \
        WHERE class.oid @= '@literal.tower_api_key_incarnation'::pg_catalog.regclass), \
     (SELECT pg_catalog.count(*) @= 4 FROM pg_catalog.pg_trigger AS trigger \
        WHERE trigger.tgrelid @= '@literal.tower_api_keys'::pg_catalog.regclass \
        AND trigger.tgenabled @= 'A' AND trigger.tgname @= ANY (ARRAY[\
        'tower_api_keys_inserted', 'tower_api_keys_updated', 'tower_api_keys_deleted', \
        'tower_api_keys_truncated'])), \
     pg_catalog.pg_current_snapshot() IS NOT NULL, \
     EXISTS (SELECT FROM @.tower_api_key_feed AS feed, @.tower_api_key_incarnation \
        WHERE feed.home @= @.tower_api_key_home()), \
     (SELECT pg_catalog.count(*) FROM (SELECT FROM @.tower_api_key_changes LIMIT 1) AS changes)"
);

const INCARNATE: &str = "/* tower-api-key feed */ SELECT @.tower_api_key_incarnate()";

impl Link {
    /// Begins to open one, within the time that the store waits for connections.
    pub(super) fn begin(authority: &Arc<Authority>) -> Result<Opening, StoreError> {
        let Ok(runtime) = Handle::try_current() else {
            let advice = "follow in a Tokio runtime: this thread has none";
            return Err(because(StoreErrorKind::Unavailable, advice));
        };
        let authority = Arc::clone(authority);
        let (opened, opening) = oneshot::channel();
        drop(runtime.spawn(async move {
            // Nobody waits for it if the store is gone.
            let _ = opened.send(Self::open(&authority).await);
        }));
        Ok(opening)
    }

    async fn open(authority: &Authority) -> Result<Self, StoreError> {
        if authority.reads_any_server() {
            return Err(because(StoreErrorKind::ReadOnly, ANY_SERVER));
        }
        let age = Age::of_new();
        let (connection, home, tables) = authority.connection().await?;
        primary(home.seen)?;
        if home.version < FEED {
            return Err(too_old(home.version, FEED));
        }
        let mut link = Self {
            connection,
            tables,
            age,
            is_quiet: true,
        };
        in_time(authority.timeout(), link.check()).await?;
        Ok(link)
    }

    async fn check(&mut self) -> Result<(), StoreError> {
        let row = self.tables.query(CHECK).fetch_one(&mut self.connection);
        let row = row.await.map_err(|error| refused(&error))?;
        primary(Seen::of(&row, "feed")?.check()?)?;
        let is_unlogged: Option<bool> = column(&row, SEEN)?;
        let (has_triggers, has_snapshots): (bool, bool) =
            (column(&row, SEEN + 1)?, column(&row, SEEN + 2)?);
        if is_unlogged != Some(true) || !has_snapshots {
            return Err(because(StoreErrorKind::Schema, NOT_POSTGRES));
        }
        if !has_triggers {
            return Err(because(StoreErrorKind::Schema, TRIGGERS));
        }
        let is_at_home: bool = column(&row, SEEN + 3)?;
        if !is_at_home {
            let incarnate = self.tables.query(INCARNATE);
            let done = incarnate.execute(&mut self.connection).await;
            done.map_err(|error| refused(&error))?;
        }
        Ok(())
    }
}

const NOT_POSTGRES: &str = "use a Postgres server, or look-ups without a replica: this database has no unlogged tables or \
     no snapshots, so a replica could miss a revocation";

const ANY_SERVER: &str = "follow a store without danger_read_from_standby: if a replica is not fresh, it asks the \
     store, and a standby may not know yet what the replica does";

const TRIGGERS: &str = "enable the triggers of tower_api_keys (ALTER TABLE tower_api_keys ENABLE ALWAYS TRIGGER …): \
     tower_api_keys_inserted, _updated, _deleted or _truncated is missing or disabled, so a replica could \
     miss a revocation";

/// Refuses a standby: it shows transactions in another order than the primary, and cannot tell what it lacks.
pub(super) fn primary(seen: Seen) -> Result<(), StoreError> {
    if seen.is_in_recovery {
        let advice =
            "use the URL of the primary: this server is a standby, which a replica cannot follow";
        return Err(because(StoreErrorKind::ReadOnly, advice));
    }
    Ok(())
}

/// The failure of a statement of the feed.
pub(super) fn refused(error: &SqlError) -> StoreError {
    match code(error).as_deref() {
        Some("42501") => because(
            StoreErrorKind::ReadOnly,
            "grant the role SELECT on tower_api_keys, tower_api_key_changes, tower_api_key_feed and \
             tower_api_key_incarnation, and EXECUTE on tower_api_key_incarnate and tower_api_key_forget",
        ),
        Some("42883" | "42704") => because(StoreErrorKind::Schema, NOT_POSTGRES),
        Some("42P01" | "42703") => {
            let advice = format!("{MIGRATE}: the tables of the change feed are missing");
            because(StoreErrorKind::Schema, advice)
        }
        _ => failed(error),
    }
}
