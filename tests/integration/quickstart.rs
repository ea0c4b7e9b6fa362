//! The running example quickstart, and every answer that it must give.

use http::Method;
use serde_json::json;
use tower_api_key::store::MemoryStore;
use tower_api_key::{Grant, KeyRing};

use crate::process::Running;
use crate::rows::{INVALID, LACKING, MISSING, Row, keys_in, problem};

/// The running quickstart, with its output.
pub(crate) struct Quickstart {
    pub(crate) running: Running,
    pub(crate) url: String,
    pub(crate) commands: Vec<String>,
}

impl Quickstart {
    pub(crate) fn start() -> Self {
        let (running, url) = Running::serve("quickstart", &[]);
        Self {
            commands: running.commands("curl", 8),
            running,
            url,
        }
    }

    /// A key with the scope `read` and one with the scope `write`.
    pub(crate) fn keys(&self) -> [&str; 2] {
        match keys_in(&self.commands)[..] {
            [read, "nonsense", write] => [read, write],
            ref keys => panic!("quickstart printed {keys:?}"),
        }
    }

    /// The rejection table, as far as quickstart can show it, and the accepted requests.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        let missing = Some(r#"ApiKey realm="demo""#);
        let invalid = Some(r#"ApiKey realm="demo", error="invalid_token""#);
        let lacking = Some(r#"ApiKey realm="demo", error="insufficient_scope", scope="write""#);

        let [read, write] = self.keys();
        let stranger = stranger().await;
        let misspelt = format!("{read}0");
        let referer = format!("https://elsewhere.example/?key={read}");

        let get = |path: &str, status, body| {
            Row::new(Method::GET, format!("{}{path}", self.url), status, body)
        };
        let public = |status, body| get("/public", status, body);
        let admin = |status, body| {
            let url = format!("{}/admin", self.url);
            Row::new(Method::POST, url, status, body)
        };
        let data = |subject, scope| json!({"message": "public data", "subject": subject, "scopes": [scope]});
        let done = json!({"message": "admin action executed", "subject": "bob"});
        let ambiguous = |how| problem(400, &format!("Ambiguous API key: {how}"));
        let repeated = ambiguous("the header is repeated");
        let twin = ambiguous("a header differs from the expected one only in _ and -");
        let leaked = |place| {
            let advice = "send it in a header, and replace this key";
            problem(400, &format!("API key in {place}: {advice}"))
        };
        let in_query = format!("/public?key={read}");

        let mut rows = vec![
            get("/open", 200, json!({"message": "open to all"})),
            get("/nowhere", 404, json!({"message": "no such route"})),
            public(200, data("alice", "read")).key(read).accepted(),
            public(200, data("bob", "write")).key(write).accepted(),
            admin(200, done).key(write).accepted(),
            admin(403, problem(403, LACKING)).key(read).refused(lacking),
            public(400, repeated.clone())
                .key(read)
                .key(read)
                .refused(None),
            public(400, repeated).key(read).key(write).refused(None),
            public(400, twin)
                .key(read)
                .header("x_api_key", read)
                .refused(None),
            get(&in_query, 400, leaked("URL")).refused(None),
            get(&in_query, 400, leaked("URL")).key(read).refused(None),
            public(400, leaked("Referer"))
                .key(read)
                .header("referer", &referer)
                .refused(None),
            public(401, problem(401, MISSING)).refused(missing),
            admin(401, problem(401, MISSING)).refused(missing),
        ];
        for key in ["nonsense", "one,two", &misspelt, &stranger] {
            rows.push(public(401, problem(401, INVALID)).key(key).refused(invalid));
            rows.push(admin(401, problem(401, INVALID)).key(key).refused(invalid));
        }
        rows
    }
}

/// A key like those of quickstart, from a ring that quickstart does not know.
async fn stranger() -> String {
    let ring = KeyRing::builder("demo").build(MemoryStore::new()).unwrap();
    let issued = ring.issue(Grant::new("mallory")).await.unwrap();
    issued.secret().expose().to_owned()
}
