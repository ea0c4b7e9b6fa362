//! What an error of SQLite means for a store, and its remedy.

use std::borrow::Cow;

use tower_api_key::store::StoreErrorKind;

/// The result code of a lock that another connection holds.
const BUSY: i32 = 5;
/// The same, in a cache that connections share.
const LOCKED: i32 = 6;
/// The same, while a log is recovered.
const PROTOCOL: i32 = 15;

const FULL_ADVICE: &str = "the disk is full, so nothing was changed; free some space";

/// The remedy for a table that a statement does not find as it expects.
pub const SCHEMA_ADVICE: &str = "its table of keys differs from the one that this version of the \
                                 crate creates; restore the file from a backup";

/// The remedy for a row that is no record.
pub const ROW_ADVICE: &str = "a row is not a valid key record; restore the file from a backup";

/// The words for every other error.
pub const OTHER_ADVICE: &str = "SQLite failed; its message is the source";

/// Whether a repetition may help, by the extended result code.
pub const fn is_busy(code: i32) -> bool {
    matches!(code & 0xff, BUSY | LOCKED | PROTOCOL)
}

/// The kind of an error and its remedy, by the extended result code and the message of SQLite.
pub fn judge(code: i32, message: Option<&str>) -> (StoreErrorKind, Cow<'static, str>) {
    use StoreErrorKind::{Busy, Corrupt, ReadOnly, Schema, Unavailable};

    let (kind, advice) = match code & 0xff {
        _ if is_busy(code) => (
            Busy,
            "another process or connection held the lock for too long; let it end, and try again",
        ),
        8 => (
            ReadOnly,
            "the file or its directory is write-protected; make both writable for this \
             user, or open it to read only",
        ),
        11 => (Corrupt, "the file is damaged; restore it from a backup"),
        13 => (Unavailable, FULL_ADVICE),
        // No room for the index of the log, which even a reader needs (SQLITE_IOERR_SHMSIZE).
        10 if code == 10 | 19 << 8 => (Unavailable, FULL_ADVICE),
        14 => (
            Unavailable,
            "the file cannot be opened; check that it exists, and that this user may \
             write to it and its directory",
        ),
        17 => (Schema, SCHEMA_ADVICE),
        19 => {
            let message = message.unwrap_or("a constraint");
            let advice = format!("the database refuses this change: {message}");
            return (Unavailable, advice.into());
        }
        26 => (
            Corrupt,
            "this is not a SQLite database; name another file, or restore it from a backup",
        ),
        // The error of SQLite for a missing table or column.
        _ if code == 1 => (Schema, SCHEMA_ADVICE),
        _ => (Unavailable, OTHER_ADVICE),
    };
    (kind, advice.into())
}

/// The message of the trigger against replacements.
const TAKEN: &str = "api_keys: the id or the digest is taken";

/// Whether an insertion met a row of the same id or digest, by the constraint of the primary key, that of the id, or
/// the trigger against replacements.
pub fn is_taken(code: i32, message: Option<&str>) -> bool {
    const TRIGGER: i32 = 19 | 7 << 8;
    const PRIMARY_KEY: i32 = 19 | 6 << 8;
    const UNIQUE: i32 = 19 | 8 << 8;

    match code {
        PRIMARY_KEY | UNIQUE => true,
        TRIGGER => message == Some(TAKEN),
        _ => false,
    }
}
