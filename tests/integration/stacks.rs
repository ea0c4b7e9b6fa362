//! The guides of `docs/stacks`: their code is that of the examples, whose own tests run here, and their commands are
//! answered as they say.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::path_of;
use crate::support::not_run;

#[path = "../../examples/stacks/axum.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod on_axum;
#[path = "../../examples/stacks/hyper.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod on_hyper;
#[path = "../../examples/stacks/tonic.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod on_tonic;

struct Guide {
    name: &'static str,
    text: &'static str,
    code: &'static str,
    port: u16,
}

const GUIDES: [Guide; 3] = [
    Guide {
        name: "axum",
        text: include_str!("../../docs/stacks/axum.md"),
        code: include_str!("../../examples/stacks/axum.rs"),
        port: 3000,
    },
    Guide {
        name: "hyper",
        text: include_str!("../../docs/stacks/hyper.md"),
        code: include_str!("../../examples/stacks/hyper.rs"),
        port: 3000,
    },
    Guide {
        name: "tonic",
        text: include_str!("../../docs/stacks/tonic.md"),
        code: include_str!("../../examples/stacks/tonic.rs"),
        port: 50051,
    },
];

impl Guide {
    /// The only block of this language.
    fn block(&self, language: &str) -> &'static str {
        let fence = format!("```{language}\n");
        let mut blocks = self.text.split(&*fence).skip(1);
        let block = blocks.next().unwrap_or_else(|| panic!("{}", self.name));
        assert_eq!(blocks.next(), None, "{}: {language}", self.name);
        block.split("```").next().unwrap()
    }
}

#[test]
fn a_guide_shows_the_code_that_is_tested() {
    for guide in &GUIDES {
        let code = guide.code.lines();
        let code = code.skip_while(|line| line.is_empty() || line.starts_with(['/', '#']));
        let code: Vec<&str> = code.collect();
        // The tests have no build script.
        let generated = r#"include!("../proto/shop.rs")"#;
        let code = code
            .join("\n")
            .replace(generated, r#"tonic::include_proto!("shop")"#);
        assert_eq!(guide.block("rust").trim_end(), code, "{}", guide.name);
        // A screen and a half.
        assert!(guide.text.lines().count() <= 100, "{}", guide.name);
    }
    let proto = include_str!("../../examples/proto/shop.proto");
    assert_eq!(GUIDES[2].block("proto"), proto);
}

#[test]
fn the_comments_of_the_contract_say_what_the_table_needs() {
    let contract = GUIDES[2].block("proto");
    let rows = GUIDES[2].code.split(".grpc(\"").skip(1);
    let rows: Vec<&str> = rows.map(|row| row.split(')').next().unwrap()).collect();
    assert_eq!(rows.len(), contract.matches("rpc ").count(), "{rows:?}");
    for row in rows {
        let [service, _, method, _, access, _] = *row.split('"').collect::<Vec<_>>() else {
            panic!("{row}");
        };
        assert_eq!(service, "shop.Orders");
        let said = format!("// Needs {access}.\n  rpc {method}(");
        assert!(contract.contains(&said), "{said}");
    }
}

#[test]
fn the_tests_have_the_dependencies_of_the_guides() {
    let manifest = include_str!("../Cargo.toml");
    let workspace = include_str!("../../Cargo.toml");
    for guide in &GUIDES {
        let words = guide.block("bash").split_whitespace();
        // The build script is in the guide alone.
        let added = words.filter_map(|word| word.split_once('@'));
        for (name, version) in added.filter(|(name, _)| *name != "tonic-prost-build") {
            let ours = [manifest, workspace].into_iter().flat_map(str::lines);
            let mut ours = ours.filter_map(|line| line.strip_prefix(&*format!("{name} = ")));
            let is_ours = |it: &str| it.split('"').any(|it| it.starts_with(version));
            assert!(ours.any(is_ours), "{}: {name}", guide.name);
        }
    }
}

/// The output of the commands of a guide, and then that of its program. `None` if it cannot be tried.
fn tried(guide: &Guide) -> Option<(String, String)> {
    // The ports of the guides are free in a network of its own.
    let script = r#"
        ip link set lo up || exit 3
        "$PROGRAM" > "$LOG" 2>&1 &
        trap "kill $!" EXIT
        for tries in $(seq 600); do
            grep -q ":$PORT .* 0A " /proc/net/tcp && break
            sleep 0.1
        done
        KEY=$(sed -n 's/^x-api-key: //p' "$LOG")
        while read -r line; do
            eval "$line"
            echo
        done <<< "$COMMANDS"
    "#;
    let folder = crate::folder::Folder::new();
    let log = folder.path().join("log");
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--net", "bash", "-c", script]);
    unshare
        .env("PROGRAM", path_of(&format!("stack_{}", guide.name)))
        .env("LOG", &log)
        .env("PORT", format!("{:04X}", guide.port))
        .env("COMMANDS", guide.block("sh"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    let output = unshare.output().ok()?;
    let said = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() && said.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        not_run(format_args!(
            "{}, in a network of its own: {why}",
            guide.name
        ));
        return None;
    }
    assert!(output.status.success(), "{}: {said}", guide.name);
    Some((said, std::fs::read_to_string(log).unwrap()))
}

/// The numbers that the guide says, and the lines of the output that begin so.
fn assert_answers(guide: &Guide, said: &str, start: &str) {
    let commands = guide.block("sh").lines();
    let promised: Vec<&str> = commands
        .filter_map(|line| Some(line.split_once(" # ")?.1))
        .collect();
    let answers = said.lines().filter_map(|line| line.strip_prefix(start));
    let answers: Vec<&str> = answers
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(answers, promised, "{}: {said}", guide.name);
}

/// The metrics and the spans of a request with a key, of one without, and of one that lacks a scope.
fn assert_observed(guide: &Guide, said: &str, log: &str, last: &str) {
    for outcome in ["authenticated", "missing", last] {
        let line = format!(
            "api_key_requests_total{{realm=\"shop\",outcome=\"{outcome}\",cause=\"none\"}} 1"
        );
        assert!(said.lines().any(|it| it == line), "{}: {said}", guide.name);
    }
    let key = log
        .lines()
        .find_map(|line| line.strip_prefix("x-api-key: "));
    let id = &key.unwrap()[5..17];
    let closed: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" close "))
        .collect();
    for (outcome, is_known) in [("authenticated", true), ("missing", false), (last, true)] {
        let outcome = format!("api_key.outcome=\"{outcome}\"");
        let mut spans = closed.iter().filter(|span| span.contains(&outcome));
        let span = spans.next().unwrap_or_else(|| panic!("{outcome}: {log}"));
        let names = span.contains(&format!("api_key.id=\"{id}\""));
        assert_eq!(names, is_known, "{span}");
        assert!(span.contains("api_key.realm=\"shop\""), "{span}");
    }
    assert!(!log.contains(" ERROR "), "{log}");
    assert!(!said.contains(&key.unwrap()[18..]), "{said}");
}

#[test]
fn a_service_over_http_is_documented_traced_and_measured_as_its_guide_says() {
    for guide in &GUIDES[..2] {
        let Some((said, log)) = tried(guide) else {
            return;
        };
        assert_answers(guide, &said, "HTTP/1.1 ");
        assert_observed(guide, &said, &log, "insufficient_scope");
        let mut lines = said.lines().filter(|line| line.contains("openapi"));
        let document = lines
            .next()
            .and_then(|line| serde_json::from_str::<Value>(line).ok());
        let document = document.unwrap_or_else(|| panic!("{}: {said}", guide.name));
        let paths = document["paths"].as_object().unwrap();
        let security: BTreeMap<String, &Value> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = ["get", "post"].into_iter();
                let of = |method| Some((format!("{method} {path}"), item.get(method)?));
                methods.filter_map(of).collect::<Vec<_>>()
            })
            .map(|(name, operation)| (name, &operation["security"]))
            .collect();
        assert_eq!(
            *security["get /orders"],
            json!([{"x-api-key": ["orders:read"]}])
        );
        assert_eq!(
            *security["post /orders"],
            json!([{"x-api-key": ["orders:write"]}])
        );
    }
}

#[test]
fn a_service_over_grpc_is_traced_and_measured_as_its_guide_says() {
    let guide = &GUIDES[2];
    let Some((said, log)) = tried(guide) else {
        return;
    };
    assert_answers(guide, &said, "grpc-status: ");
    assert_observed(guide, &said, &log, "unknown_route");
}
