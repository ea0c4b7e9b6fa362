//! The parts of a document that its operations refer to.

use http::StatusCode;
use http::header;
use serde_json::{Map, Value, json};

use crate::middleware::auth::Documented;
use crate::middleware::rejection::{RejectionKind, StatusProfile};
use crate::verdict::Scheme;

const DESCRIPTION: &str = "An API key of this service. A request carries one key, in one place, and never in its URL: a key in a URL is \
    refused, and has to be replaced.\n\n\
    A key ends by itself, and is refused with 401 from then on: have the next one in time. After a rotation the old key and \
    the new one both work until the grace period of the old key ends. If the rights of its holder change, the key is \
    replaced at once (a regrant): the old one is refused with 401, and the new one has the new rights. Rights are never \
    added to a key that exists, so a client that gets 403 needs another key. Do not repeat a request that got 401 or 403 with the same \
    key. After a 503 the same request may be sent again.\n\n\
    A wrong key is refused with 401 also if the operation needs none.";

const ANNOUNCED: &str = "\n\nThe response to a key that ends soon has the field `Sunset` with the moment from which the key is refused (RFC \
    8594), and the response to a key that was replaced has `Deprecation` too (RFC 9745). Both are about the key, and not about the \
    operation.";

/// The security schemes, each with its name in the document.
pub(super) fn schemes(layer: &Documented<'_>) -> Vec<(String, Value)> {
    let (headers, authorization) = layer.sources.kinds();
    let announced = if layer.announces_ends { ANNOUNCED } else { "" };
    let description = format!("{DESCRIPTION}{announced}");
    let in_header = |name: &str| {
        json!({
            "type": "apiKey",
            "in": "header",
            "name": name,
            "description": description,
        })
    };
    let headers = headers.iter();
    let headers = headers.map(|name| (component(name.as_str()), in_header(name.as_str())));
    let schemes = authorization.schemes().iter().map(|scheme| {
        let name = if *scheme == Scheme::BEARER {
            // The registry of schemes has it in this spelling.
            "bearer"
        } else {
            scheme.as_str()
        };
        let described = json!({"type": "http", "scheme": name, "description": description});
        (component(scheme.as_str()), described)
    });
    // A scheme of the type `http` would have clients write its name in front of the key.
    let raw = authorization.is_raw().then(|| {
        let name = header::AUTHORIZATION;
        (component("Authorization"), in_header(name.as_str()))
    });
    headers.chain(schemes).chain(raw).collect()
}

/// A header or a scheme as the name of a component, whose characters are fewer.
fn component(name: &str) -> String {
    let is_allowed =
        |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let characters = name.chars();
    characters
        .map(|it| if is_allowed(it) { it } else { '_' })
        .collect()
}

pub(super) const PROBLEM: &str = "ApiKeyProblem";

/// The schema of a refusal (RFC 9457).
pub(super) fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    })
}

/// The statuses of refusals that a client can cause, each once, in ascending order.
#[derive(Debug, Clone)]
pub(super) struct Refusals {
    /// Those of a public operation, which refuses only a key that is wrong.
    pub(super) public: Vec<StatusCode>,
    pub(super) all: Vec<StatusCode>,
}

impl Refusals {
    pub(super) fn new(profile: StatusProfile) -> Self {
        const OF_A_WRONG_KEY: [RejectionKind; 5] = [
            RejectionKind::Ambiguous,
            RejectionKind::KeyInUrl,
            RejectionKind::KeyMisplaced,
            RejectionKind::Invalid,
            RejectionKind::StoreUnavailable,
        ];
        const OF_ANOTHER_KEY: [RejectionKind; 3] = [
            RejectionKind::Missing,
            RejectionKind::InsufficientScope,
            RejectionKind::UnknownRoute,
        ];
        Self {
            public: statuses(profile, &OF_A_WRONG_KEY),
            all: statuses(profile, &[&OF_A_WRONG_KEY[..], &OF_ANOTHER_KEY].concat()),
        }
    }
}

fn statuses(profile: StatusProfile, kinds: &[RejectionKind]) -> Vec<StatusCode> {
    let statuses = kinds.iter().map(|kind| profile.status(*kind));
    let mut statuses: Vec<StatusCode> = statuses.collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// The response of a status as a component, with its name.
pub(super) fn response(status: StatusCode, has_responder: bool) -> (String, Value) {
    let text =
        |description: &str| json!({"description": description, "schema": {"type": "string"}});
    let challenge = || text("A challenge (RFC 9110 §11.6.1, RFC 6750 §3).");
    let mut headers = Map::new();
    let description = match status {
        StatusCode::BAD_REQUEST => {
            "More than one API key, or an API key in a wrong place, such as the URL."
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert("WWW-Authenticate".to_owned(), challenge());
            "No API key, or one that is not valid."
        }
        StatusCode::FORBIDDEN => {
            headers.insert("WWW-Authenticate".to_owned(), challenge());
            "An API key that may not do this."
        }
        _ => {
            headers.insert(
                "Retry-After".to_owned(),
                text("Seconds (RFC 9110 §10.2.3)."),
            );
            "The API key cannot be checked at present."
        }
    };
    let mut response = json!({"description": description});
    if !headers.is_empty() {
        response["headers"] = headers.into();
    }
    // The author of a responder knows what it answers.
    if !has_responder {
        let schema = json!({"$ref": format!("#/components/schemas/{PROBLEM}")});
        response["content"] = json!({"application/problem+json": {"schema": schema}});
    }
    (name(status), response)
}

/// The name of the response of a status.
pub(super) fn name(status: StatusCode) -> String {
    format!("ApiKey{}", status.as_u16())
}
