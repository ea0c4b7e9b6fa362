//! A registry with this crate, over the tables that it had: an extractor reads the token from a raw `Authorization`,
//! as its clients send it.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{delete, get, put};
use tower_api_key::store::TableKey;
use tower_api_key::{
    ApiKeyLayer, Authenticated, Authenticator, Error, KeyDigest, KeyId, Owner, Principal,
    Rejection, Requirement, ResponseGuardLayer, Source, Subject, VerifiedKey, Verifier,
};

use super::tables::{Tables, User};

pub fn app(tables: Tables) -> Result<Router, Error> {
    let keys = ApiKeyLayer::new(verifier(tables)?).sources([Source::authorization_raw()]);
    Ok(Router::new()
        .route("/me", get(me))
        .route("/packages", put(publish))
        .route("/packages/{name}", delete(remove))
        .route("/summary", get(summary))
        .layer(ResponseGuardLayer::new())
        .with_state(keys.authenticator()))
}

/// Who sends a request.
struct Caller {
    token: VerifiedKey,
    user: Arc<User>,
}

impl FromRequestParts<Authenticator> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, keys: &Authenticator) -> Result<Self, Response> {
        let Authenticated(token) = Authenticated::from_request_parts(parts, keys).await?;
        let Principal(user) = Principal::from_request_parts(parts, keys).await?;
        Ok(Self { token, user })
    }
}

impl Caller {
    fn require(&self, scope: &str) -> Result<(), Rejection> {
        let scope = Requirement::scope(scope).expect("a scope");
        self.token.require(&scope)
    }
}

pub fn verifier(tables: Tables) -> Result<Verifier, Error> {
    let tokens = tables.clone();
    Verifier::builder("registry")
        .owners(move |id: Subject| {
            let users = tables.clone();
            async move {
                let user = users.user(id.as_str().parse()?).await?;
                let Some(user) = user.filter(|user| !user.is_locked) else {
                    return Ok(None);
                };
                let ceiling = if user.is_admin {
                    "publish remove"
                } else {
                    "publish"
                };
                Ok(Some(Owner::within(ceiling.parse()?).principal(user)))
            }
        })
        .build(move |hash: KeyDigest| {
            let tokens = tokens.clone();
            async move {
                let token = tokens.token(hash.as_bytes()).await?;
                Ok(token.map(|token| {
                    let (id, hash) = (
                        KeyId::from_number(token.id),
                        KeyDigest::from_bytes(token.hash),
                    );
                    TableKey::new(id, hash, token.user_id.to_string()).scopes(token.scopes)
                }))
            }
        })
}

async fn me(caller: Caller) -> String {
    caller.user.name.to_owned()
}

async fn publish(caller: Caller) -> Result<String, Rejection> {
    caller.require("publish")?;
    Ok(format!("published by {}", caller.user.name))
}

async fn remove(caller: Caller) -> Result<String, Rejection> {
    caller.require("remove")?;
    Ok(format!("removed by {}", caller.user.name))
}

async fn summary() -> &'static str {
    "three packages"
}
