//! Opening a file.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key_sqlite_schema::schema::{MIGRATIONS, VERSION};

use super::failure::is_busy;
use super::place::Place;
use super::read;
use super::schema::{migrate, require_intact, require_newest, version};

/// A pause between two attempts to switch to the write-ahead log, for which SQLite does not wait
/// by itself.
const PAUSE: Duration = Duration::from_millis(5);

/// The permitted changes to the file when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It is created if there is none, and migrated to the newest schema.
    Create,
    /// It is there, with the newest schema.
    Existing,
    /// It is there, with the newest schema, and stays as it is.
    ReadOnly,
}

/// The connection that writes, with the schema in place.
pub(super) fn writer(
    place: &Place,
    real: &Path,
    access: Access,
    synchronous: &str,
) -> Result<Connection, StoreError> {
    let write_protected = || {
        place.error(
            StoreErrorKind::ReadOnly,
            "the file is write-protected; make it writable for this user, or open it to read only",
        )
    };
    if is_write_protected(real) {
        return Err(write_protected());
    }
    let mut connection = open(place, real, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let fail = |error| place.sqlite(error);
    connection.busy_timeout(place.busy_timeout).map_err(fail)?;
    // The version first: the file of another application is left as it is.
    let version = version(&connection, place)?;
    if is_read_only(&connection, version) {
        return Err(write_protected());
    }
    connection.busy_timeout(place.busy_timeout).map_err(fail)?;
    if access == Access::Create {
        use_write_ahead_log(&connection, place)?;
        if version < VERSION {
            migrate(&mut connection, place, &MIGRATIONS)?;
        }
    } else {
        require_newest(version, place)?;
        // A backup that was put in the place of the file has none.
        use_write_ahead_log(&connection, place)?;
    }
    require_intact(&connection, place)?;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON;"
        ))
        .map_err(fail)?;
    Ok(connection)
}

/// Whether this user may not write to the file. SQLite would still open it, and make an index of the log
/// that belongs to this user, which the owner of the file may then not write to.
#[cfg(target_os = "linux")]
fn is_write_protected(real: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use rustix::io::Errno;

    let access = accessat(CWD, real, Access::WRITE_OK, AtFlags::EACCESS);
    matches!(access, Err(Errno::ACCESS | Errno::ROFS))
}

#[cfg(not(target_os = "linux"))]
fn is_write_protected(_: &Path) -> bool {
    false
}

/// Whether SQLite opened the file read-only, which it does silently if the file is write-protected. It
/// then refuses the first write, before it checks any lock, and that write changes nothing here. (The
/// versions of `rusqlite` that other crates need differ in how they ask.)
fn is_read_only(connection: &Connection, version: i64) -> bool {
    let written = connection.busy_timeout(Duration::ZERO).and_then(|()| {
        connection.execute_batch(&format!("BEGIN; PRAGMA user_version = {version}"))
    });
    // There is nothing to undo if it did not begin.
    let _ = connection.execute_batch("ROLLBACK");
    written.is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::ReadOnly))
}

/// A connection that reads, and waits this long for a lock.
pub(super) fn reader(place: &Place, real: &Path, wait: Duration) -> Result<Connection, StoreError> {
    let connection = open(place, real, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .busy_timeout(place.busy_timeout)
        .map_err(|error| place.sqlite(error))?;
    require_newest(version(&connection, place)?, place)?;
    // The statements of look-ups are prepared for the schema that was checked. If SQLite prepares one
    // again, it is checked again.
    let reading = connection
        .unchecked_transaction()
        .map_err(|error| place.sqlite(error))?;
    require_intact(&reading, place)?;
    read::prepare(&reading).map_err(|error| place.sqlite(error))?;
    drop(reading);
    connection
        .execute_batch("PRAGMA query_only = ON;")
        .and_then(|()| connection.busy_timeout(wait))
        .map_err(|error| place.sqlite(error))?;
    Ok(connection)
}

/// A connection that reads a file to copy it, of this schema or an earlier one.
pub(super) fn older_reader(place: &Place, real: &Path) -> Result<Connection, StoreError> {
    let connection = open(place, real, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .busy_timeout(place.busy_timeout)
        .map_err(|error| place.sqlite(error))?;
    if version(&connection, place)? == 0 {
        return Err(place.error(
            StoreErrorKind::Schema,
            "the file has no keys, so it is not a backup; name another file",
        ));
    }
    Ok(connection)
}

/// The file, readable by its owner alone: a digest is no secret key, but it is private.
pub(super) fn create(place: &Place) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&place.path) {
        Ok(_) => Ok(()),
        // An existing file is opened as it is.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound => place.error(
                StoreErrorKind::Unavailable,
                "its directory does not exist; create it first",
            ),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => place.error(
                StoreErrorKind::ReadOnly,
                "its directory is write-protected; make it writable for this user",
            ),
            _ => place.io("cannot create", error),
        }),
    }
}

fn open(place: &Place, real: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    if let Err(error) = missing(real) {
        return Err(match error {
            Missing::File => place.error(
                StoreErrorKind::Unavailable,
                "there is no such file; check the name, or create the store first",
            ),
            Missing::IsDirectory => place.error(
                StoreErrorKind::Unavailable,
                "this is a directory; name a file in it",
            ),
        });
    }
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    Connection::open_with_flags(real, flags).map_err(|error| place.sqlite(error))
}

enum Missing {
    File,
    IsDirectory,
}

fn missing(path: &Path) -> Result<(), Missing> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(Missing::IsDirectory),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Missing::File),
        // SQLite reports any other error.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Readers then never wait for a writer. The file remembers it, so this waits only at the first opening,
/// and no longer than the store waits for a lock.
fn use_write_ahead_log(connection: &Connection, place: &Place) -> Result<(), StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        let mode: Result<String, _> =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {
                return Err(place.error(
                    StoreErrorKind::Unavailable,
                    "there is no write-ahead log on this file system; put the file on a local disk",
                ));
            }
            Err(error) if is_busy(&error) && waited < place.busy_timeout => {
                thread::sleep(PAUSE);
                waited += PAUSE;
            }
            Err(error) => return Err(place.sqlite(error)),
        }
    }
}
