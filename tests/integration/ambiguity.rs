//! A request with more than one credential, or with one that other parties on the way may read
//! differently, is refused in every order, even if the values are equal.

use http::header::{AUTHORIZATION, CONNECTION, HeaderName};
use tower_api_key::{ApiKeyLayer, Source};

use crate::outcome::{
    IN_AUTHORIZATION, MISSING, NAMED, Outcome, PASSES, REPEATED, SEVERAL, TWIN, check,
};
use crate::support::{X_API_KEY, every_kind_of_key, request};

type Headers = Vec<(HeaderName, String)>;

fn pair(name: &'static str, value: impl Into<String>) -> (HeaderName, String) {
    (HeaderName::from_static(name), value.into())
}

/// Checks the headers in this order and in the opposite order. No layer in any mode lets an
/// ambiguous request pass.
async fn check_both_orders(layer: &ApiKeyLayer, headers: Headers, expected: Outcome) {
    let reversed = headers.iter().rev().cloned();
    for headers in [headers.clone(), reversed.collect()] {
        check(layer, request(headers.clone()), expected).await;
        let optional = layer.clone().optional().forward_credential();
        let expected = if expected == MISSING {
            PASSES
        } else {
            expected
        };
        check(&optional, request(headers), expected).await;
    }
}

#[tokio::test]
async fn r09_a_repeated_header_is_ambiguous() {
    for (ring, key) in every_kind_of_key().await {
        let own = ApiKeyLayer::new(ring.clone());
        let bearer = own.clone().sources([Source::bearer(), Source::api_key()]);
        for other in [key.as_str(), "nonsense", "", "\u{e9}"] {
            let headers = vec![(X_API_KEY, key.clone()), pair("x-api-key", other)];
            check_both_orders(&own, headers.clone(), REPEATED).await;
            // If the header is not a source, repeating it does not matter, unless the key is minted
            // and would pass.
            if !key.starts_with("acme_") {
                check_both_orders(&bearer, headers, MISSING).await;
            }
        }
        let thrice = vec![(X_API_KEY, key.clone()); 3];
        check_both_orders(&own, thrice, REPEATED).await;
        check_both_orders(&own, vec![pair("x-api-key", ""); 2], REPEATED).await;

        let presented = (AUTHORIZATION, format!("Bearer {key}"));
        let others = [
            format!("Bearer {key}"),
            format!("ApiKey {key}"),
            "Bearer other".to_owned(),
            "Bearer".to_owned(),
            "Basic YTpi".to_owned(),
            String::new(),
        ];
        for other in others {
            let headers = vec![presented.clone(), (AUTHORIZATION, other)];
            check_both_orders(&bearer, headers.clone(), REPEATED).await;
            let minted = key.starts_with("acme_");
            let expected = if minted { IN_AUTHORIZATION } else { MISSING };
            check_both_orders(&own, headers, expected).await;
        }
    }
}

#[tokio::test]
async fn r09_two_enabled_carriers_are_ambiguous() {
    let legacy = HeaderName::from_static("x-legacy-key");
    let header = |name| Source::header(name).unwrap();
    for (ring, key) in every_kind_of_key().await {
        let sources = [header(X_API_KEY), header(legacy.clone()), Source::bearer()];
        let reversed: Vec<Source> = sources.iter().rev().cloned().collect();
        for sources in [sources.to_vec(), reversed] {
            let layer = ApiKeyLayer::new(ring.clone()).sources(sources);
            for other in [key.as_str(), "nonsense", ""] {
                let bearer = pair("authorization", format!("Bearer {other}"));
                for (one, two) in [
                    (pair("x-api-key", key.clone()), bearer.clone()),
                    (pair("x-legacy-key", key.clone()), bearer),
                    (pair("x-api-key", key.clone()), pair("x-legacy-key", other)),
                    (pair("x-api-key", other), pair("x-legacy-key", key.clone())),
                ] {
                    check_both_orders(&layer, vec![one, two], SEVERAL).await;
                }
            }
            // A header that is not a source is not a second credential.
            let bystander = vec![pair("x-api-key", key.clone()), pair("x-other-key", "a")];
            check_both_orders(&layer, bystander, PASSES).await;
        }
    }
}

#[tokio::test]
async fn r10_an_underscore_twin_is_ambiguous_alone_and_beside_the_real_header() {
    for (ring, key) in every_kind_of_key().await {
        let dashed = ApiKeyLayer::new(ring.clone());
        let underscored = HeaderName::from_static("x_api_key");
        let underscored = dashed
            .clone()
            .sources([Source::header(underscored).unwrap()]);
        for value in [key.as_str(), "nonsense", ""] {
            for twin in ["x_api_key", "x_api-key", "x-api_key"] {
                check_both_orders(&dashed, vec![pair(twin, value)], TWIN).await;
            }
            for twin in ["x-api-key", "x_api-key", "x-api_key"] {
                check_both_orders(&underscored, vec![pair(twin, value)], TWIN).await;
            }
        }
        // Next to the real one, the twin comes first or second, and is refused either way.
        let both = vec![
            pair("x-api-key", key.clone()),
            pair("x_api_key", key.clone()),
        ];
        check_both_orders(&dashed, both.clone(), TWIN).await;
        check_both_orders(&underscored, both, TWIN).await;
        let twins = vec![
            pair("x_api_key", key.clone()),
            pair("x-api_key", key.clone()),
        ];
        check_both_orders(&dashed, twins, TWIN).await;

        // The same for a name in which a key would be misplaced.
        let named = HeaderName::from_static("x_original_uri");
        let named = dashed.clone().sources([Source::header(named).unwrap()]);
        let twin = pair("x-original-uri", "a".to_owned());
        check_both_orders(&named, vec![twin], TWIN).await;

        // The names differ in their first character, in their last, or in both.
        for (carrier, twin) in [
            ("-key", "_key"),
            ("_key", "-key"),
            ("key-", "key_"),
            ("key_", "key-"),
            ("x-key-", "x_key_"),
            ("x-key_", "x_key-"),
        ] {
            let source = Source::header(HeaderName::from_static(carrier)).unwrap();
            let layer = dashed.clone().sources([source]);
            check_both_orders(&layer, vec![pair(twin, key.clone())], TWIN).await;
        }

        let real = pair("x-api-key", key.clone());
        for bystander in [
            "x-api-keys",
            "xapi-key",
            "x_api_ke",
            "y_api_key",
            "x--api-key",
        ] {
            let headers = vec![real.clone(), pair(bystander, "a")];
            check_both_orders(&dashed, headers, PASSES).await;
        }
    }
}

#[tokio::test]
async fn r10_a_carrier_that_connection_names_is_ambiguous() {
    for (ring, key) in every_kind_of_key().await {
        let own = ApiKeyLayer::new(ring.clone());
        let header = Source::header(X_API_KEY).unwrap();
        let both = own.clone().sources([header, Source::bearer()]);
        let presented = pair("x-api-key", key.clone());
        let named = [
            "x-api-key",
            "X-API-Key",
            "close, x-api-key",
            "x-api-key, close",
            "close,X-Api-Key,te",
            "close ,\tx-api-key\t, te",
            ",,x-api-key",
            "x_api_key",
        ];
        for options in named {
            let connection = pair("connection", options);
            check_both_orders(&own, vec![connection.clone()], NAMED).await;
            let headers = vec![presented.clone(), connection.clone()];
            check_both_orders(&own, headers.clone(), NAMED).await;
            check_both_orders(&both, headers, NAMED).await;
            let repeated = vec![presented.clone(), pair("connection", "close"), connection];
            check_both_orders(&own, repeated, NAMED).await;
        }
        for options in [
            "authorization",
            "Authorization",
            "keep-alive, AUTHORIZATION",
        ] {
            let connection = (CONNECTION, options.to_owned());
            let bearer = (AUTHORIZATION, format!("Bearer {key}"));
            check_both_orders(&both, vec![bearer, connection.clone()], NAMED).await;
            check_both_orders(&both, vec![presented.clone(), connection.clone()], NAMED).await;
            // If no scheme is enabled, `Authorization` carries no key of this layer.
            check_both_orders(&own, vec![presented.clone(), connection], PASSES).await;
        }
        for options in [
            "close",
            "keep-alive, te",
            "x-api-keys",
            "api-key",
            "",
            "x api key",
        ] {
            let connection = (CONNECTION, options.to_owned());
            check_both_orders(&own, vec![presented.clone(), connection.clone()], PASSES).await;
            check_both_orders(&own, vec![connection], MISSING).await;
        }
    }
}
