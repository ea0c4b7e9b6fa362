//! A Postgres server that the tests start themselves, on the loopback, and that ends with them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tower_api_key_postgres::PostgresOptions;

const MISSING: &str = "the tests of the Postgres store start a server of their own: put \
     Postgres's `initdb` and `pg_ctl` on PATH, or install it (Debian: apt-get install postgresql), \
     or test the other packages alone (`cargo test -p tower-api-key`)";

/// The shell script that runs until its standard input closes, which happens however the tests end:
/// it makes a cluster, obeys one word per line, and finally stops the server and removes the
/// folder.
const KEEPER: &str = r#"
# Tests that are gone hear nothing; this shell goes on to the end of its work.
trap '' PIPE
trap 'exit 1' HUP INT TERM
say() { printf '%s\n' "$1" 2>/dev/null || :; }
# The server and all that it forked; each is its own process group.
everyone() {
    postmaster=$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null) || return 0
    children=$(cat "/proc/$postmaster/task/$postmaster/children" 2>/dev/null) || children=
    [ -z "$postmaster" ] || kill "$1" $postmaster $children 2>/dev/null || :
}
start() {
    "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 -s start \
        -o "-p $port -h 127.0.0.1 -k '' -c fsync=$fsync -c shared_buffers=32MB -c max_connections=200 \
            -c wal_level=minimal -c max_wal_senders=0 -c max_prepared_transactions=8 \
            -c log_min_messages=warning $options" \
        </dev/null >>"$folder/pg_ctl" 2>&1
}
stop() { "$bin/pg_ctl" -D "$folder/data" -m "$1" -w -s stop </dev/null >>"$folder/pg_ctl" 2>&1; }
end() { everyone -CONT; stop immediate; cd /; rm -rf "$folder"; }
trap end EXIT
if [ -n "$primary" ]; then
    "$bin/pg_basebackup" -h 127.0.0.1 -p "$primary" -U postgres -D "$folder/data" -R -X stream \
        -c fast --no-sync
else
    "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale --no-sync \
        --no-instructions
fi </dev/null >"$folder/initdb" 2>&1 || { cat "$folder/initdb" >&2; exit 1; }
while read -r word port; do
    case $word in
        start) if start; then say done; else cat "$folder/pg_ctl" "$folder/log" >&2; say failed; fi ;;
        stop) stop immediate && say done || say failed ;;
        promote) "$bin/pg_ctl" -D "$folder/data" -w -t 60 -s promote </dev/null >>"$folder/pg_ctl" 2>&1 \
            && say done || say failed ;;
        freeze) everyone -STOP; say done ;;
        thaw) everyone -CONT; say done ;;
    esac
done
"#;

const REPLICATED: &str = "-c wal_level=replica -c max_wal_senders=4 -c hot_standby=on";

/// A server on its own port.
pub struct PgServer {
    keeper: Child,
    words: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    port: u16,
    databases: AtomicU32,
}

/// The shared server for all tests that do not harm it.
static SHARED: LazyLock<PgServer> = LazyLock::new(|| PgServer::start("off"));

/// The URL of a new database with the schema, on the shared server.
pub async fn database() -> String {
    SHARED.database().await
}

/// The URL of a new, empty database on the shared server.
pub async fn empty_database() -> String {
    SHARED.empty_database().await
}

/// The options of a store whose test is not about the duration of waits, because a loaded machine
/// may take more than a service's one second.
pub fn patient() -> PostgresOptions {
    PostgresOptions::new().acquire_timeout(Duration::from_secs(30))
}

impl PgServer {
    /// Starts a server whose `fsync` is `on` or `off`.
    #[track_caller]
    pub fn start(fsync: &str) -> Self {
        Self::start_with(fsync, "", "")
    }

    /// Starts a server with these options of the program, such as `-c work_mem=1MB`.
    #[track_caller]
    pub fn start_with_options(options: &str) -> Self {
        Self::start_with("off", options, "")
    }

    /// Starts a server that can be replicated.
    #[track_caller]
    pub fn start_primary() -> Self {
        Self::start_with("off", REPLICATED, "")
    }

    /// Starts a streaming standby of this server.
    #[track_caller]
    pub fn standby(&self) -> Self {
        Self::start_with("off", REPLICATED, &self.port.to_string())
    }

    fn start_with(fsync: &str, options: &str, primary: &str) -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let bin = binaries().expect(MISSING);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-api-key-pg-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // Left by a process of the same number whose keeper was killed.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let mut keeper = unprivileged(&folder)
            .args(["sh", "-c", KEEPER])
            .env("bin", &bin)
            .env("folder", &folder)
            .env("fsync", fsync)
            .env("options", options)
            .env("primary", primary)
            .current_dir(&folder)
            // A Ctrl-C is for the tests. The keeper ends after them.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv (of util-linux) is installed where the tests run as root");
        let words = (
            keeper.stdin.take().unwrap(),
            BufReader::new(keeper.stdout.take().unwrap()),
        );
        let mut server = Self {
            keeper,
            words: Mutex::new(Some(words)),
            port: 0,
            databases: AtomicU32::new(0),
        };
        for attempt in 0..10 {
            server.port = free_port(attempt);
            if server.tell("start") {
                return server;
            }
        }
        panic!("Postgres did not start; what it said stands above");
    }

    /// The URL of this database.
    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://postgres@127.0.0.1:{port}/{database}")
    }

    pub async fn database(&self) -> String {
        let url = self.empty_database().await;
        patient().migrate(&url).await.unwrap();
        url
    }

    pub async fn empty_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        execute(&self.url("postgres"), &create).await.unwrap();
        self.url(&name)
    }

    /// Ends the server at once, as a power failure would, with every connection to it.
    pub fn stop(&self) {
        assert!(self.tell("stop"));
    }

    /// Starts it again on its port.
    pub fn start_again(&self) {
        assert!(self.tell("start"));
    }

    /// Halts the server: connections stay open without answers.
    pub fn freeze(&self) {
        assert!(self.tell("freeze"));
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        assert!(self.tell("promote"));
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Continues a halted server.
    pub fn thaw(&self) {
        assert!(self.tell("thaw"));
    }

    fn tell(&self, word: &str) -> bool {
        let mut words = self.words.lock().unwrap();
        let (keeper, answers) = words.as_mut().unwrap();
        writeln!(keeper, "{word} {}", self.port).unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        answer.trim() == "done"
    }
}

impl Drop for PgServer {
    fn drop(&mut self) {
        // The keeper ends after its input does, and leaves no files or processes.
        let words = self.words.get_mut();
        drop(words.map(Option::take));
        let _ = self.keeper.wait();
    }
}

/// Runs one statement, or several, as psql would.
pub async fn execute(url: &str, sql: &str) -> Result<u64, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    let done = sqlx::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await?;
    Ok(done.rows_affected())
}

/// Waits for this, a minute at the most: a test that waits for ever does not say why.
pub async fn soon<T>(waiting: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_mins(1), waiting).await;
    waited.expect("what the test waits for happens")
}

/// Asks until it is so, [soon].
pub async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(asking).await;
}

pub fn binaries() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|tool| folder.join(tool).is_file())
    };
    let on_path = std::env::split_paths(&std::env::var_os("PATH")?)
        .filter_map(|folder| folder.join("initdb").canonicalize().ok())
        .filter_map(|initdb| Some(initdb.parent()?.to_owned()))
        .find(complete);
    // Debian does not put them on PATH.
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    on_path.or_else(|| versions.into_iter().rev().find(complete))
}

/// A command that first drops to another user if this one is root, which Postgres refuses.
pub fn unprivileged(folder: &Path) -> Command {
    if id("-u", None).as_deref() != Some("0") {
        return Command::new("env");
    }
    let [uid, gid] = ["-u", "-g"].map(|which| {
        id(which, Some("postgres"))
            .or_else(|| id(which, Some("nobody")))
            .expect("a user `postgres` or `nobody`")
    });
    std::os::unix::fs::chown(folder, uid.parse().ok(), gid.parse().ok()).unwrap();
    let mut command = Command::new("setpriv");
    command.args([
        format!("--reuid={uid}"),
        format!("--regid={gid}"),
        "--clear-groups".to_owned(),
    ]);
    command
}

fn id(which: &str, user: Option<&str>) -> Option<String> {
    let output = Command::new("id").arg(which).args(user).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// A port below those that the system assigns to clients, so that none of them takes it while the
/// server is down.
pub fn free_port(attempt: u32) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) + attempt;
        let port = 20_000 + (std::process::id() * 131 + step * 17) % 12_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
