//! The required answers of an example, one row per request, requested by a Rust client or by curl.

use std::process::Output;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

pub(crate) use crate::process::keys_in;
use crate::process::run;
use crate::support::{Whole, send};

pub(crate) const MISSING: &str = "API key missing";
pub(crate) const INVALID: &str = "Invalid API key";
pub(crate) const LACKING: &str = "Insufficient scope: expected write";

pub(crate) type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn client(http2: bool) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http()
}

/// One request to a running example, and its required response.
pub(crate) struct Row {
    method: Method,
    url: String,
    headers: Vec<(&'static str, String)>,
    status: u16,
    body: Value,
    /// Each with its exact value, or `None` if it must be absent.
    expected: Vec<(&'static str, Option<&'static str>)>,
}

impl Row {
    pub(crate) fn new(method: Method, url: String, status: u16, body: Value) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            status,
            body,
            expected: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    pub(crate) fn expect(mut self, name: &'static str, value: Option<&'static str>) -> Self {
        self.expected.push((name, value));
        self
    }

    /// The headers of every refusal in the default form.
    pub(crate) fn refused(self, challenge: Option<&'static str>) -> Self {
        self.expect("content-type", Some("application/problem+json"))
            .expect("cache-control", Some("no-store"))
            .expect("vary", Some("x-api-key"))
            .expect("www-authenticate", challenge)
    }

    /// The headers of every response to a key.
    pub(crate) fn accepted(self) -> Self {
        self.expect("content-type", Some("application/json"))
            .expect("cache-control", Some("private"))
            .expect("vary", Some("x-api-key"))
            .expect("www-authenticate", None)
    }

    pub(crate) async fn ask(&self, client: &HttpClient) -> Whole {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        send(client, request.body(Full::default()).unwrap()).await
    }

    pub(crate) fn ask_with_curl(&self, version: &str) -> Whole {
        let mut arguments = vec!["-s", "-i", version, "-X", self.method.as_str(), &self.url];
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        for header in &headers {
            arguments.extend(["-H", header]);
        }
        parse_curl(&run("curl", arguments))
    }

    #[track_caller]
    pub(crate) fn check(&self, response: &Whole, client: &str) {
        let row = format!("{client}: {} {} {:?}", self.method, self.url, self.headers);
        assert_eq!(response.status.as_u16(), self.status, "{row}");
        assert_eq!(response.json(), self.body, "{row}");
        for (name, value) in &self.expected {
            assert_eq!(
                response.values(name),
                Vec::from_iter(*value),
                "{row}: {name}"
            );
        }
    }
}

pub(crate) fn problem(status: u16, detail: &str) -> Value {
    let title = StatusCode::from_u16(status).unwrap();
    json!({"title": title.canonical_reason(), "status": status, "detail": detail})
}

/// Pastes the commands that an example printed, and checks each response.
#[track_caller]
pub(crate) fn paste(commands: &[String], expected: &[(u16, Value)]) {
    assert_eq!(commands.len(), expected.len());
    for (command, (status, body)) in commands.iter().zip(expected) {
        let response = answer_to(command);
        assert_eq!(response.status.as_u16(), *status, "{command}");
        assert_eq!(response.json(), *body, "{command}");
    }
}

/// Pastes one command.
#[track_caller]
pub(crate) fn answer_to(command: &str) -> Whole {
    parse_curl(&run("sh", ["-c", command]))
}

/// Parses the output of `curl -i`.
#[track_caller]
fn parse_curl(output: &Output) -> Whole {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(
            HeaderName::try_from(name).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    Whole {
        status: status.parse().unwrap(),
        headers,
        body: body.to_owned().into(),
        rejection: None,
    }
}
