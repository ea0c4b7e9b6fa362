//! A registry with this crate, over the tables that it had. Its clients send what they sent before.

use axum::Router;
use axum::routing::{delete, get, put};
use tower_api_key::store::TableKey;
use tower_api_key::{
    ApiKeyLayer, Error, KeyDigest, KeyId, Owner, Principal, RequireScopeLayer, Source, Subject,
    Verifier,
};

use super::tables::{Tables, User};

pub fn app(tables: Tables) -> Result<Router, Error> {
    let keys = ApiKeyLayer::new(verifier(tables)?).sources([Source::authorization_raw()]);
    Ok(Router::new()
        .route("/me", get(me))
        .route(
            "/packages",
            put(publish).layer(RequireScopeLayer::new("publish")),
        )
        .route(
            "/packages/{name}",
            delete(remove).layer(RequireScopeLayer::new("remove")),
        )
        .layer(keys)
        .route("/summary", get(summary)))
}

/// Who sends a request.
type Caller = Principal<User>;

fn verifier(tables: Tables) -> Result<Verifier, Error> {
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

async fn me(Principal(user): Caller) -> String {
    user.name.to_owned()
}

async fn publish(Principal(user): Caller) -> String {
    format!("published by {}", user.name)
}

async fn remove(Principal(user): Caller) -> String {
    format!("removed by {}", user.name)
}

async fn summary() -> &'static str {
    "three packages"
}
