//! Documents that say what a layer enforces, read by public validators, and documents that are refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use http::HeaderName;
use serde_json::{Value, json};
use tower_api_key::openapi::Security;
use tower_api_key::{
    Access, ApiKeyLayer, ErrorKind, KeyRing, Requirement, RouteTable, Source, StatusProfile,
};

use crate::process::Running;
use crate::support::{not_run, ring};

fn table() -> RouteTable {
    let admin_or_both = Requirement::any([
        Requirement::scope("admin").unwrap(),
        Requirement::all(["read", "write"]).unwrap(),
    ]);
    RouteTable::builder()
        .get("/health", Access::Public)
        .get("/me", Access::AnyKey)
        .get("/orders/{id}", "read")
        .delete("/orders/{id}", admin_or_both.unwrap())
        .any_method("/files/{*path}", "files")
        .build()
        .unwrap()
}

fn layer() -> ApiKeyLayer {
    ApiKeyLayer::new(ring()).routes(table())
}

fn written(version: &str) -> Value {
    let operation = || json!({"responses": {"200": {"description": "Success."}}});
    let id = json!([{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]);
    let path =
        json!([{"name": "path", "in": "path", "required": true, "schema": {"type": "string"}}]);
    json!({
        "openapi": version,
        "info": {"title": "Orders", "version": "1"},
        "paths": {
            "/health": {"get": operation()},
            "/me": {"get": operation(), "head": operation()},
            "/orders/{id}": {"parameters": id, "get": operation(), "delete": operation()},
            "/files/{path}": {"parameters": path, "put": operation()},
        },
    })
}

fn apply(layer: &ApiKeyLayer, document: &Value) -> Result<Value, tower_api_key::Error> {
    let applied = Security::of(layer)?.apply(&document.to_string())?;
    Ok(serde_json::from_str(&applied).unwrap())
}

fn security_of(document: &Value, path: &str, method: &str) -> Value {
    document["paths"][path][method]["security"].clone()
}

#[test]
fn an_operation_says_what_its_route_asks_for() {
    let sources = [
        Source::header(HeaderName::from_static("x-api-key")).unwrap(),
        Source::bearer(),
    ];
    let document = apply(&layer().sources(sources), &written("3.1.0")).unwrap();
    for (path, method, security) in [
        ("/health", "get", json!([])),
        ("/me", "get", json!([{"x-api-key": []}, {"Bearer": []}])),
        ("/me", "head", json!([{"x-api-key": []}, {"Bearer": []}])),
        (
            "/orders/{id}",
            "get",
            json!([{"x-api-key": ["read"]}, {"Bearer": ["read"]}]),
        ),
        (
            "/orders/{id}",
            "delete",
            json!([
                {"x-api-key": ["admin"]},
                {"x-api-key": ["read", "write"]},
                {"Bearer": ["admin"]},
                {"Bearer": ["read", "write"]},
            ]),
        ),
        (
            "/files/{path}",
            "put",
            json!([{"x-api-key": ["files"]}, {"Bearer": ["files"]}]),
        ),
    ] {
        assert_eq!(
            security_of(&document, path, method),
            security,
            "{method} {path}"
        );
    }
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["x-api-key"]["name"], "x-api-key");
    assert_eq!(schemes["Bearer"]["scheme"], "bearer");
    let public = &document["paths"]["/health"]["get"]["responses"];
    assert_eq!(
        public,
        &json!({
            "200": {"description": "Success."},
            "400": {"$ref": "#/components/responses/ApiKey400"},
            "401": {"$ref": "#/components/responses/ApiKey401"},
            "503": {"$ref": "#/components/responses/ApiKey503"},
        })
    );
    let statuses = document["paths"]["/me"]["get"]["responses"]
        .as_object()
        .unwrap();
    assert_eq!(
        statuses.keys().collect::<Vec<_>>(),
        ["200", "400", "401", "403", "503"]
    );
    let responses = &document["components"]["responses"];
    assert!(responses["ApiKey401"]["headers"]["WWW-Authenticate"].is_object());
    assert!(responses["ApiKey503"]["headers"]["Retry-After"].is_object());
    assert!(responses["ApiKey403"]["content"]["application/problem+json"].is_object());
    assert_eq!(
        apply(
            &layer().sources([
                Source::header(HeaderName::from_static("x-api-key")).unwrap(),
                Source::bearer(),
            ]),
            &document
        )
        .unwrap(),
        document,
        "twice"
    );
}

/// A scheme of the type `http` would have a client write its name in front of the key.
#[test]
fn a_key_without_a_scheme_is_one_in_a_header() {
    let sources = [
        Source::scheme("Token").unwrap(),
        Source::scheme("a+b").unwrap(),
        Source::authorization_raw(),
    ];
    let document = apply(&layer().sources(sources), &written("3.1.0")).unwrap();
    let schemes = &document["components"]["securitySchemes"];
    for (name, key, value) in [
        ("Token", "type", "http"),
        ("Token", "scheme", "Token"),
        ("a_b", "scheme", "a+b"),
        ("Authorization", "type", "apiKey"),
        ("Authorization", "in", "header"),
        ("Authorization", "name", "authorization"),
    ] {
        assert_eq!(schemes[name][key], value, "{name} {key}");
    }
    let expected = json!([{"Token": []}, {"a_b": []}, {"Authorization": []}]);
    assert_eq!(security_of(&document, "/me", "get"), expected);
}

#[test]
fn openapi_3_0_has_the_scopes_next_to_the_security() {
    let mut document = written("3.0.3");
    document["paths"]["/orders/{id}"]["delete"]["description"] = "Cancels it.".into();
    let document = apply(&layer(), &document).unwrap();
    let delete = &document["paths"]["/orders/{id}"]["delete"];
    assert_eq!(delete["security"], json!([{"x-api-key": []}]));
    assert_eq!(
        delete["x-required-scopes"],
        json!([["admin"], ["read", "write"]])
    );
    let description = "Cancels it.\n\nRequired scopes: admin, or read and write.";
    assert_eq!(delete["description"], description);
    let me = &document["paths"]["/me"]["get"];
    assert!(me.get("x-required-scopes").is_none() && me.get("description").is_none());
    assert_eq!(apply(&layer(), &document).unwrap(), document, "twice");
}

#[test]
fn a_document_says_what_the_layer_and_its_rings_require_too() {
    let other = || {
        KeyRing::builder("beta")
            .build(tower_api_key::store::MemoryStore::new())
            .unwrap()
    };
    let of = |layer: ApiKeyLayer, path: &str| {
        security_of(&apply(&layer, &written("3.1.0")).unwrap(), path, "get")
    };
    let header = |scopes: &[&str]| json!({"x-api-key": scopes});
    let required = || layer().require("api");
    assert_eq!(
        of(required(), "/health"),
        json!([header(&["api"])]),
        "not public"
    );
    assert_eq!(
        of(required(), "/orders/{id}"),
        json!([header(&["api", "read"])])
    );
    let staff = || required().or_requiring(other(), "staff");
    assert_eq!(
        of(staff(), "/me"),
        json!([header(&["api"]), header(&["staff"])])
    );
    // A key of the second ring needs no more than the route says.
    let open = || layer().or_requiring(other(), "staff");
    assert_eq!(of(open(), "/orders/{id}"), json!([header(&["read"])]));
    assert_eq!(of(open(), "/me"), json!([header(&[])]));

    let aws = apply(
        &layer().profile(StatusProfile::AwsGateway),
        &written("3.1.0"),
    )
    .unwrap();
    let responses = aws["components"]["responses"].as_object().unwrap();
    assert_eq!(
        responses.keys().collect::<Vec<_>>(),
        ["ApiKey400", "ApiKey403", "ApiKey503"]
    );
    let responder = layer().responder(|_| http::Response::default());
    let own = apply(&responder, &written("3.1.0")).unwrap();
    assert!(
        own["components"]["responses"]["ApiKey401"]
            .get("content")
            .is_none()
    );
}

/// A layer that hands its refusals on says so, and accepts what is named instead.
#[test]
fn a_document_names_what_else_authenticates() {
    let layer = layer().allow_missing_or_failed();
    let document = apply(&layer, &written("3.1.0")).unwrap();
    let security = security_of(&document, "/orders/{id}", "get");
    assert_eq!(security, json!([{"x-api-key": ["read"]}, {}]));
    let security = security_of(&document, "/me", "get");
    assert_eq!(security, json!([{"x-api-key": []}, {}]));
    assert_eq!(security_of(&document, "/health", "get"), json!([]));

    let cookie = json!({"type": "apiKey", "in": "cookie", "name": "session"});
    let named = || {
        Security::of(&layer)
            .unwrap()
            .or_scheme("session", &cookie.to_string())
    };
    for version in ["3.0.3", "3.1.0"] {
        let once = named()
            .unwrap()
            .apply(&written(version).to_string())
            .unwrap();
        assert_eq!(named().unwrap().apply(&once).unwrap(), once);
        let document: Value = serde_json::from_str(&once).unwrap();
        let scopes: &[&str] = if version == "3.1.0" { &["read"] } else { &[] };
        assert_eq!(
            security_of(&document, "/orders/{id}", "get"),
            json!([{"x-api-key": scopes}, {"session": []}])
        );
        assert_eq!(document["components"]["securitySchemes"]["session"], cookie);
        // That no key is needed is not what the layer says then.
        let mut open = document;
        open["paths"]["/me"]["get"]["security"] = json!([{"x-api-key": []}, {}]);
        let error = named().unwrap().apply(&open.to_string()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid OpenAPI document: GET /me: its security is not that of the table, which is \
             [{\"x-api-key\":[]},{\"session\":[]}]"
        );
    }

    for (security, scheme, problem) in [
        (
            Security::of(&self::layer()),
            "{\"type\": \"http\"}",
            "session: the layer accepts keys alone, unless it allows missing and failed ones",
        ),
        (
            Security::of(&layer),
            "{}",
            "session: a security scheme has a type",
        ),
        (
            Security::of(&layer),
            "[]",
            "session: a security scheme has a type",
        ),
        (Security::of(&layer), "{", "it is not JSON"),
    ] {
        let error = security.unwrap().or_scheme("session", scheme).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDocument);
        assert_eq!(
            error.to_string(),
            format!("invalid OpenAPI document: {problem}")
        );
    }
    // The name of a scheme of keys.
    let taken = Security::of(&layer)
        .unwrap()
        .or_scheme("x-api-key", &cookie.to_string());
    let error = taken.unwrap().document("Orders", "1").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("x-api-key: another has this name")
    );
}

#[test]
fn a_nested_requirement_has_a_normal_form_up_to_a_cap() {
    let any = |names: [&str; 2]| Requirement::any(names).unwrap();
    let at = |requirement: Requirement| {
        let table = RouteTable::builder()
            .get("/a", requirement)
            .build()
            .unwrap();
        let security = Security::of(&ApiKeyLayer::new(ring()).routes(table))?;
        let document: Value = serde_json::from_str(&security.document("T", "1")?).unwrap();
        Ok::<_, tower_api_key::Error>(security_of(&document, "/a", "get"))
    };
    let both = Requirement::all([any(["a", "b"]), any(["b", "c"])]).unwrap();
    assert_eq!(
        at(both).unwrap(),
        json!([{"x-api-key": ["a", "c"]}, {"x-api-key": ["b"]}])
    );
    let four = [
        any(["a", "b"]),
        any(["c", "d"]),
        any(["e", "f"]),
        any(["g", "h"]),
    ];
    assert_eq!(
        at(Requirement::all(four.clone()).unwrap())
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        16
    );
    let five = Requirement::all(four.into_iter().chain([any(["i", "j"])])).unwrap();
    let error = at(five.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidDocument);
    assert_eq!(
        error.to_string(),
        format!(
            "invalid OpenAPI document: GET /a: {five}: it asks for one of more than 16 sets of scopes"
        )
    );
}

#[test]
fn a_document_that_says_something_else_is_refused_with_the_place() {
    let change = |pointer: &str, value: Value| {
        let mut document = written("3.1.0");
        let (parent, key) = pointer.rsplit_once('|').unwrap();
        let parent = parent
            .split('|')
            .skip(1)
            .fold(&mut document, |at, key| &mut at[key]);
        parent[key] = value;
        document
    };
    for (document, problem) in [
        (
            change("|paths|/orders", json!({"get": {}})),
            "GET /orders: the table does not name this route",
        ),
        (
            change("|paths|/orders/{number}", json!({"get": {}})),
            "GET /orders/{number}: the table does not name this route",
        ),
        (
            change("|paths|/me|post", json!({})),
            "POST /me: the table does not name this route",
        ),
        (
            change(
                "|paths|/orders/{id}|get|security",
                json!([{"x-api-key": ["raed"]}]),
            ),
            "GET /orders/{id}: no route of the table requires the scope raed",
        ),
        (
            change(
                "|paths|/orders/{id}|get|security",
                json!([{"x-api-key": ["files"]}]),
            ),
            "GET /orders/{id}: its security is not that of the table, which is [{\"x-api-key\":[\"read\"]}]",
        ),
        (
            change("|paths|/me|get|security", json!([])),
            "GET /me: its security is not that of the table, which is [{\"x-api-key\":[]}]",
        ),
        (
            change("|security", json!([])),
            "security: each operation has its own, so remove it",
        ),
        (
            change("|paths|/me", json!({"$ref": "#/x"})),
            "/me: a reference hides its operations",
        ),
        (
            change("|paths|/me|get", json!([])),
            "GET /me: it is no object",
        ),
        (
            change("|paths|/me|get|responses", json!([])),
            "GET /me: its responses are no object",
        ),
        (
            change("|openapi", json!("2.0")),
            "openapi: the version is neither 3.0 nor 3.1",
        ),
        (change("|paths", json!([])), "paths: there are none"),
        (
            change("|components", json!([])),
            "components: it is no object",
        ),
        (
            change(
                "|components",
                json!({"securitySchemes": {"x-api-key": {"type": "http"}}}),
            ),
            "components/securitySchemes/x-api-key: another has this name",
        ),
    ] {
        let error = apply(&layer(), &document).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDocument);
        assert_eq!(
            error.to_string(),
            format!("invalid OpenAPI document: {problem}")
        );
    }
    let none = Security::of(&ApiKeyLayer::new(ring())).unwrap_err();
    assert_eq!(
        none.to_string(),
        "invalid OpenAPI document: the layer has no table of routes"
    );
    let error = Security::of(&layer()).unwrap().apply("{").unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid OpenAPI document: it is not JSON"
    );
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn scopes_next_to_the_security_that_are_not_those_of_the_table_are_refused() {
    let with = |version: &str, path: &str, scopes: &Value| {
        let mut document = written(version);
        document["paths"][path]["get"]["x-required-scopes"] = scopes.clone();
        document
    };
    for version in ["3.0.3", "3.1.0"] {
        for (path, wrong, right) in [
            ("/orders/{id}", json!([["admin"]]), json!([["read"]])),
            ("/orders/{id}", json!("read"), json!([["read"]])),
            ("/me", json!([["read"]]), json!([[]])),
            ("/health", json!([["read"]]), json!([])),
        ] {
            let error = apply(&layer(), &with(version, path, &wrong)).unwrap_err();
            let problem = "its x-required-scopes is not that of the table, which is";
            assert_eq!(
                error.to_string(),
                format!("invalid OpenAPI document: GET {path}: {problem} {right}")
            );
            let document = apply(&layer(), &with(version, path, &right)).unwrap();
            assert_eq!(document["paths"][path]["get"]["x-required-scopes"], right);
        }
    }
}

/// The folder that keeps what the script installs, between runs.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/openapi");

/// The output of a script, or why it could not install what it needs.
fn script(name: &str, arguments: &[&str]) -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/integration/openapi/").to_owned() + name;
    let output = Command::new("bash")
        .arg(script)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        Some(3) => Err(text(output.stderr)),
        _ => panic!("{}{}", text(output.stdout), text(output.stderr)),
    }
}

#[test]
fn two_public_validators_accept_the_documents() {
    std::fs::create_dir_all(FOLDER).unwrap();
    let example = Running::start("openapi", &["print"], 0).end();
    assert!(example.status.success(), "{example:?}");
    let of_table = Security::of(&layer())
        .unwrap()
        .document("Orders", "1")
        .unwrap();
    let mut files: Vec<PathBuf> = Vec::new();
    for (name, document) in [
        ("example", example.stdout.concat()),
        ("table", of_table),
        (
            "3.0",
            apply(&layer(), &written("3.0.3")).unwrap().to_string(),
        ),
        (
            "3.1",
            apply(&layer(), &written("3.1.0")).unwrap().to_string(),
        ),
    ] {
        let file = Path::new(FOLDER).join(format!("{name}.json"));
        std::fs::write(&file, document).unwrap();
        files.push(file);
    }
    // Neither validator accepts everything.
    let broken = Path::new(FOLDER).join("broken.json");
    let mut document = written("3.1.0");
    document["paths"]["/me"]["get"]["responses"] = json!({"200": {}});
    std::fs::write(&broken, document.to_string()).unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    match script(
        "validate",
        &[&[FOLDER, broken.to_str().unwrap()], &paths[..]].concat(),
    ) {
        Ok(said) => assert_eq!(
            said.lines()
                .filter(|line| line.starts_with("valid: "))
                .count(),
            8,
            "{said}"
        ),
        Err(reason) => not_run(format_args!("validators of OpenAPI: {}", reason.trim())),
    }
}

#[test]
fn swagger_ui_shows_a_lock_at_each_operation_that_needs_a_key() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/swagger-ui");
    std::fs::create_dir_all(folder).unwrap();
    let example = Running::start("openapi", &["print"], 0).end();
    assert!(example.status.success(), "{example:?}");
    let file = Path::new(folder).join("example.json");
    std::fs::write(&file, example.stdout.concat()).unwrap();
    let page = match script("render", &[folder, file.to_str().unwrap()]) {
        Ok(page) => page,
        Err(reason) => return not_run(format_args!("Swagger UI: {}", reason.trim())),
    };
    let count = |text: &str| page.matches(text).count();
    assert_eq!(count("id=\"operations-default-"), 5, "{page}");
    assert_eq!(
        count("aria-label=\"authorization button unlocked\""),
        4,
        "{page}"
    );
    assert_eq!(count("Resolver error"), 0, "{page}");
    // The operation that is open.
    for status in ["200", "400", "401", "403", "503"] {
        assert_eq!(count(&format!("data-code=\"{status}\"")), 1, "{page}");
    }
}
