//! The statements of the feed. Each has a comment with its name, by which it is found in `pg_stat_statements`.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use tower_api_key::replica::Realms;
use tower_api_key::store::sql::Row;

use crate::tables::seen;

/// How many keys a page has at most.
pub(super) const PAGE: usize = 5_000;

/// How many columns [`state!`] has.
pub(super) const STATE: usize = 8;

/// How many changes a pull takes at most. After more, it is faster to load all keys: each page reads all changes.
pub(super) const MOST_CHANGES: usize = 200_000;

/// Where the history is, how old a copy may be, and whether row-level security hides changes from this role. One
/// statement has one snapshot, and the first column is its text. Without a token there is no answer.
macro_rules! state {
    ($token:literal) => {
        concat!("pg_catalog.pg_current_snapshot()::pg_catalog.text, ", $token, "::pg_catalog.text, \
         feed.epoch, feed.home, feed.pruned::pg_catalog.text, feed.staleness_ms, \
         greatest(feed.staleness_ms, CASE WHEN feed.former_until @> pg_catalog.clock_timestamp() \
            THEN feed.former_staleness_ms END), \
         pg_catalog.row_security_active('@literal.tower_api_key_changes'::pg_catalog.regclass)")
    };
}

/// Each table has one row. The limit tells the planner: it would otherwise count on a million pairs, and compile the
/// statement for them, which takes a hundred times as long as to execute it.
macro_rules! of_feed {
    () => {
        " FROM (SELECT 1) AS one \
         LEFT JOIN (SELECT * FROM @.tower_api_key_feed LIMIT 1) AS feed ON true \
         LEFT JOIN (SELECT * FROM @.tower_api_key_incarnation LIMIT 1) AS incarnation ON true"
    };
}

pub(super) const HEAD: &str = concat!(
    "/* tower-api-key head */ SELECT ",
    seen!("head"),
    ", ",
    state!("incarnation.token"),
    of_feed!()
);

/// The changes that the snapshot of the last answer did not show are those of two kinds of transactions: those from its
/// `xmax` on (`$1`), and those that were in progress (`$2`), which are from its `xmin` on (`$3`). Those that still are have
/// nothing to show, and may have written many rows.
macro_rules! of_later {
    () => {
        "FROM @.tower_api_key_changes WHERE xid @>= $1::pg_catalog.text::pg_catalog.xid8 \
         AND xid @< pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"
    };
}

macro_rules! of_in_progress {
    () => {
        "FROM @.tower_api_key_changes WHERE xid @= ANY (ARRAY(\
            SELECT open.xid FROM pg_catalog.unnest($2::pg_catalog.text[]::pg_catalog.xid8[]) AS open (xid) \
            WHERE pg_catalog.pg_visible_in_snapshot(open.xid, pg_catalog.pg_current_snapshot()))) \
         AND xid @>= $3::pg_catalog.text::pg_catalog.xid8 AND xid @< $1::pg_catalog.text::pg_catalog.xid8"
    };
}

macro_rules! news {
    ($($is_news:expr),*) => {
        concat!(
            "/* tower-api-key news */ SELECT ",
            seen!("news"),
            ", ",
            state!("incarnation.token"),
            ", ",
            $($is_news,)*
            of_feed!()
        )
    };
}

/// Whether there are changes since the last answer. [`PULL`] says it too, and takes longer, because the server sets up all
/// of it each time. If there are none, this is the whole answer to a pull: it has one snapshot, and the same state.
///
/// This one is for a snapshot with no transaction in progress.
pub(super) const NEWS: &str = news!("EXISTS (SELECT ", of_later!(), ")");

/// The same for a snapshot with some.
pub(super) const NEWS_OF_OPEN: &str = news!(
    "EXISTS (SELECT ",
    of_later!(),
    ") OR EXISTS (SELECT ",
    of_in_progress!(),
    ")"
);

/// The changes since the last answer. `$4` is the last digest of the page before, and `$5` is the most digests and one
/// more. `$6` is the most changes and one more: if there are as many, there is no token.
///
/// The rows after the first have a digest that changed, with the record of that digest, or digests that were removed
/// together, each time all of them. One of these may have been inserted again since: then it is among those that changed.
///
/// The server makes one plan for all values, and keeps it, if it seems to cost no more than to plan anew each time, which
/// takes several times as long as an idle pull. So the bounds of the transactions are there, although the snapshots have
/// them: all that are visible are before the present `xmax`. And so are the limits, by a parameter: of those that it does
/// not know, the planner expects a tenth.
pub(super) static PULL: LazyLock<String> = LazyLock::new(|| {
    let (nothing, names) = (nothing(), prefixed("keys"));
    let (seen, of_feed) = (seen!("pull"), of_feed!());
    let state =
        state!("(CASE WHEN (SELECT changes FROM counted) @< $6 THEN incarnation.token END)");
    let (later, in_progress) = (of_later!(), of_in_progress!());
    format!(
        "/* tower-api-key pull */ WITH logged AS MATERIALIZED (\
            SELECT parts.* FROM (\
                (SELECT digest, removed_too {later} ORDER BY xid LIMIT $6) \
                UNION ALL (SELECT digest, removed_too {in_progress} LIMIT $6)) AS parts LIMIT $6), \
         counted AS (SELECT pg_catalog.count(*) \
            @+ coalesce(pg_catalog.sum(pg_catalog.octet_length(removed_too)) @/ 32, 0) AS changes FROM logged), \
         changed AS (SELECT DISTINCT digest FROM logged WHERE digest @> $4 ORDER BY digest LIMIT $5) \
         SELECT {seen}, {state}, NULL::pg_catalog.bytea AS removed, NULL::pg_catalog.bytea AS changed, \
            NULL::pg_catalog.text AS realm, {nothing}{of_feed} \
         UNION ALL SELECT {NO_HEAD}, NULL::pg_catalog.bytea, changed.digest, keys.realm, {names} \
         FROM changed LEFT JOIN @.tower_api_keys AS keys ON keys.digest @= changed.digest \
         UNION ALL SELECT {NO_HEAD}, removed_too, NULL::pg_catalog.bytea, NULL::pg_catalog.text, {nothing} \
         FROM logged WHERE removed_too IS NOT NULL AND (SELECT changes FROM counted) @< $6"
    )
});

/// `$1` is the last digest of the page before, `$2` has the realms or is NULL, and `$3` is the most keys.
pub(super) static PAGE_OF_KEYS: LazyLock<String> = LazyLock::new(|| {
    let (nothing, names) = (nothing(), prefixed("keys"));
    let seen = seen!("page");
    format!(
        "/* tower-api-key page */ SELECT {seen}, NULL::pg_catalog.text AS realm, {nothing} \
         UNION ALL SELECT {NOT_SEEN}, keys.* FROM (\
            SELECT keys.realm, {names} FROM @.tower_api_keys AS keys \
            WHERE keys.digest @> $1 AND ($2::pg_catalog.text[] IS NULL OR keys.realm @= ANY ($2)) \
            ORDER BY keys.digest LIMIT $3) AS keys"
    )
});

/// In the place of [`seen!`] in the rows after the first.
const NOT_SEEN: &str =
    "NULL::pg_catalog.bool, NULL::pg_catalog.int8, NULL::pg_catalog.bool, NULL::pg_catalog.text";

/// In the place of [`seen!`] and [`state!`].
const NO_HEAD: &str = "NULL::pg_catalog.bool, NULL::pg_catalog.int8, NULL::pg_catalog.bool, NULL::pg_catalog.text, \
     NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.text, NULL::pg_catalog.text, \
     NULL::pg_catalog.int4, NULL::pg_catalog.int4, NULL::pg_catalog.bool";

/// A NULL for each column of a record, with its type.
fn nothing() -> String {
    use tower_api_key::store::sql::ColumnType;
    let columns = Row::COLUMNS.iter().map(|column| {
        let type_name = match column.column_type {
            ColumnType::Text => "text",
            ColumnType::Integer => "int8",
            ColumnType::Blob => "bytea",
        };
        format!("NULL::pg_catalog.{type_name}")
    });
    columns.collect::<Vec<_>>().join(", ")
}

fn prefixed(table: &str) -> String {
    let columns = Row::COLUMNS
        .iter()
        .map(|column| format!("{table}.{}", column.name));
    columns.collect::<Vec<_>>().join(", ")
}

/// The sums that [`Sums`](tower_api_key::replica::Sums) defines, by the first byte of the digests. `$1` has the realms
/// or is NULL, `$2` and `$3` are the [`bounds`] of the buckets. Scopes and caveats may be in any order, and more than once, in a row that was written by hand.
pub(super) const SUMS: &str = concat!(
    "/* tower-api-key sums */ SELECT ",
    seen!("sums"),
    ", found.bucket, found.count, found.sum FROM (SELECT 1) AS one LEFT JOIN (
    SELECT pg_catalog.get_byte(keys.digest, 0) AS bucket, pg_catalog.count(*) AS count,
        pg_catalog.sum(('x' @|| pg_catalog.encode(pg_catalog.substring(pg_catalog.sha256(
            pg_catalog.convert_to(pg_catalog.concat(
                keys.realm, E'\\n', keys.id, E'\\n', pg_catalog.encode(keys.digest, 'hex'), E'\\n',
                keys.version, E'\\n', keys.subject, E'\\n',
                CASE WHEN pg_catalog.strpos(keys.scopes, ' ') @= 0 THEN keys.scopes ELSE
                    (SELECT pg_catalog.string_agg(DISTINCT part, ' ' ORDER BY part) FROM
                    pg_catalog.unnest(pg_catalog.string_to_array(keys.scopes, ' ')) AS parts (part)) END, E'\\n',
                CASE WHEN pg_catalog.strpos(keys.caveats, ' ') @= 0 THEN keys.caveats ELSE
                    (SELECT pg_catalog.string_agg(DISTINCT part, ' ' ORDER BY part) FROM
                    pg_catalog.unnest(pg_catalog.string_to_array(keys.caveats, ' ')) AS parts (part)) END, E'\\n',
                keys.not_before, E'\\n', keys.expires_at, E'\\n', keys.retire_at, E'\\n', keys.revoked_at, E'\\n'
            ), 'UTF8')), 1, 8), 'hex'))::pg_catalog.bit(64)::pg_catalog.int8)::pg_catalog.text AS sum
    FROM @.tower_api_keys AS keys
    WHERE pg_catalog.octet_length(keys.digest) @= 32
        AND keys.digest @>= $2 AND keys.digest @< $3
        AND ($1::pg_catalog.text[] IS NULL OR keys.realm @= ANY ($1))
    GROUP BY 1
) AS found ON true"
);

/// Only in the history that the number belongs to.
pub(super) const FORGET: &str = concat!(
    "/* tower-api-key forget */ SELECT ",
    seen!("forget"),
    ", CASE WHEN incarnation.token::pg_catalog.text @= $2 AND feed.epoch @= $3 AND feed.home @= $4 \
        AND (EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) @* 1000000)::pg_catalog.int8 @= $5 \
        THEN @.tower_api_key_forget($1::pg_catalog.text::pg_catalog.xid8) ELSE 0 END",
    of_feed!()
);

/// The names of the realms that are asked for. `None`: all.
pub(super) fn names(realms: &Realms) -> Option<Vec<String>> {
    let named = realms.named()?;
    Some(named.iter().map(ToString::to_string).collect())
}

/// Below the first digest of some buckets, and above the last of 32 bytes.
pub(super) fn bounds(buckets: &RangeInclusive<u8>) -> (Vec<u8>, Vec<u8>) {
    let after = match buckets.end().checked_add(1) {
        Some(next) => vec![next],
        None => vec![u8::MAX; 33],
    };
    (vec![*buckets.start()], after)
}

pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
    use tower_api_key_test_support::pg_server;

    use super::{FORGET, HEAD, NEWS, NEWS_OF_OPEN, PULL};
    use crate::tables::Tables;

    /// The highest cost of the plan of a statement whose parameters are not known.
    async fn cost(connection: &mut PgConnection, statement: &str, arguments: &str) -> f64 {
        let prepare = format!("DEALLOCATE ALL; PREPARE asked AS {statement}");
        let prepared = sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection);
        prepared.await.unwrap();
        let explain = format!("EXPLAIN EXECUTE asked{arguments}");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(connection);
        let plan: String = plan.await.unwrap().get(0);
        let (_, cost) = plan.split_once("cost=").unwrap();
        let (_, cost) = cost.split_once("..").unwrap();
        cost.split(' ').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn the_planner_takes_no_statement_of_a_pull_for_a_large_one() {
        let url = pg_server::database().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let generic = sqlx::raw_sql("SET plan_cache_mode = force_generic_plan");
        generic.execute(&mut connection).await.unwrap();
        let tables = Tables::new("public");
        let show = sqlx::raw_sql("SHOW jit_above_cost").fetch_one(&mut connection);
        let compiled: String = show.await.unwrap().get(0);
        let compiled: f64 = compiled.parse().unwrap();
        for (statement, arguments) in [
            (HEAD, ""),
            (NEWS, "('9999999')"),
            (NEWS_OF_OPEN, ASKED),
            (PULL.as_str(), PULLED),
            (FORGET, "('9', '', 1, '', 1)"),
        ] {
            let cost = cost(&mut connection, &tables.text(statement), arguments).await;
            assert!(cost < compiled / 10.0, "{cost}: {statement}");
        }
    }

    /// No change since a snapshot from which on all transactions are to come.
    const ASKED: &str = "('9999999', '{}', '3')";
    const PULLED: &str = "('9999999', '{}', '3', '', 5001, 200001)";

    /// A plan takes several times as long to make as an idle pull to execute.
    #[tokio::test]
    async fn a_pull_is_planned_once_however_many_changes_there_are() {
        let url = pg_server::database().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let fill = "INSERT INTO tower_api_key_changes (xid, digest)
            SELECT pg_current_xact_id(), sha256(n::text::bytea) FROM generate_series(1, 50000) AS n;
            ANALYZE tower_api_key_changes";
        let filled = sqlx::raw_sql(fill).execute(&mut connection).await;
        filled.unwrap();
        for (name, statement, arguments) in [
            ("news", NEWS, "('9999999')"),
            ("open", NEWS_OF_OPEN, ASKED),
            ("pull", &PULL, PULLED),
        ] {
            let statement = Tables::new("public").text(statement);
            let prepare = format!("PREPARE {name} AS {statement}");
            let prepared = sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection);
            prepared.await.unwrap();
            for _ in 0..10 {
                let execute = format!("EXECUTE {name}{arguments}");
                let executed = sqlx::raw_sql(AssertSqlSafe(execute)).execute(&mut connection);
                executed.await.unwrap();
            }
            // The first five are planned for their values.
            let plans = "SELECT custom_plans FROM pg_prepared_statements WHERE name = $1";
            let plans = sqlx::query_scalar(plans)
                .bind(name)
                .fetch_one(&mut connection);
            let plans: i64 = plans.await.unwrap();
            assert_eq!(plans, 5, "{name}");
        }
    }

    /// A large import takes a while, and all nodes pull meanwhile.
    #[tokio::test]
    async fn a_pull_reads_nothing_of_a_transaction_that_is_still_open() {
        let url = pg_server::database().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let mut other = PgConnection::connect(&url).await.unwrap();
        let open = "BEGIN; INSERT INTO tower_api_key_changes (xid, digest)
            SELECT pg_current_xact_id(), sha256(n::text::bytea) FROM generate_series(1, 10000) AS n";
        sqlx::raw_sql(open).execute(&mut other).await.unwrap();
        // A later one ends, so that it is among those in progress.
        let later = sqlx::raw_sql("SELECT pg_current_xact_id()");
        later.execute(&mut connection).await.unwrap();
        let snapshot = "SELECT pg_current_snapshot()::text";
        let snapshot: String = sqlx::query_scalar(snapshot)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let [xmin, xmax, open] = snapshot.split(':').collect::<Vec<_>>()[..] else {
            panic!("{snapshot}");
        };
        assert_ne!(open, "");
        let asked = format!("'{xmax}', '{{{open}}}', '{xmin}'");
        for (name, statement, arguments) in [
            ("open", NEWS_OF_OPEN, asked.clone()),
            ("pull", &PULL, format!("{asked}, '', 5001, 200001")),
        ] {
            let statement = Tables::new("public").text(statement);
            let prepare = format!("PREPARE {name} AS {statement}");
            let prepared = sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection);
            prepared.await.unwrap();
            let explain = format!("EXPLAIN (ANALYZE, BUFFERS) EXECUTE {name}({arguments})");
            let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection);
            let plan = plan.await.unwrap();
            let lines = plan.iter().map(|row| row.get::<String, _>(0));
            let read = lines.filter_map(|line| {
                let (_, read) = line.split_once("Buffers: shared hit=")?;
                read.split(' ').next()?.parse::<u64>().ok()
            });
            // The first is that of the whole plan.
            let read = read.take(1).sum::<u64>();
            assert!((1..50).contains(&read), "{name}: {read}");
        }
    }
}
