//! The monitored service: its spans as a collector receives them over OTLP, its metrics as Prometheus reads them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Response, Status, transport::Server};

use crate::folder::Folder;
use crate::process::{Running, keys_in, run};
use crate::support::not_run;

/// A collector that speaks the protocol of OpenTelemetry.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// A collector, and its URL.
    async fn serve() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceServiceServer::new(collector.clone());
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    /// The spans so far, in the order of their beginnings.
    fn spans(&self) -> Vec<Span> {
        let received = self.0.lock().unwrap();
        let spans = received.iter().flat_map(|request| &request.resource_spans);
        let spans = spans.flat_map(|of_resource| &of_resource.scope_spans);
        let mut spans: Vec<Span> = spans.flat_map(|scope| scope.spans.clone()).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }
}

/// An attribute as a text.
fn attribute(span: &Span, name: &str) -> Option<String> {
    let mut found = span.attributes.iter().filter(|it| it.key == name);
    let value = found.next()?.value.clone();
    assert!(found.next().is_none(), "{name} is there twice: {span:?}");
    match value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text),
        Some(AnyValue {
            value: Some(Value::IntValue(number)),
        }) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

/// Runs the commands that the example printed, and asserts the statuses.
fn ask(commands: &[String], statuses: &[&str]) {
    for (command, status) in commands.iter().zip(statuses) {
        let answer = run("sh", ["-c", &format!("{command} -s")]);
        let head = String::from_utf8(answer.stdout).unwrap();
        let first = head.lines().next().unwrap_or_default();
        assert!(first.contains(status), "{command}: {first}");
    }
}

const STATUSES: [&str; 6] = ["200", "202", "403", "401", "401", "400"];

#[tokio::test(flavor = "multi_thread")]
async fn r06_a_collector_receives_who_called_over_otlp_and_no_key() {
    let (collector, endpoint) = Collector::serve().await;
    let folder = Folder::new();
    let keys = folder.path().join("keys.db");
    let (running, _) = Running::serve_with(
        "monitored",
        &[],
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("KEYS_DB", keys.to_str().unwrap()),
        ],
    );
    let commands = running.commands("curl", 7);
    ask(&commands[..6], &STATUSES);
    // The last spans are sent before it ends.
    running.interrupt();

    let spans = collector.spans();
    let requests: Vec<&Span> = spans.iter().filter(|span| span.name != "ship").collect();
    let expected = [
        ("GET /orders", "authenticated", Some("alice"), "200"),
        ("POST /orders", "authenticated", Some("bob"), "202"),
        // By the guard of the route.
        ("POST /orders", "authenticated", Some("alice"), "403"),
        ("GET /orders", "missing", None, "401"),
        ("GET /orders", "invalid", None, "401"),
        ("GET /orders", "key_in_url", None, "400"),
    ];
    assert_eq!(requests.len(), expected.len(), "{spans:?}");
    let mut keys = keys_in(&commands);
    keys.retain(|key| key.starts_with("shop_"));
    assert_eq!(keys.len(), 2);
    let ids = keys.iter().map(|key| &key[5..17]).collect::<Vec<_>>();
    for (span, (name, outcome, subject, status)) in requests.iter().zip(expected) {
        assert_eq!(span.name, name);
        assert_eq!(span.kind, SpanKind::Server as i32);
        let of = |name| attribute(span, name);
        assert_eq!(of("api_key.outcome").as_deref(), Some(outcome));
        let refusal = match status {
            "403" => Some("insufficient_scope"),
            _ => Some(outcome).filter(|outcome| *outcome != "authenticated"),
        };
        assert_eq!(of("api_key.refusal").as_deref(), refusal);
        assert_eq!(of("api_key.realm").as_deref(), Some("shop"));
        assert_eq!(of("enduser.id").as_deref(), subject);
        assert_eq!(of("http.route").as_deref(), Some("/orders"));
        assert_eq!(of("url.path").as_deref(), Some("/orders"));
        assert_eq!(of("http.response.status_code").as_deref(), Some(status));
        let id = of("api_key.id");
        assert_eq!(id.is_some(), subject.is_some());
        assert!(id.is_none_or(|id| ids.contains(&id.as_str())));
        // The event of the observer is in the span.
        let is_told = |it: &str| {
            let mut values = span.events.iter().flat_map(|event| &event.attributes);
            values.any(|value| value.key == "kind" && format!("{value:?}").contains(it))
        };
        assert!(
            outcome == "authenticated" || is_told("rejected"),
            "{span:?}"
        );
    }

    // The work that a handler spawned stays in the trace of its request.
    let shipped = spans.iter().find(|span| span.name == "ship").unwrap();
    assert_eq!(shipped.trace_id, requests[1].trace_id);
    assert_eq!(shipped.parent_span_id, requests[1].span_id);

    let received = format!("{:?}", collector.0.lock().unwrap());
    for key in keys {
        assert!(!received.contains(&key[18..44]), "a key was sent");
    }
}

#[test]
fn prometheus_reads_the_board_and_the_alert_rules_from_the_service() {
    let folder = Folder::new();
    let keys = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (plain, replica) = (keys("plain.db"), keys("replica.db"));
    let (plain, url) = Running::serve_with("monitored", &[], [("KEYS_DB", plain.as_str())]);
    let (replica, other) =
        Running::serve_with("monitored", &["replica"], [("KEYS_DB", replica.as_str())]);
    let commands = plain.commands("curl", 7);
    ask(&commands[..6], &STATUSES);
    ask(&replica.commands("curl", 7)[..6], &STATUSES);

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("prometheus");
    let output = Command::new(root.join("integration/monitoring/check"))
        .arg(tools)
        .arg(root.join("../docs/monitoring").canonicalize().unwrap())
        .args([&url, &other])
        .output()
        .unwrap();
    if output.status.code() == Some(3) {
        return not_run(format_args!("Prometheus cannot be installed"));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{output:?}");
    assert!(
        said.contains("expressions of the board, 12 rules"),
        "{said}"
    );
    plain.interrupt();
    replica.interrupt();
}

/// No Grafana can be installed where the tests run, so the board is held to the form that Grafana publishes.
#[test]
fn what_grafana_publishes_of_its_boards_accepts_the_board() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("integration/monitoring/board"))
        .arg(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("grafana"))
        .arg(
            root.join("../docs/monitoring/dashboard.json")
                .canonicalize()
                .unwrap(),
        )
        .output()
        .unwrap();
    if output.status.code() == Some(3) {
        return not_run(format_args!("the types of Grafana cannot be installed"));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{output:?}");
    assert!(said.contains("a board of Grafana "), "{said}");
}
