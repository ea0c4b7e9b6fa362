//! Nodes, keys and figures that the parts share.

use std::fs;
use std::thread;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::runtime;
use tokio::sync::oneshot;
use tower_api_key::KeyRing;
use tower_api_key::replica::Replica;
use tower_api_key_postgres::PostgresOptions;
use tower_api_key_test_support::pg_server::execute;

pub(crate) const PREFIX: &str = "acme";

/// Replicas of one database, all followed by one thread, which ends with them.
pub(crate) struct Nodes {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) rings: Vec<KeyRing>,
    pub(crate) server: Processes,
    _end: oneshot::Sender<()>,
}

impl Nodes {
    pub(crate) async fn start(url: &str, count: usize, interval: Duration) -> Self {
        let (mut replicas, mut rings, mut follows) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            // A connection for a replica is outside the pool, which nothing uses here.
            let options = PostgresOptions::new()
                .max_connections(1)
                .acquire_timeout(Duration::from_secs(30));
            let store = options.connect(url).await.unwrap();
            let options = Replica::options().interval(interval);
            let (replica, follow) = options.follow(store).unwrap();
            rings.push(KeyRing::builder(PREFIX).build(replica.clone()).unwrap());
            replicas.push(replica);
            follows.push(follow);
        }
        let (end, ended) = oneshot::channel::<()>();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                for follow in follows {
                    tokio::spawn(follow);
                }
                let _ = ended.await;
            });
        });
        for replica in &replicas {
            replica.ready().await.unwrap();
        }
        Self {
            replicas,
            rings,
            server: Processes::of(url).await,
            _end: end,
        }
    }
}

/// Rows of keys that are not used, with three scopes and a label.
pub(crate) async fn fill(url: &str, first: u64, last: u64) {
    let insert = format!(
        "INSERT INTO tower_api_keys (id, realm, digest, subject, scopes, issued_at, not_before, \
         expires_at, lineage, generation, version, label, metadata) \
         SELECT lpad(n::text, 12, '0'), '{PREFIX}', sha256(n::text::bytea), 'subject-' || n, \
         'orders:read orders:write reports:read', 1, 1, 4000000000, lpad(n::text, 12, '0'), 0, 1, \
         'build server', '{{}}' FROM generate_series({first}, {last}) AS n"
    );
    execute(url, &insert).await.unwrap();
}

/// These parts of a sample, in milliseconds.
pub(crate) fn percentiles(sample: &mut [Duration]) -> String {
    sample.sort_unstable();
    let at = |part: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a sample"
        )]
        let place = (sample.len() as f64 * part) as usize;
        let found = sample.get(place.min(sample.len() - 1)).unwrap();
        format!("{:.1}", found.as_secs_f64() * 1e3)
    };
    format!("p50 {}, p99 {}, most {} ms", at(0.5), at(0.99), at(1.0))
}

/// The processes of a server, by the one that started the others.
pub(crate) struct Processes(u32);

impl Processes {
    pub(crate) async fn of(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let session = sqlx::query_scalar("SELECT pg_backend_pid()");
        let session: i32 = session.fetch_one(&mut connection).await.unwrap();
        let parent = fields(&session.to_string()).unwrap()[1];
        connection.close().await.unwrap();
        Self(u32::try_from(parent).unwrap())
    }

    /// The processor time of all that run, and of those that have ended.
    pub(crate) fn time(&self) -> Duration {
        let mut ticks = 0;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let Some(fields) = fields(&name) else {
                continue;
            };
            if name == self.0.to_string() {
                ticks += fields[11..15].iter().sum::<u64>();
            } else if fields[1] == u64::from(self.0) {
                ticks += fields[11..13].iter().sum::<u64>();
            }
        }
        // A hundred a second, on every Linux.
        Duration::from_millis(ticks * 10)
    }
}

/// What stands after the name of a process: its state, its parent, and from the twelfth on its ticks and those of its
/// children that have ended.
fn fields(process: &str) -> Option<Vec<u64>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    let number = |field: &str| field.parse().unwrap_or(0);
    Some(after.split(' ').map(number).collect())
}
