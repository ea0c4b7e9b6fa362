//! An invalid key record is not accepted, and an existing one is an error.

use rusqlite::Connection;
use tower_api_key::store::StoreErrorKind;
use tower_api_key::{KeyDigest, Realm};
use tower_api_key_sqlite::SqliteStore;

use super::found;
use super::triggers::{KEY, database};
use tower_api_key_test_support::folder::Folder;
use tower_api_key_test_support::sqlite::unguarded;

/// Parts of [`KEY`], and values that no column accepts instead of them.
const BAD: &[(&str, &[&str])] = &[
    (
        "'AAAAAAAAAAAA', 'orders'",
        &[
            "'AAAAAAAAAAA', 'orders'",
            "'AAAAAAAAAAAAA', 'orders'",
            "'AAAAAAAAAAA_', 'orders'",
            "'', 'orders'",
            "NULL, 'orders'",
            "'AAAAAAAAAAAA', ''",
            "'AAAAAAAAAAAA', NULL",
        ],
    ),
    (
        "zeroblob(32)",
        &["zeroblob(31)", "zeroblob(33)", "NULL", "printf('%032d', 0)"],
    ),
    (
        "zeroblob(32), 1,",
        &["zeroblob(32), -1,", "zeroblob(32), 4294967296,"],
    ),
    ("'alice'", &["''", "NULL", "printf('%0257d', 0)", "x'61'"]),
    (
        "'read write'",
        &[
            "NULL",
            "' read'",
            "'read '",
            "'read  write'",
            "'read\"write'",
            "'read\\write'",
            "'read' || char(10)",
            "'read' || char(127)",
            "'caf' || char(233)",
        ],
    ),
    (
        "100, 100, 500, 400",
        &[
            "-1, 100, 500, 400",
            "100, -1, 500, 400",
            "100, 100, -1, 400",
            "100, 100, 500, -1",
            "NULL, 100, 500, 400",
            "100, NULL, 500, 400",
            "100, 100, 'never', 400",
            "100, 100, 500.5, 400",
        ],
    ),
    (
        "'AAAAAAAAAAAA', 1, 3",
        &[
            "'AAAA', 1, 3",
            "'AAAAAAAAAAAA', -1, 3",
            "'AAAAAAAAAAAA', 1, 0",
        ],
    ),
    ("'{}'", &["NULL", "''", "'[]'", "'null'", "'{'"]),
    ("200)", &["-1)"]),
];

#[test]
fn what_is_no_key_is_not_let_in() {
    let folder = Folder::new();
    let connection = database(&folder, &[]);
    let mut tried = 0;
    for (part, others) in BAD {
        for other in *others {
            let statement = KEY.replacen(part, other, 1);
            assert_ne!(statement, KEY, "{part}");
            let error = connection.execute(&statement, []).expect_err(other);
            assert_eq!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::ConstraintViolation),
                "{other}: {error}"
            );
            tried += 1;
        }
    }
    for (at, reason) in [
        ("300", "NULL"),
        ("NULL", "'superseded'"),
        ("300", "'bored'"),
        ("-1", "'superseded'"),
    ] {
        let statement = KEY
            .replace("label,", "revoked_at, revocation_reason, label,")
            .replace("'laptop'", &format!("{at}, {reason}, 'laptop'"));
        let error = connection.execute(&statement, []).expect_err(reason);
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ConstraintViolation),
            "{at} {reason}: {error}"
        );
        tried += 1;
    }
    assert_eq!(tried, 47);
    let count: i64 = connection
        .query_row("SELECT count(*) FROM api_keys", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 0);
    connection.execute(KEY, []).unwrap();
}

/// If the constraints are turned off, the answer is a 503, and not a pass.
#[tokio::test]
async fn r20_a_row_that_is_no_record_is_an_error() {
    for (part, other, column) in [
        ("'AAAAAAAAAAAA', 'orders'", "'AAAA', 'orders'", "id"),
        ("'read write'", "'read\"write'", "scopes"),
        ("100, 100, 500, 400", "100, 100, -500, 400", "expires_at"),
        (
            "'AAAAAAAAAAAA', 1, 3",
            "'AAAAAAAAAAAA', -1, 3",
            "generation",
        ),
        ("'{}'", "'[]'", "metadata"),
    ] {
        let folder = Folder::new();
        let path = folder.keys();
        let store = SqliteStore::open(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        unguarded(&connection, || {
            let row = KEY.replacen(part, other, 1);
            connection.execute(&row, []).unwrap();
        });
        let realm = Realm::new("orders").unwrap();
        let digest = KeyDigest::from_bytes([0; 32]);
        let error = found(&store, &realm, &digest).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{column}");
        let source = std::error::Error::source(&error).unwrap();
        let text = format!("the column {column} cannot hold or be this value");
        if column == "id" {
            assert_eq!(source.to_string(), text);
            continue;
        }
        assert_eq!(
            source.to_string(),
            "the record of the key AAAAAAAAAAAA cannot be read; revoke the key, or restore the record"
        );
        // The damage has been reported.
        assert_eq!(source.source().unwrap().to_string(), text);
    }
}
