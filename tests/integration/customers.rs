//! Errors and times as a customer, an operator and a program read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_api_key::{
    ApiKeyLayer, ErrorClass, ErrorKind, KeyState, RequireScopeLayer, Requirement, Scope, Timestamp,
};

use crate::support::ring;

#[test]
fn each_kind_of_error_has_a_class_and_each_class_a_status() {
    let longest = Duration::from_secs(1);
    for (class, word, status, kinds) in [
        (
            ErrorClass::Input,
            "input",
            400,
            &[
                ErrorKind::InvalidPrefix,
                ErrorKind::InvalidRealm,
                ErrorKind::InvalidScope,
                ErrorKind::EmptyRequirement,
                ErrorKind::InvalidSubject,
                ErrorKind::InvalidLabel,
                ErrorKind::InvalidMetadata,
                ErrorKind::InvalidKeyId,
                ErrorKind::InvalidDigest,
                ErrorKind::InvalidReason,
                ErrorKind::InvalidTimestamp,
                ErrorKind::InvalidCarrier,
                ErrorKind::InvalidLifetime,
                ErrorKind::InvalidGrace,
                ErrorKind::EmptyScopes,
                ErrorKind::InvalidPolicy,
                ErrorKind::InvalidPepper,
                ErrorKind::InvalidPlaintext,
                ErrorKind::WeakPlaintext,
            ][..],
        ),
        (
            ErrorClass::Policy,
            "policy",
            422,
            &[
                ErrorKind::LifetimeTooLong { longest },
                ErrorKind::GraceTooLong { longest },
                ErrorKind::ScopeNotGrantable,
                ErrorKind::TooManyKeys { limit: 1 },
                ErrorKind::ImportRefused,
                ErrorKind::OwnerRefused,
            ],
        ),
        (
            ErrorClass::State,
            "state",
            409,
            &[
                ErrorKind::WouldWiden,
                ErrorKind::InGrace,
                ErrorKind::KeyExpired,
                ErrorKind::KeyReplaced,
                ErrorKind::KeyRevoked,
            ],
        ),
        (
            ErrorClass::NotFound,
            "not_found",
            404,
            &[ErrorKind::NotFound],
        ),
        (
            ErrorClass::Conflict,
            "conflict",
            409,
            &[ErrorKind::Conflict, ErrorKind::Duplicate],
        ),
        (
            ErrorClass::Store,
            "store",
            503,
            &[ErrorKind::Generator, ErrorKind::Store],
        ),
    ] {
        assert_eq!(class.as_str(), word);
        assert_eq!(class.to_string(), word);
        assert_eq!(class.status(), status);
        for kind in kinds {
            assert_eq!(kind.class(), class, "{kind:?}");
        }
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn an_error_is_a_response_that_says_nothing_of_its_sources() {
    use axum::response::IntoResponse;
    use http::{HeaderMap, StatusCode};
    use tower_api_key::store::{MemoryStore, StoreError};
    use tower_api_key::{Grant, KeyRing};

    use crate::ring::stores::Tapped;

    let respond = async |error: tower_api_key::Error| -> (StatusCode, HeaderMap, String) {
        let (head, body) = error.into_response().into_parts();
        let body = axum::body::to_bytes(body, 4_096).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status, head.headers, body)
    };

    let (status, headers, body) = respond("a\nb".parse::<Scope>().unwrap_err()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers.get("retry-after").is_none());
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "title": "Bad Request",
            "status": 400,
            "detail": "invalid scope: use 1 to 128 visible ASCII characters without space, \" and \\",
        })
    );

    let cause = "password authentication failed for postgres";
    let store = Tapped::new(&MemoryStore::new())
        .before_commit(move |_| Err(StoreError::unavailable(cause)));
    let ring = KeyRing::builder("acme").build(store).unwrap();
    let error = ring.issue(Grant::new("alice")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let (status, headers, body) = respond(error).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(
        body,
        r#"{"title":"Service Unavailable","status":503,"detail":"the key store failed"}"#
    );
}

#[test]
fn a_time_is_written_and_read_as_people_do() {
    let moment = Timestamp::from_unix(1_800_000_000);
    assert_eq!(moment.to_string(), "2027-01-15T08:00:00Z");
    let elsewhere: Timestamp = "2027-01-15T09:00:00+01:00".parse().unwrap();
    assert_eq!(elsewhere, moment);
    let error = "tomorrow".parse::<Timestamp>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTimestamp);
    // A time that RFC 3339 cannot express is not lost in a log.
    assert_eq!(Timestamp::MAX.to_string(), u64::MAX.to_string());

    let time = UNIX_EPOCH + Duration::from_millis(1_800_000_000_999);
    assert_eq!(Timestamp::try_from(time).unwrap(), moment);
    let back = SystemTime::try_from(moment).unwrap();
    assert_eq!(back, UNIX_EPOCH + Duration::from_hours(500_000));
    let early = UNIX_EPOCH - Duration::from_nanos(1);
    let error = Timestamp::try_from(early).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTimestamp);
    let error = SystemTime::try_from(Timestamp::MAX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTimestamp);
}

#[test]
fn a_state_has_one_word_everywhere() {
    for (state, word) in [
        (KeyState::Live, "live"),
        (KeyState::NotYetValid, "not_yet_valid"),
        (KeyState::Expired, "expired"),
        (KeyState::Replaced, "replaced"),
        (KeyState::Revoked, "revoked"),
    ] {
        assert_eq!(state.as_str(), word);
        assert_eq!(state.to_string(), word);
        #[cfg(feature = "serde")]
        {
            assert_eq!(serde_json::to_value(state).unwrap(), word);
            assert_eq!(
                serde_json::from_value::<KeyState>(word.into()).unwrap(),
                state
            );
        }
    }
}

/// A requirement from settings, owned or borrowed.
#[test]
fn a_requirement_is_taken_in_every_form_that_one_has_it_in() {
    let text = String::from("orders:read");
    let scope: Scope = text.parse().unwrap();
    let requirement = Requirement::scope("orders:read").unwrap();
    let layer = ApiKeyLayer::new(ring());
    for layer in [
        layer.clone().require("orders:read"),
        layer.clone().require(&text),
        layer.clone().require(text.clone()),
        layer.clone().require(&scope),
        layer.clone().require(scope.clone()),
        layer.clone().require(&requirement),
        layer.require(requirement.clone()),
    ] {
        let debug = format!("{layer:?}");
        assert!(debug.contains("orders:read"), "{debug}");
    }
    let _ = RequireScopeLayer::new(&text);
    let texts: Vec<String> = vec![text.clone(), "admin".to_owned()];
    let any = Requirement::any(&texts).unwrap();
    assert_eq!(any.to_string(), "orders:read or admin");
    let all = Requirement::all([&requirement, &any]).unwrap();
    assert_eq!(all.to_string(), "orders:read and (orders:read or admin)");
}
