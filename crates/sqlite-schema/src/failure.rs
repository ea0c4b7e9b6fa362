//! What an error of SQLite means for a store, and its remedy.

use std::borrow::Cow;

use tower_api_key::store::StoreErrorKind;

// Result codes of SQLite.
const ERROR: i32 = 1;
const BUSY: i32 = 5;
/// In a cache that connections share.
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
/// While a log is recovered.
const PROTOCOL: i32 = 15;
const SCHEMA: i32 = 17;
const CONSTRAINT: i32 = 19;
const NOTADB: i32 = 26;

// Extended ones.
const IOERR_SHMSIZE: i32 = IOERR + (19 << 8);
const CONSTRAINT_PRIMARYKEY: i32 = CONSTRAINT + (6 << 8);
const CONSTRAINT_TRIGGER: i32 = CONSTRAINT + (7 << 8);
const CONSTRAINT_UNIQUE: i32 = CONSTRAINT + (8 << 8);

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
        READONLY => (
            ReadOnly,
            "the file or its directory is write-protected; make both writable for this \
             user, or open it to read only",
        ),
        CORRUPT => (Corrupt, "the file is damaged; restore it from a backup"),
        FULL => (Unavailable, FULL_ADVICE),
        // No room for the index of the log, which even a reader needs.
        IOERR if code == IOERR_SHMSIZE => (Unavailable, FULL_ADVICE),
        CANTOPEN => (
            Unavailable,
            "the file cannot be opened; check that it exists, and that this user may \
             write to it and its directory",
        ),
        SCHEMA => (Schema, SCHEMA_ADVICE),
        CONSTRAINT => {
            let message = message.unwrap_or("a constraint");
            let advice = format!("the database refuses this change: {message}");
            return (Unavailable, advice.into());
        }
        NOTADB => (
            Corrupt,
            "this is not a SQLite database; name another file, or restore it from a backup",
        ),
        // The error of SQLite for a missing table or column.
        ERROR if code == ERROR => (Schema, SCHEMA_ADVICE),
        _ => (Unavailable, OTHER_ADVICE),
    };
    (kind, advice.into())
}

/// The message of the trigger against replacements.
const TAKEN: &str = "api_keys: the id or the digest is taken";

/// Whether an insertion met a row of the same id or digest, by the constraint of the primary key, that of the id, or
/// the trigger against replacements.
pub fn is_taken(code: i32, message: Option<&str>) -> bool {
    match code {
        CONSTRAINT_PRIMARYKEY | CONSTRAINT_UNIQUE => true,
        CONSTRAINT_TRIGGER => message == Some(TAKEN),
        _ => false,
    }
}
