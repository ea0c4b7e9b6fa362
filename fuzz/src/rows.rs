//! A row is a record with its authority, or none.

use tower_api_key::store::sql::{Column, ColumnType, ColumnValue, ReadColumns, Row};
use tower_api_key::store::{StoreError, StoreErrorKind};
use tower_api_key::{KeyRecord, Realm, Timestamp};

/// A value of a row: none is NULL.
type Value<'a> = Option<&'a str>;

struct Columns<'a> {
    values: [Value<'a>; Row::COLUMNS.len()],
    digest: Option<Vec<u8>>,
}

/// The error of a driver that finds another type in a column.
fn mistyped() -> StoreError {
    StoreError::from(StoreErrorKind::Corrupt)
}

impl<'a> ReadColumns<'a> for &'a Columns<'a> {
    type Error = StoreError;

    fn text(&self, place: usize) -> Result<Option<&'a str>, StoreError> {
        Ok(self.values[place])
    }

    fn integer(&self, place: usize) -> Result<Option<i64>, StoreError> {
        let number = self.values[place].map(str::parse).transpose();
        number.map_err(|_| mistyped())
    }

    fn blob(&self, _: usize) -> Result<Option<&'a [u8]>, StoreError> {
        Ok(self.digest.as_deref())
    }
}

/// A row of the table of keys: a line for each column in their order, in which `NULL` is NULL, and the digest has
/// hexadecimal digits.
///
/// If it is read as a record, then every column says what the record says, and the row that is written of the record is
/// read as the same record.
///
/// # Panics
///
/// If that does not hold.
pub fn rows(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text
        .split('\n')
        .map(|line| (line != "NULL").then_some(line));
    let values: [Value<'_>; Row::COLUMNS.len()] = std::array::from_fn(|_| lines.next().flatten());
    let columns = Columns {
        digest: values[1].map(bytes_of),
        values,
    };
    let realm = Realm::new("orders").unwrap();
    let Ok(record) = Row::read(&&columns, &realm) else {
        return;
    };
    says(&record, &columns);

    // What is written is read again.
    let row = Row::of(&record).expect("what is read can be written");
    let written = row.values();
    let texts: Vec<Option<String>> = written.iter().map(text_of).collect();
    let again = Columns {
        values: std::array::from_fn(|place| texts[place].as_deref()),
        digest: Some(record.digest().as_bytes().to_vec()),
    };
    for (value, Column { column_type, .. }) in written.iter().zip(Row::COLUMNS) {
        let written = match value {
            ColumnValue::Text(_) => ColumnType::Text,
            ColumnValue::Integer(_) => ColumnType::Integer,
            ColumnValue::Blob(_) => ColumnType::Blob,
        };
        assert_eq!(written, column_type);
    }
    let again = Row::read(&&again, &realm).expect("what is written can be read");
    assert_eq!(again, record);
}

/// The record has the authority of the row, and no more.
fn says(record: &KeyRecord, columns: &Columns<'_>) {
    let column = |name| {
        let place = Row::COLUMNS.iter().position(|it| it.name == name).unwrap();
        columns.values[place]
    };
    let time = |name| column(name).map(|it| Timestamp::from_unix(it.parse().unwrap()));
    let words = |name| column(name).unwrap_or_default().split(' ');
    assert_eq!(
        Some(record.digest().as_bytes().as_slice()),
        columns.digest.as_deref()
    );
    assert_eq!(Some(record.id().as_str()), column("id"));
    assert_eq!(Some(record.subject().as_str()), column("subject"));
    assert!(
        record
            .scopes()
            .iter()
            .all(|scope| words("scopes").any(|it| it == scope))
    );
    for caveat in words("caveats").filter(|it| !it.is_empty()) {
        assert!(record.caveats().is_superset(&caveat.parse().unwrap()));
    }
    assert_eq!(Some(record.not_before()), time("not_before"));
    assert_eq!(record.expires_at(), time("expires_at"));
    assert_eq!(record.grace_ends_at(), time("retire_at"));
    assert_eq!(record.revocation().map(|it| it.at), time("revoked_at"));
    assert_eq!(
        record.revocation().is_some(),
        column("revocation_reason").is_some()
    );
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter_map(|it| u8::try_from(char::from(it).to_digit(16)?).ok())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect()
}

fn text_of(value: &ColumnValue<'_>) -> Option<String> {
    match value {
        ColumnValue::Text(text) => text.map(str::to_owned),
        ColumnValue::Integer(number) => number.map(|it| it.to_string()),
        // The digest, which `Columns` has by itself.
        ColumnValue::Blob(_) => None,
    }
}
