//! A registry with its own authentication: an extractor reads the token from a raw `Authorization`, as the
//! protocol of its clients has it.

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::routing::{delete, get, put};
use sha2::{Digest, Sha256};

use super::tables::{Down, Tables, Token, User};

pub fn app(tables: Tables) -> Router {
    Router::new()
        .route("/me", get(me))
        .route("/packages", put(publish))
        .route("/packages/{name}", delete(remove))
        .route("/summary", get(summary))
        .with_state(tables)
}

/// Who sends a request.
struct Caller {
    token: Token,
    user: User,
}

impl FromRequestParts<Tables> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, tables: &Tables) -> Result<Self, StatusCode> {
        let text = parts.headers.get(header::AUTHORIZATION);
        let text = text.ok_or(StatusCode::UNAUTHORIZED)?;
        let hash = Sha256::digest(text.as_bytes()).into();
        let token = tables.token(&hash).await.map_err(unavailable)?;
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let user = tables.user(token.user_id).await.map_err(unavailable)?;
        let user = user.filter(|user| !user.is_locked);
        let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
        Ok(Self { token, user })
    }
}

impl Caller {
    fn require(&self, scope: &str) -> Result<(), StatusCode> {
        let is_granted = self.token.scopes.split(' ').any(|it| it == scope);
        let is_allowed = scope != "remove" || self.user.is_admin;
        if is_granted && is_allowed {
            return Ok(());
        }
        Err(StatusCode::FORBIDDEN)
    }
}

fn unavailable(_: Down) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

async fn me(caller: Caller) -> String {
    caller.user.name.to_owned()
}

async fn publish(caller: Caller) -> Result<String, StatusCode> {
    caller.require("publish")?;
    Ok(format!("published by {}", caller.user.name))
}

async fn remove(caller: Caller) -> Result<String, StatusCode> {
    caller.require("remove")?;
    Ok(format!("removed by {}", caller.user.name))
}

async fn summary() -> &'static str {
    "three packages"
}
