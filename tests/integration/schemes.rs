//! The schemes of `Authorization`: which ones are ours, and what follows them.

use http::header::AUTHORIZATION;
use tower_api_key::{ApiKeyLayer, Source};

use crate::outcome::{INVALID, MISSING, PASSES, check};
use crate::sources::{layer, with_bytes, x_api_key};
use crate::support::{X_API_KEY, every_kind_of_key, request};

#[tokio::test]
async fn r09_an_authorization_scheme_is_followed_by_one_space_and_one_key() {
    for (ring, key) in every_kind_of_key().await {
        let bearer = layer(&ring, [Source::bearer()]);
        let api_key = layer(&ring, [Source::api_key()]);
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let headers = [(AUTHORIZATION, format!("{scheme} {key}"))];
            check(&bearer, request(headers.clone()), PASSES).await;
            check(&api_key, request(headers), MISSING).await;
        }
        for scheme in ["ApiKey", "apikey", "APIKEY", "aPIkEY"] {
            let headers = [(AUTHORIZATION, format!("{scheme} {key}"))];
            check(&api_key, request(headers.clone()), PASSES).await;
            check(&bearer, request(headers), MISSING).await;
        }
        let values = [
            (b"Bearer".to_vec(), MISSING),
            (b"Bearer ".to_vec(), MISSING),
            (b"bearer".to_vec(), MISSING),
            (b"Bearer  ".to_vec(), INVALID),
            (b"Bearer ,".to_vec(), INVALID),
            (with_bytes(b"Bearer  ", &key, b"", b""), INVALID),
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
            (format!("Bearer{key}").into_bytes(), MISSING),
            (format!("BearerToken {key}").into_bytes(), MISSING),
            (format!("Bear {key}").into_bytes(), MISSING),
            (format!(" Bearer {key}").into_bytes(), MISSING),
            (format!("Basic YTpi, Bearer {key}").into_bytes(), MISSING),
            (key.clone().into_bytes(), MISSING),
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
            check(&bearer, request([other.clone()]), MISSING).await;
            check(&both, request([(X_API_KEY, key.clone()), other]), PASSES).await;
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
        // Without any scheme, not even a bearer token of ours is the layer's.
        let bearer = (AUTHORIZATION, format!("Bearer {key}"));
        let (_, inner) = check(&ApiKeyLayer::new(ring), request([bearer, own]), PASSES).await;
        assert_eq!(inner.last().headers[AUTHORIZATION], format!("Bearer {key}"));
    }
}
