//! What a layer enforces, in an OpenAPI document. Needs the feature `openapi`.
//!
//! The document is text in JSON, so it may come from utoipa, from another generator, or from hand.
//! [`Security::apply`] writes into it what the [`RouteTable`](crate::RouteTable) of the layer says, and refuses a
//! document that says something else. [`Security::document`] makes one of the table alone.
//!
//! ```
//! use tower_api_key::openapi::Security;
//! use tower_api_key::{Access, ApiKeyLayer, KeyRing, RouteTable, store::MemoryStore};
//!
//! let table = RouteTable::builder()
//!     .get("/health", Access::Public)
//!     .get("/orders/{id}", "orders:read")
//!     .build()?;
//! let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
//! let layer = ApiKeyLayer::new(ring).routes(table);
//!
//! let written = r#"{
//!     "openapi": "3.1.0",
//!     "info": {"title": "Orders", "version": "1"},
//!     "paths": {
//!         "/health": {"get": {"responses": {"200": {"description": "It is up."}}}},
//!         "/orders/{id}": {"get": {"responses": {"200": {"description": "The order."}}}}
//!     }
//! }"#;
//! let document = Security::of(&layer)?.apply(written)?;
//! let document: serde_json::Value = serde_json::from_str(&document)?;
//! let read = &document["paths"]["/orders/{id}"]["get"];
//! assert_eq!(read["security"], serde_json::json!([{"x-api-key": ["orders:read"]}]));
//! assert_eq!(read["responses"]["401"]["$ref"], "#/components/responses/ApiKey401");
//! assert_eq!(document["paths"]["/health"]["get"]["security"], serde_json::json!([]));
//!
//! let forgotten = written.replace("/health", "/status");
//! assert_eq!(
//!     Security::of(&layer)?.apply(&forgotten).unwrap_err().to_string(),
//!     "invalid OpenAPI document: GET /status: the table does not name this route"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is written
//!
//! - `components/securitySchemes` has a scheme for each carrier of the layer ([`Source`](crate::Source)). Its description
//!   says what the end of a key, a rotation and a regrant mean for a client.
//! - Each operation has a `security`. It is empty for a public route. Otherwise it has an object for each carrier and each set
//!   of scopes of which one is enough: `all` is one object with all scopes, and `any` is several objects. A nested
//!   requirement is brought into this form. It may have 16 sets at most.
//! - If the layer [hands its refusals on](crate::ApiKeyLayer::allow_missing_or_failed), `security` also has the schemes that are
//!   [named](Security::or_scheme), or else `{}`: no key is needed. Required scopes are those of a key.
//! - In OpenAPI 3.0, scopes are not allowed there. The operation has them in `x-required-scopes`, a list of such sets, and at the end
//!   of its description.
//! - Each operation has the responses of the layer, as references into `components`, except for a status
//!   that the document describes already. A public operation has those to a wrong, a misplaced and a second key.

mod components;
mod operation;
mod security;

pub use security::Security;
