//! Records on their way into the table.

use sqlx::Error as SqlError;
use sqlx::postgres::PgConnection;

use super::super::row::{column_metadata, column_revoked_at, column_time, column_version};
use super::super::{StoreError, StoreErrorKind};
use super::error::because;
use super::tables::Tables;
use crate::record::KeyRecord;
use crate::time::Timestamp;

/// Sets even the columns that no change of a key changes: the guard of the table then refuses such a
/// change, instead of passing it over.
const UPDATE: &str = "UPDATE @.tower_api_keys AS keys SET
    pepper_version = new.pepper_version, scopes = new.scopes, issued_at = new.issued_at,
    not_before = new.not_before, expires_at = new.expires_at, retire_at = new.retire_at,
    generation = new.generation, version = new.version, revoked_at = new.revoked_at,
    revocation_reason = new.revocation_reason, label = new.label, metadata = new.metadata,
    prefix = new.prefix
FROM unnest($1::pg_catalog.text[], $2::bigint[], $3::pg_catalog.text[], $4::pg_catalog.bytea[], $5::pg_catalog.text[], $6::pg_catalog.text[],
    $7::bigint[], $8::pg_catalog.text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
    $13::bigint[], $14::bigint[], $15::bigint[], $16::pg_catalog.text[], $17::pg_catalog.text[], $18::pg_catalog.text[],
    $19::pg_catalog.text[])
    AS new (id, expected, realm, digest, subject, lineage,
        pepper_version, scopes, issued_at, not_before, expires_at, retire_at,
        generation, version, revoked_at, revocation_reason, label, metadata, prefix)
WHERE keys.id @= new.id AND keys.version @= new.expected AND keys.realm @= new.realm
    AND keys.digest @= new.digest AND keys.subject @= new.subject AND keys.lineage @= new.lineage";

const INSERT: &str = "INSERT INTO @.tower_api_keys (id, realm, digest, pepper_version, subject,
    scopes, issued_at, not_before, expires_at, retire_at, lineage, generation, version,
    revoked_at, revocation_reason, label, metadata, prefix)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

/// A record as columns hold it.
pub(super) struct Columns {
    id: String,
    realm: String,
    digest: Vec<u8>,
    pepper_version: Option<i64>,
    subject: String,
    scopes: String,
    issued_at: i64,
    not_before: i64,
    expires_at: Option<i64>,
    retire_at: Option<i64>,
    lineage: String,
    generation: i64,
    version: i64,
    revoked_at: Option<i64>,
    revocation_reason: Option<&'static str>,
    label: Option<String>,
    metadata: String,
    prefix: Option<String>,
}

impl Columns {
    pub(super) fn of(record: &KeyRecord) -> Result<Self, StoreError> {
        let time = |at: Option<Timestamp>| at.map(column_time).transpose();
        let nul = [Some(record.subject()), record.label()]
            .into_iter()
            .flatten()
            .any(|text| text.contains('\0'));
        if nul {
            return Err(because(
                StoreErrorKind::Unavailable,
                "Postgres keeps no text with the character NUL: leave it out of the label",
            ));
        }
        let revocation = record.revocation();
        Ok(Self {
            id: record.id().to_string(),
            realm: record.realm().to_string(),
            digest: record.digest().as_bytes().to_vec(),
            pepper_version: record.pepper_version().map(i64::from),
            subject: record.subject().to_owned(),
            scopes: record.scopes().as_str().to_owned(),
            issued_at: column_time(record.issued_at())?,
            not_before: column_time(record.not_before())?,
            expires_at: time(record.expires_at())?,
            retire_at: time(record.retire_at())?,
            lineage: record.lineage().to_string(),
            generation: i64::from(record.generation()),
            version: column_version(record.version())?,
            revoked_at: revocation.map(|revocation| column_revoked_at(revocation.at)),
            revocation_reason: revocation.map(|revocation| revocation.reason.as_str()),
            label: record.label().map(str::to_owned),
            metadata: column_metadata(record.metadata())?,
            prefix: record.prefix().map(ToString::to_string),
        })
    }

    /// How many rows were inserted: one, unless a rule of the table passes over it.
    pub(super) async fn insert(
        self,
        tables: &Tables,
        connection: &mut PgConnection,
    ) -> Result<u64, SqlError> {
        tables
            .query(INSERT)
            .bind(self.id)
            .bind(self.realm)
            .bind(self.digest)
            .bind(self.pepper_version)
            .bind(self.subject)
            .bind(self.scopes)
            .bind(self.issued_at)
            .bind(self.not_before)
            .bind(self.expires_at)
            .bind(self.retire_at)
            .bind(self.lineage)
            .bind(self.generation)
            .bind(self.version)
            .bind(self.revoked_at)
            .bind(self.revocation_reason)
            .bind(self.label)
            .bind(self.metadata)
            .bind(self.prefix)
            .execute(connection)
            .await
            .map(|done| done.rows_affected())
    }
}

/// Records that change, by columns: one statement for all of them, whatever the number of keys.
#[derive(Default)]
pub(super) struct Updates {
    ids: Vec<String>,
    expected: Vec<i64>,
    realms: Vec<String>,
    digests: Vec<Vec<u8>>,
    subjects: Vec<String>,
    lineages: Vec<String>,
    pepper_versions: Vec<Option<i64>>,
    scopes: Vec<String>,
    issued_at: Vec<i64>,
    not_before: Vec<i64>,
    expires_at: Vec<Option<i64>>,
    retire_at: Vec<Option<i64>>,
    generations: Vec<i64>,
    versions: Vec<i64>,
    revoked_at: Vec<Option<i64>>,
    revocation_reasons: Vec<Option<&'static str>>,
    labels: Vec<Option<String>>,
    metadata: Vec<String>,
    prefixes: Vec<Option<String>>,
}

impl Updates {
    pub(super) fn push(&mut self, columns: Columns, expected: i64) {
        self.ids.push(columns.id);
        self.expected.push(expected);
        self.realms.push(columns.realm);
        self.digests.push(columns.digest);
        self.subjects.push(columns.subject);
        self.lineages.push(columns.lineage);
        self.pepper_versions.push(columns.pepper_version);
        self.scopes.push(columns.scopes);
        self.issued_at.push(columns.issued_at);
        self.not_before.push(columns.not_before);
        self.expires_at.push(columns.expires_at);
        self.retire_at.push(columns.retire_at);
        self.generations.push(columns.generation);
        self.versions.push(columns.version);
        self.revoked_at.push(columns.revoked_at);
        self.revocation_reasons.push(columns.revocation_reason);
        self.labels.push(columns.label);
        self.metadata.push(columns.metadata);
        self.prefixes.push(columns.prefix);
    }

    pub(super) fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    /// How many records were as expected.
    pub(super) async fn run(
        self,
        tables: &Tables,
        connection: &mut PgConnection,
    ) -> Result<u64, SqlError> {
        tables
            .query(UPDATE)
            .bind(self.ids)
            .bind(self.expected)
            .bind(self.realms)
            .bind(self.digests)
            .bind(self.subjects)
            .bind(self.lineages)
            .bind(self.pepper_versions)
            .bind(self.scopes)
            .bind(self.issued_at)
            .bind(self.not_before)
            .bind(self.expires_at)
            .bind(self.retire_at)
            .bind(self.generations)
            .bind(self.versions)
            .bind(self.revoked_at)
            .bind(self.revocation_reasons)
            .bind(self.labels)
            .bind(self.metadata)
            .bind(self.prefixes)
            .execute(connection)
            .await
            .map(|done| done.rows_affected())
    }
}
