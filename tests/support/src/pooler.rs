//! A real PgBouncer between a store and a server.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::pg_server::{PgServer, free_port, unprivileged};
use crate::support::not_run;

/// The version of the installed PgBouncer, or the message that the test was not run.
pub fn version(test: &str) -> Option<(u32, u32)> {
    let output = Command::new("pgbouncer").arg("--version").output();
    let Ok(output) = output else {
        not_run(format_args!("{test}: PgBouncer is not installed"));
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = said.split_whitespace().nth(1)?;
    let mut numbers = number.split('.').map(|part| part.parse().unwrap());
    Some((numbers.next()?, numbers.next()?))
}

/// A running PgBouncer, which ends with the test.
pub struct PgBouncer {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// Starts one in front of this server, with these settings.
    pub async fn start(server: &PgServer, settings: &str) -> Self {
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nauth_type = trust\n\
             default_pool_size = 30\nmax_client_conn = 500\nserver_idle_timeout = 1\n{settings}",
            server.port(),
        );
        Self::start_with(&ini, "\"postgres\" \"\"\n").await
    }

    /// Starts one with this ini, to which it adds its paths, and these users.
    pub async fn start_with(ini: &str, list: &str) -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-api-key-pgbouncer-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let port = free_port(0);
        let (users, file) = (folder.join("users"), folder.join("ini"));
        fs::write(&users, list).unwrap();
        let ini = format!(
            "{ini}\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_file = {}\n",
            users.display()
        );
        fs::write(&file, ini).unwrap();
        let child = unprivileged(&folder)
            .arg("pgbouncer")
            .arg("-q")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            child,
            folder,
            port,
        }
    }

    /// The same database through the pooler.
    pub fn url(&self, url: &str) -> String {
        let database = url.rsplit_once('/').unwrap().1;
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
