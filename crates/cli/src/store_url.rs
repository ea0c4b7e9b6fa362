//! Which store, and how it is opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tower_api_key::store::{KeyStore, StoreError};
use tower_api_key_file::FileStore;
use tower_api_key_postgres::PostgresStore;
use tower_api_key_sqlite::SqliteStore;

use crate::failure::Failure;
use crate::snapshot::Reading;

/// Where keys are. The URL of a Postgres server may hold a password, so there is no `Debug`.
pub(crate) enum StoreUrl {
    Sqlite(PathBuf),
    Postgres(String),
    File(PathBuf),
}

/// A store that states how old the records of its replicas may be.
pub(crate) enum Followed {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Followed {
    pub(crate) async fn staleness(&self) -> Result<Duration, StoreError> {
        match self {
            Self::Sqlite(store) => store.staleness().await,
            Self::Postgres(store) => store.staleness().await,
        }
    }

    pub(crate) async fn set_staleness(&self, staleness: Duration) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.set_staleness(staleness).await,
            Self::Postgres(store) => store.set_staleness(staleness).await,
        }
    }
}

impl FromStr for StoreUrl {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let path = |rest: &str| {
            // `sqlite:///var/keys.db`, as other tools write it.
            let path = rest.strip_prefix("//").unwrap_or(rest);
            (!path.is_empty()).then(|| PathBuf::from(path))
        };
        let url = match text.split_once(':') {
            Some(("sqlite", rest)) => path(rest).map(Self::Sqlite),
            Some(("file", rest)) => path(rest).map(Self::File),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Some(Self::Postgres(text.to_owned()))
            }
            _ => None,
        };
        url.ok_or_else(|| {
            Failure::usage(
                "invalid store; write sqlite:PATH, postgres://USER@HOST/DATABASE or file:PATH",
            )
        })
    }
}

impl StoreUrl {
    /// Opens a store that is there, with the schema of this program.
    pub(crate) async fn open(&self) -> Result<Arc<dyn KeyStore>, Failure> {
        Ok(match self {
            Self::Sqlite(path) => match SqliteStore::open_existing(path) {
                Ok(store) => Arc::new(store),
                Err(error) if path.exists() => return Err(error.into()),
                Err(error) => {
                    let advice = "use tower-api-key migrate to create it";
                    return Err(Failure::from(error).advise(advice));
                }
            },
            Self::Postgres(url) => Arc::new(PostgresStore::connect(url).await?),
            Self::File(path) => Arc::new(FileStore::options().unwatched().open(path)?),
        })
    }

    /// Opens a store that is only read: a SQLite store may be write-protected.
    pub(crate) async fn open_to_read(&self) -> Result<Reading, Failure> {
        match self {
            Self::Sqlite(path) if path.exists() => Reading::sqlite(path),
            _ => Ok(Reading::new(self.open().await?)),
        }
    }

    /// Refuses a store whose records only an editor changes.
    pub(crate) fn require_writable(&self) -> Result<(), Failure> {
        match self {
            Self::Sqlite(_) | Self::Postgres(_) => Ok(()),
            Self::File(_) => Err(Failure::usage(
                "a keys file cannot be the target of a copy, because it is edited by hand; copy \
                 to sqlite:PATH or postgres://USER@HOST/DATABASE",
            )),
        }
    }

    /// The file of a SQLite store, for what only such a store has.
    pub(crate) fn sqlite(&self) -> Result<&Path, Failure> {
        match self {
            Self::Sqlite(path) => Ok(path),
            Self::Postgres(_) => Err(Failure::usage(
                "backup and restore need a SQLite store; for Postgres, use copy, or pg_dump and \
                 pg_restore",
            )),
            Self::File(_) => Err(Failure::usage(
                "backup and restore need a SQLite store; copy a keys file like any other file",
            )),
        }
    }

    /// A store that replicas follow.
    pub(crate) async fn followed(&self) -> Result<Followed, Failure> {
        match self {
            Self::Sqlite(path) => Ok(Followed::Sqlite(SqliteStore::open_existing(path)?)),
            Self::Postgres(url) => Ok(Followed::Postgres(PostgresStore::connect(url).await?)),
            Self::File(_) => Err(Failure::usage(
                "a keys file has no staleness, because each service that reads it has all of it in memory; name \
                 a SQLite or Postgres store",
            )),
        }
    }

    /// Creates the store if there is none, and migrates it to the schema of this program.
    pub(crate) async fn migrate(&self) -> Result<(), Failure> {
        match self {
            Self::Sqlite(path) => SqliteStore::open(path).map(drop)?,
            Self::Postgres(url) => PostgresStore::migrate(url).await.map(drop)?,
            Self::File(_) => {
                return Err(Failure::usage(
                    "a keys file has no schema; use mint to make an entry, and paste it into the \
                     file",
                ));
            }
        }
        Ok(())
    }
}
