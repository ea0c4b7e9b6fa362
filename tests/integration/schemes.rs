//! The schemes of `Authorization`: those that the layer reads, and the text after them.

use http::header::AUTHORIZATION;
use tower_api_key::{ApiKeyLayer, RejectionKind, Source};

use crate::outcome::{IN_AUTHORIZATION, INVALID, MISSING, Outcome, PASSES, check};
use crate::sources::{layer, with_bytes, x_api_key};
use crate::support::{X_API_KEY, every_kind_of_key, request};

/// The outcome of a key in `Authorization` under another scheme: a minted one is found by its value.
fn elsewhere(key: &str, minted: Outcome) -> Outcome {
    if key.starts_with("acme_") {
        minted
    } else {
        MISSING
    }
}

fn misplaced(detail: &'static str) -> Outcome {
    (400, Some(RejectionKind::KeyMisplaced), detail)
}

/// `1*SP` between the scheme and the key (RFC 9110 §11.4), and no tab.
#[tokio::test]
async fn r09_an_authorization_scheme_is_followed_by_spaces_and_one_key() {
    let to_bearer = misplaced("API key in Authorization: send it in Authorization: Bearer");
    let to_api_key = misplaced("API key in Authorization: send it in Authorization: ApiKey");
    for (ring, key) in every_kind_of_key().await {
        let bearer = layer(&ring, [Source::bearer()]);
        let api_key = layer(&ring, [Source::api_key()]);
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let headers = [(AUTHORIZATION, format!("{scheme} {key}"))];
            check(&bearer, request(headers.clone()), PASSES).await;
            check(&api_key, request(headers), elsewhere(&key, to_api_key)).await;
        }
        for scheme in ["ApiKey", "apikey", "APIKEY", "aPIkEY"] {
            let headers = [(AUTHORIZATION, format!("{scheme} {key}"))];
            check(&api_key, request(headers.clone()), PASSES).await;
            check(&bearer, request(headers), elsewhere(&key, to_bearer)).await;
        }
        let elsewhere = elsewhere(&key, to_bearer);
        let values = [
            (b"Bearer".to_vec(), MISSING),
            (b"Bearer ".to_vec(), MISSING),
            (b"bearer".to_vec(), MISSING),
            (b"Bearer  ".to_vec(), MISSING),
            (b"Bearer \t".to_vec(), INVALID),
            (b"Bearer ,".to_vec(), INVALID),
            (with_bytes(b"Bearer  ", &key, b"", b""), PASSES),
            (with_bytes(b"Bearer     ", &key, b"", b""), PASSES),
            (with_bytes(b"Bearer\t", &key, b"", b""), INVALID),
            (with_bytes(b"Bearer \t", &key, b"", b""), INVALID),
            (with_bytes(b"Bearer ", &key, b"", b" "), INVALID),
            (with_bytes(b"Bearer ", &key, b" ", b""), INVALID),
            (with_bytes(b"Bearer ", &key, b"\t", b""), INVALID),
            (with_bytes(b"Bearer ", &key, b",", b""), INVALID),
            (with_bytes(b"Bearer ", &key, b"", b","), INVALID),
            (with_bytes(b"Bearer ", &key, b"\x80", b""), INVALID),
            (with_bytes(b"Bearer ", &key, b"", b"\xff"), INVALID),
            (with_bytes(b"Bearer:", &key, b"", b""), INVALID),
            (with_bytes(b"Bearer=", &key, b"", b""), INVALID),
            (with_bytes(b"Bearer,", &key, b"", b""), INVALID),
            (with_bytes(b"Bearer token=", &key, b"", b""), INVALID),
            (format!("Bearer {key}, Bearer {key}").into_bytes(), INVALID),
            (format!("Bearer {key}, Basic YTpi").into_bytes(), INVALID),
            (format!("Bearer Bearer {key}").into_bytes(), INVALID),
            (format!("Bearer{key}").into_bytes(), elsewhere),
            (format!("BearerToken {key}").into_bytes(), elsewhere),
            (format!("Bear {key}").into_bytes(), elsewhere),
            (format!(" Bearer {key}").into_bytes(), elsewhere),
            (format!("Basic YTpi, Bearer {key}").into_bytes(), elsewhere),
            (key.clone().into_bytes(), elsewhere),
            (Vec::new(), MISSING),
        ];
        for (value, expected) in values {
            check(&bearer, request([(AUTHORIZATION, value)]), expected).await;
        }
    }
}

/// A scheme is a token (RFC 9110 §11.1), which may hold more than letters and digits.
#[tokio::test]
async fn r09_a_scheme_that_begins_like_an_enabled_one_is_another_scheme() {
    for (ring, key) in every_kind_of_key().await {
        let bearer = layer(&ring, [Source::bearer()]);
        let both = layer(&ring, [x_api_key(), Source::bearer()]);
        for scheme in ["Bearer-v2", "Bearer_2", "Bearer.x", "Bearer+jwt", "Bearer!"] {
            let other = (AUTHORIZATION, format!("{scheme} {key}"));
            let to_bearer = misplaced("API key in Authorization: send it in Authorization: Bearer");
            let expected = elsewhere(&key, to_bearer);
            check(&bearer, request([other.clone()]), expected).await;
            let detail = "API key in Authorization: send it in x-api-key or Authorization: Bearer";
            let expected = match elsewhere(&key, misplaced(detail)) {
                MISSING => PASSES,
                refused => refused,
            };
            check(&both, request([(X_API_KEY, key.clone()), other]), expected).await;
        }
    }
}

#[tokio::test]
async fn a_scheme_that_is_not_enabled_is_left_in_place_and_ignored() {
    for (ring, key) in every_kind_of_key().await {
        let own = (X_API_KEY, key.clone());
        for sources in [vec![x_api_key()], vec![x_api_key(), Source::bearer()]] {
            let layer = layer(&ring, sources);
            for others in [
                "Basic YTpi",
                "ApiKey other",
                "Digest a=\"b\", c=d",
                "Negotiate",
            ] {
                let other = (AUTHORIZATION, others.to_owned());
                check(&layer, request([other.clone()]), MISSING).await;
                for headers in [[own.clone(), other.clone()], [other.clone(), own.clone()]] {
                    let (_, inner) = check(&layer, request(headers), PASSES).await;
                    assert_eq!(inner.last().headers[AUTHORIZATION], others);
                }
            }
        }
        // Without any scheme, a bearer token does not belong to the layer, unless it is a minted key.
        let layer = ApiKeyLayer::new(ring);
        let bearer = request([(AUTHORIZATION, format!("Bearer {key}")), own]);
        if elsewhere(&key, IN_AUTHORIZATION) == IN_AUTHORIZATION {
            check(&layer, bearer, IN_AUTHORIZATION).await;
            continue;
        }
        let (_, inner) = check(&layer, bearer, PASSES).await;
        assert_eq!(inner.last().headers[AUTHORIZATION], format!("Bearer {key}"));
    }
}
