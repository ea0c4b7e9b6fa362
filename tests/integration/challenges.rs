//! How a refusal describes authentication to the client (RFC 9110 §11, RFC 6750 §3).

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use tower::{Layer, ServiceBuilder};
use tower_api_key::store::MemoryStore;
use tower_api_key::{
    ApiKeyLayer, KeyRing, RejectionKind, RequireScopeLayer, Requirement, Source, StatusProfile,
};

use crate::support::{Inner, Whole, X_API_KEY, key, request, ring, send, with_key};

const CHALLENGE: &str = "www-authenticate";

fn x_api_key() -> Source {
    Source::header(X_API_KEY).unwrap()
}

fn other_header() -> Source {
    Source::header(HeaderName::from_static("x-acme-key")).unwrap()
}

/// Each set of sources, and the schemes that a layer with them challenges with.
fn source_sets() -> Vec<(Vec<Source>, &'static [&'static str])> {
    let (bearer, api_key) = (Source::bearer, Source::api_key);
    let token = || Source::scheme("Token").unwrap();
    let raw = Source::authorization_raw;
    vec![
        (vec![x_api_key()], &["ApiKey"]),
        (vec![other_header()], &["ApiKey"]),
        (vec![x_api_key(), other_header()], &["ApiKey"]),
        (vec![api_key()], &["ApiKey"]),
        (vec![x_api_key(), api_key()], &["ApiKey"]),
        (vec![bearer()], &["Bearer"]),
        (vec![bearer(), bearer()], &["Bearer"]),
        (vec![x_api_key(), bearer()], &["ApiKey", "Bearer"]),
        (vec![bearer(), x_api_key()], &["ApiKey", "Bearer"]),
        (vec![bearer(), api_key()], &["ApiKey", "Bearer"]),
        (
            vec![x_api_key(), bearer(), api_key()],
            &["ApiKey", "Bearer"],
        ),
        (vec![token()], &["Token"]),
        (vec![token(), Source::scheme("TOKEN").unwrap()], &["Token"]),
        (vec![token(), bearer()], &["Bearer", "Token"]),
        (vec![x_api_key(), token()], &["ApiKey", "Token"]),
        // A challenge names a scheme (RFC 9110 §11.6.1), also for a key without one.
        (vec![raw()], &["ApiKey"]),
        (vec![raw(), raw()], &["ApiKey"]),
        (vec![raw(), api_key()], &["ApiKey"]),
        (
            vec![raw(), token(), bearer()],
            &["ApiKey", "Bearer", "Token"],
        ),
        // Nothing can be presented, but RFC 9110 §15.5.2 wants a challenge in every 401.
        (vec![], &["ApiKey"]),
    ]
}

fn bearer_request(value: &str) -> Request<()> {
    request([(AUTHORIZATION, value)])
}

#[tokio::test]
async fn a_missing_key_is_challenged_with_every_scheme_and_no_error_code() {
    for (sources, schemes) in source_sets() {
        let service = ApiKeyLayer::new(ring())
            .sources(sources.clone())
            .layer(Inner::new());
        let response = send(&service, Request::new(())).await;

        let expected: Vec<String> = schemes
            .iter()
            .map(|scheme| format!("{scheme} realm=\"orders\""))
            .collect();
        assert_eq!(response.kind(), Some(RejectionKind::Missing), "{sources:?}");
        assert_eq!(response.values(CHALLENGE), expected, "{sources:?}");
    }
}

#[tokio::test]
async fn an_invalid_key_is_challenged_alike_whatever_carries_it() {
    let carriers = [
        ("x-api-key", "nonsense"),
        ("x-acme-key", "nonsense"),
        ("authorization", "Bearer nonsense"),
        ("authorization", "ApiKey nonsense"),
        ("authorization", "token nonsense"),
        ("authorization", "nonsense"),
    ];
    for (sources, schemes) in source_sets() {
        let service = ApiKeyLayer::new(ring())
            .sources(sources.clone())
            .layer(Inner::new());
        let expected: Vec<String> = schemes
            .iter()
            .map(|scheme| format!("{scheme} realm=\"orders\", error=\"invalid_token\""))
            .collect();
        let mut accepted_carriers = 0;
        for carrier in carriers {
            let response = send(&service, request([carrier])).await;
            if response.kind() == Some(RejectionKind::Missing) {
                continue;
            }
            accepted_carriers += 1;
            assert_eq!(response.kind(), Some(RejectionKind::Invalid), "{carrier:?}");
            assert_eq!(
                response.values(CHALLENGE),
                expected,
                "{sources:?} {carrier:?}"
            );
        }
        // A key without a scheme is any value.
        let expected = if sources.contains(&Source::authorization_raw()) {
            carriers
                .iter()
                .filter(|(name, _)| *name == "authorization")
                .count()
        } else {
            let mut distinct = sources.clone();
            distinct.dedup();
            distinct.len()
        };
        assert_eq!(accepted_carriers, expected, "{sources:?}");
    }
}

#[tokio::test]
async fn there_is_no_error_code_where_no_key_was_presented() {
    let service = ApiKeyLayer::new(ring())
        .sources([x_api_key(), Source::bearer()])
        .layer(Inner::new());
    let nothing = [
        request([("accept", "*/*")]),
        request([("x-api-key", "")]),
        bearer_request(""),
        bearer_request("Bearer"),
        bearer_request("Bearer "),
        bearer_request("bearer "),
        // Another scheme is a credential for another party.
        bearer_request("Basic dXNlcjpwYXNzd29yZA=="),
        bearer_request("Digest username=\"alice\""),
        bearer_request("ApiKey nonsense"),
        bearer_request("BearerX nonsense"),
        request([("proxy-authorization", "Bearer nonsense")]),
        request([("cookie", "x-api-key=nonsense")]),
    ];
    for request in nothing {
        let headers = request.headers().clone();
        let response = send(&service, request).await;
        assert_eq!(response.kind(), Some(RejectionKind::Missing), "{headers:?}");
        assert_eq!(
            response.values(CHALLENGE),
            ["ApiKey realm=\"orders\"", "Bearer realm=\"orders\""],
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn the_challenge_stays_where_a_profile_answers_403() {
    let service = ApiKeyLayer::new(ring())
        .sources([Source::bearer()])
        .profile(StatusProfile::AwsGateway)
        .layer(Inner::new());

    let missing = send(&service, Request::new(())).await;
    assert_eq!(missing.status, 403);
    assert_eq!(missing.values(CHALLENGE), ["Bearer realm=\"orders\""]);

    let invalid = send(&service, bearer_request("Bearer nonsense")).await;
    assert_eq!(invalid.status, 403);
    assert_eq!(
        invalid.values(CHALLENGE),
        ["Bearer realm=\"orders\", error=\"invalid_token\""]
    );
}

#[tokio::test]
async fn the_realm_is_quoted_as_it_is() {
    let realms = [
        (None, "acme"),
        (Some("orders"), "orders"),
        (Some("Orders API, v2; (live)"), "Orders API, v2; (live)"),
        (Some("~!#$%&'*+-.^_`|"), "~!#$%&'*+-.^_`|"),
    ];
    for (realm, quoted) in realms {
        let mut builder = KeyRing::builder("acme");
        if let Some(realm) = realm {
            builder = builder.realm(realm);
        }
        let ring = builder.build(MemoryStore::new()).unwrap();
        let key = key(&ring, "read").await;
        let service = ApiKeyLayer::new(ring).require("write").layer(Inner::new());

        let missing = send(&service, Request::new(())).await;
        assert_eq!(
            missing.values(CHALLENGE),
            [format!("ApiKey realm=\"{quoted}\"")]
        );
        let lacking = send(&service, with_key(&key)).await;
        let expected =
            format!("ApiKey realm=\"{quoted}\", error=\"insufficient_scope\", scope=\"write\"");
        assert_eq!(lacking.values(CHALLENGE), [expected]);
    }
}

/// The responses of a layer that requires scopes itself and of a guard inside one.
async fn both_ways(requirement: &Requirement, request: impl Fn(&str) -> Request<()>) -> [Whole; 2] {
    let ring = ring();
    let key = key(&ring, "unrelated").await;
    let layer = ApiKeyLayer::new(ring).sources([
        x_api_key(),
        Source::bearer(),
        Source::api_key(),
        Source::scheme("Token").unwrap(),
        Source::authorization_raw(),
    ]);
    let in_one = layer
        .clone()
        .require(requirement.clone())
        .layer(Inner::new());
    let guarded = ServiceBuilder::new()
        .layer(layer)
        .layer(RequireScopeLayer::new(requirement.clone()))
        .service(Inner::new());
    [
        send(&in_one, request(&key)).await,
        send(&guarded, request(&key)).await,
    ]
}

#[tokio::test]
async fn a_lacking_scope_is_challenged_with_the_scheme_of_the_carrier_alone() {
    let requirement = Requirement::scope("orders:write").unwrap();
    let carriers: [(HeaderName, &str, &str); 10] = [
        (X_API_KEY, "", "ApiKey"),
        (AUTHORIZATION, "Bearer ", "Bearer"),
        (AUTHORIZATION, "bearer ", "Bearer"),
        (AUTHORIZATION, "BEARER ", "Bearer"),
        (AUTHORIZATION, "ApiKey ", "ApiKey"),
        (AUTHORIZATION, "apikey ", "ApiKey"),
        (AUTHORIZATION, "APIKEY ", "ApiKey"),
        (AUTHORIZATION, "Token ", "Token"),
        (AUTHORIZATION, "token ", "Token"),
        (AUTHORIZATION, "", "ApiKey"),
    ];
    for (header, before, scheme) in carriers {
        let responses = both_ways(&requirement, |key| {
            request([(header.clone(), format!("{before}{key}"))])
        });
        for response in responses.await {
            assert_eq!(
                response.values(CHALLENGE),
                [format!(
                    "{scheme} realm=\"orders\", error=\"insufficient_scope\", scope=\"orders:write\""
                )],
                "{header} {before}"
            );
        }
    }
}

#[tokio::test]
async fn the_scope_attribute_names_each_required_scope_once() {
    let scope = |text| Requirement::scope(text).unwrap();
    let nested = Requirement::any([
        scope("b"),
        Requirement::all([scope("c"), scope("a"), scope("b")]).unwrap(),
    ])
    .unwrap();
    let requirements = [
        (scope("a"), "a"),
        (Requirement::all(["b", "a"]).unwrap(), "a b"),
        (Requirement::any(["b", "a"]).unwrap(), "a b"),
        (Requirement::any(["a", "a"]).unwrap(), "a"),
        (nested, "a b c"),
        // All that RFC 6749 §3.3 allows is fit for a quoted string.
        (
            scope("!#$%&'()*+,-./:;<=>?@[]^_`{|}~"),
            "!#$%&'()*+,-./:;<=>?@[]^_`{|}~",
        ),
    ];
    for (requirement, attribute) in requirements {
        for response in both_ways(&requirement, with_key).await {
            assert_eq!(response.kind(), Some(RejectionKind::InsufficientScope));
            assert_eq!(
                response.values(CHALLENGE),
                [format!(
                    "ApiKey realm=\"orders\", error=\"insufficient_scope\", scope=\"{attribute}\""
                )],
                "{requirement}"
            );
        }
    }
}

#[tokio::test]
async fn each_challenge_is_a_header_line_of_its_own() {
    let service = ApiKeyLayer::new(ring())
        .sources([x_api_key(), Source::bearer()])
        .layer(Inner::new());

    let response = send(&service, with_key("nonsense")).await;

    // Some clients read the first challenge of a line only (RFC 9110 §11.6.1).
    let lines: Vec<&HeaderValue> = response.headers.get_all(CHALLENGE).iter().collect();
    assert_eq!(
        lines,
        [
            "ApiKey realm=\"orders\", error=\"invalid_token\"",
            "Bearer realm=\"orders\", error=\"invalid_token\"",
        ]
    );
}
