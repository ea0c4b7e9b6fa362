//! Records as rows of an SQL table: the columns, and both directions.

mod column;
mod column_type;
mod column_value;
mod read_columns;
mod times;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use column::Column;
pub use column_type::ColumnType;
pub use column_value::ColumnValue;
pub use read_columns::ReadColumns;
pub use times::{column_time, moment, revocation_time};

use super::last_scopes::scopes_of_row;
use super::unfit::{beyond, unfit, unfit_because, unreadable};
use super::{KeyRecord, KeyRecordParts, Revocation};
use crate::access::label::Label;
use crate::access::metadata::Metadata;
use crate::access::realm::Realm;
use crate::error::Error;
use crate::error::store::StoreError;
use crate::key::KeyPrefix;
use crate::key::digest::KeyDigest;
use crate::time::Timestamp;

/// A record as a row of a table, for a store in SQL. Needs the feature `sql`.
///
/// The realm is not among the columns. It is a condition of every query, and a store writes it by itself.
///
/// ```
/// use tower_api_key::store::sql::{Column, ColumnType, Row};
///
/// let columns = Row::COLUMNS.map(|Column { name, .. }| name);
/// assert_eq!(columns.join(", "), Row::NAMES);
/// assert_eq!(columns[..2], ["id", "digest"]);
/// assert_eq!(Row::COLUMNS[1].column_type, ColumnType::Blob);
/// ```
///
/// To write, bind the [`values`](Self::values) of a row in the order of [`COLUMNS`](Self::COLUMNS). To read,
/// select [`NAMES`](Self::NAMES), implement [`ReadColumns`] for the row of the driver, and call
/// [`read`](Self::read). A new field of a record is then a migration in the store, and nothing else.
#[derive(Debug)]
pub struct Row<'a> {
    id: &'a str,
    digest: &'a [u8],
    pepper_version: Option<i64>,
    subject: &'a str,
    scopes: &'a str,
    issued_at: i64,
    not_before: i64,
    expires_at: Option<i64>,
    retire_at: Option<i64>,
    lineage: &'a str,
    generation: i64,
    version: i64,
    revoked_at: Option<i64>,
    revocation_reason: Option<&'a str>,
    label: Option<&'a str>,
    /// A JSON object of texts.
    metadata: Cow<'a, str>,
    prefix: Option<&'a str>,
    caveats: &'a str,
}

const NO_METADATA: &str = "{}";
/// How many columns a row has.
const WIDTH: usize = 18;

/// The columns of a row by name and type, once for their names and once for the rest.
macro_rules! columns {
    ($first:literal $first_type:ident $(, $name:literal $type:ident)*) => {
        /// The names of the columns in their order, as a statement lists them.
        pub const NAMES: &'static str = concat!($first $(, ", ", $name)*);

        /// The columns in their order.
        pub const COLUMNS: [Column; WIDTH] = [
            Column { name: $first, column_type: ColumnType::$first_type }
            $(, Column { name: $name, column_type: ColumnType::$type })*
        ];
    };
}

impl<'a> Row<'a> {
    columns! {
        "id" Text,
        "digest" Blob,
        "pepper_version" Integer,
        "subject" Text,
        "scopes" Text,
        "issued_at" Integer,
        "not_before" Integer,
        "expires_at" Integer,
        "retire_at" Integer,
        "lineage" Text,
        "generation" Integer,
        "version" Integer,
        "revoked_at" Integer,
        "revocation_reason" Text,
        "label" Text,
        "metadata" Text,
        "prefix" Text,
        "caveats" Text
    }

    /// The row of a record.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::store::StoreErrorKind::Unavailable) for a number or a time that no column holds. The time of
    /// a revocation is none: a later one becomes the last that a column holds, because refusing it would
    /// keep the key alive.
    pub fn of(record: &'a KeyRecord) -> Result<Self, StoreError> {
        let time = |at: Option<Timestamp>| at.map(column_time).transpose();
        let revocation = record.revocation();
        Ok(Self {
            id: record.id.as_str(),
            digest: record.digest.as_bytes(),
            pepper_version: record.pepper_version().map(i64::from),
            subject: record.subject().as_str(),
            scopes: record.scopes.as_str(),
            issued_at: column_time(record.issued_at())?,
            not_before: column_time(record.not_before)?,
            expires_at: time(record.expires_at())?,
            retire_at: time(record.grace_ends_at())?,
            lineage: record.lineage_text(),
            generation: i64::from(record.generation()),
            version: i64::try_from(record.version()).map_err(|_| beyond("version"))?,
            revoked_at: revocation.map(|revocation| revocation_time(revocation.at)),
            revocation_reason: revocation.map(|revocation| revocation.reason.as_str()),
            label: record.label().map(Label::as_str),
            metadata: column_metadata(record.metadata())?,
            prefix: record.prefix().map(KeyPrefix::as_str),
            caveats: record.caveats().as_str(),
        })
    }

    /// The values of the columns, in the order of [`COLUMNS`](Self::COLUMNS).
    pub fn values(&self) -> [ColumnValue<'_>; WIDTH] {
        use ColumnValue::{Blob, Integer, Text};
        [
            Text(Some(self.id)),
            Blob(self.digest),
            Integer(self.pepper_version),
            Text(Some(self.subject)),
            Text(Some(self.scopes)),
            Integer(Some(self.issued_at)),
            Integer(Some(self.not_before)),
            Integer(self.expires_at),
            Integer(self.retire_at),
            Text(Some(self.lineage)),
            Integer(Some(self.generation)),
            Integer(Some(self.version)),
            Integer(self.revoked_at),
            Text(self.revocation_reason),
            Text(self.label),
            Text(Some(&self.metadata)),
            Text(self.prefix),
            Text(Some(self.caveats)),
        ]
    }

    /// Reads a record of this realm from a row that a driver has read.
    ///
    /// # Errors
    ///
    /// The error of the driver, or [`Corrupt`](crate::store::StoreErrorKind::Corrupt) if another program has changed the
    /// row so that it is no record. The error then [names the key](unreadable), and the result is never a
    /// record.
    #[inline]
    pub fn read<C: ReadColumns<'a>>(
        columns: &C,
        realm: &Realm,
    ) -> Result<Arc<KeyRecord>, C::Error> {
        let text = |place| columns.text(place);
        let some_text = |place| {
            let text = columns.text(place)?;
            text.ok_or_else(|| C::Error::from(unfit(Self::COLUMNS[place].name)))
        };
        let integer = |place| {
            let integer = columns.integer(place)?;
            integer.ok_or_else(|| C::Error::from(unfit(Self::COLUMNS[place].name)))
        };
        let optional = |place| columns.integer(place);
        let row = Self {
            id: some_text(0)?,
            digest: columns.blob(1)?.ok_or_else(|| unfit("digest"))?,
            pepper_version: optional(2)?,
            subject: some_text(3)?,
            scopes: some_text(4)?,
            issued_at: integer(5)?,
            not_before: integer(6)?,
            expires_at: optional(7)?,
            retire_at: optional(8)?,
            lineage: some_text(9)?,
            generation: integer(10)?,
            version: integer(11)?,
            revoked_at: optional(12)?,
            revocation_reason: text(13)?,
            label: text(14)?,
            metadata: Cow::Borrowed(some_text(15)?),
            prefix: text(16)?,
            caveats: some_text(17)?,
        };
        row.into_record(realm).map_err(C::Error::from)
    }

    fn into_record(self, realm: &Realm) -> Result<Arc<KeyRecord>, StoreError> {
        self.parse(realm)
            .map_err(|error| unreadable(self.id.parse().ok(), error))
    }

    fn parse(&self, realm: &Realm) -> Result<Arc<KeyRecord>, StoreError> {
        let revocation = match (self.revoked_at, self.revocation_reason) {
            (None, None) => None,
            (Some(at), Some(reason)) => Some(Revocation::new(
                moment("revoked_at", at)?,
                parse("revocation_reason", reason)?,
            )),
            _ => return Err(unfit("revocation_reason")),
        };
        Ok(Arc::from(KeyRecordParts {
            id: parse("id", self.id)?,
            realm: realm.clone(),
            digest: KeyDigest::from_bytes(self.digest.try_into().map_err(|_| unfit("digest"))?),
            pepper_version: self
                .pepper_version
                .map(|version| u32::try_from(version).map_err(|_| unfit("pepper_version")))
                .transpose()?,
            subject: parse("subject", self.subject)?,
            scopes: scopes_of_row(self.scopes).map_err(|error| unfit_because("scopes", error))?,
            caveats: parse("caveats", self.caveats)?,
            issued_at: moment("issued_at", self.issued_at)?,
            not_before: moment("not_before", self.not_before)?,
            expires_at: optional_time("expires_at", self.expires_at)?,
            grace_ends_at: optional_time("retire_at", self.retire_at)?,
            lineage: parse("lineage", self.lineage)?,
            generation: u32::try_from(self.generation).map_err(|_| unfit("generation"))?,
            version: u64::try_from(self.version).map_err(|_| unfit("version"))?,
            revocation,
            label: self.label.map(|label| parse("label", label)).transpose()?,
            metadata: metadata(&self.metadata)?,
            prefix: self
                .prefix
                .map(|prefix| parse("prefix", prefix))
                .transpose()?,
        }))
    }
}

fn column_metadata(metadata: &Metadata) -> Result<Cow<'static, str>, StoreError> {
    if metadata.is_empty() {
        return Ok(Cow::Borrowed(NO_METADATA));
    }
    let json = serde_json::to_string(metadata.entries());
    json.map(Cow::Owned)
        .map_err(|error| unfit_because("metadata", error))
}

fn optional_time(
    column: &'static str,
    seconds: Option<i64>,
) -> Result<Option<Timestamp>, StoreError> {
    seconds.map(|seconds| moment(column, seconds)).transpose()
}

fn parse<T>(column: &'static str, text: &str) -> Result<T, StoreError>
where
    T: std::str::FromStr<Err = crate::error::Error>,
{
    text.parse().map_err(|error| unfit_because(column, error))
}

fn metadata(text: &str) -> Result<Metadata, StoreError> {
    if text == NO_METADATA {
        return Ok(Metadata::none());
    }
    let entries: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|error| unfit_because("metadata", error))?;
    entries
        .try_into()
        .map_err(|error: Error| unfit_because("metadata", error))
}
